def blocks_of_pack(wildcards):
    """What a pack's numbers depend on: a pack is trained again only when this changes."""
    return " ".join(DESIGN.shard_keys(PACKING.blocks_of(int(wildcards.pack))))


# memory kept by the allocator is memory not asked for again: about 1.15 times as fast
KEEPING = in_shell(GLIBC)


rule collect:
    """Train one pack of seed blocks; record what the models said and looked at."""
    input:
        study=lambda wildcards: study_for(f"{RESULTS}/packs/{wildcards.pack}.json"),
    output:
        f"{RESULTS}/packs/{{pack}}.json",
    log:
        f"{RESULTS}/logs/collect-{{pack}}.log",
    threads: 1
    params:
        shard_keys=blocks_of_pack,
        results=RESULTS,
    shell:
        "OMP_NUM_THREADS=1 {KEEPING} {sys.executable:q} -m collect pack {input.study:q} --pack {wildcards.pack} "
        "--results {params.results:q} --per-gpu {PER_GPU} --log {log:q} "
        "|| {sys.executable:q} -m collect ended --status $? --log {log:q}"
