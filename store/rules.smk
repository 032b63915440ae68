# up to a third less of a processor for each row that comes in
KEEPING_ALL = in_shell(GLIBC, POLARS, DUCKDB)


rule store:
    """Gather all shards in one file, so that SQL reaches every logit and attention map."""
    input:
        study=lambda _: study_for(f"{RESULTS}/ledger.json"),
        packs=expand(f"{RESULTS}/packs/{{pack:05d}}.json", pack=range(PACKING.packs)),
    output:
        f"{RESULTS}/ledger.json",
    log:
        f"{RESULTS}/logs/store.log",
    threads: 1
    # the store says what the study declares, threshold of the masks included: when that changes,
    # it is brought up to date. It is no output itself: the analysis writes into it too.
    params:
        declared=DESIGN.study_hash(),
        packs=f"{RESULTS}/packs",  # thousands of names would be too long a command
        store=f"{RESULTS}/store.duckdb",
    shell:
        "OMP_NUM_THREADS=1 {KEEPING_ALL} {sys.executable:q} -m store.job {input.study:q} --packs {params.packs:q} "
        "--store {params.store:q} --ledger {output:q} --log {log:q}"
