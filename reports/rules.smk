rule report:
    """Write the page that says what may be claimed: one HTML file, and its text as Markdown."""
    input:
        study=ancient(STUDY),
        results=f"{RESULTS}/results.json",
    output:
        page=f"{RESULTS}/report.html",
        text=f"{RESULTS}/report.md",
    log:
        f"{RESULTS}/logs/report.log",
    threads: 1
    # the page shows the study as declared: another title writes it again, and nothing before it
    params:
        declared=DESIGN.study_hash(),
        store=f"{RESULTS}/store.duckdb",
    shell:
        "OMP_NUM_THREADS=1 {sys.executable:q} -m reports.job {input.study:q} "
        "--store {params.store:q} --results {input.results:q} --out {output.page:q} 2> {log:q}"
