rule analyze:
    """Test the study's claims; findings go into the store, then into results.json."""
    input:
        study=ancient(STUDY),
        ledger=f"{RESULTS}/ledger.json",
    output:
        f"{RESULTS}/results.json",
    log:
        f"{RESULTS}/logs/analyze.log",
    threads: 1
    # as text: a changed claim, rule, mask or choice of who decides runs the analysis again, and nothing before it
    params:
        claims=DESIGN.model_dump_json(include={"claims"}),
        failed_runs=DESIGN.failed_runs,
        design=DESIGN.design.model_dump_json(),
        attention=DESIGN.attention.model_dump_json(),
        store=f"{RESULTS}/store.duckdb",
    shell:
        "OMP_NUM_THREADS=1 {sys.executable:q} -m analyze.job {input.study:q} "
        "--store {params.store:q} --ledger {input.ledger:q} --out {output:q} --log {log:q}"
