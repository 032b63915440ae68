"""The whole study: train packs of seed blocks, store, analyze, report.

    snakemake --cores all --config study=digits

``study`` names a file in config/ or is a path; ``data`` is the folder of a study whose images
do not come with a package; ``results`` is where results go (default: results/<study>).
"""

import os
import sys
from pathlib import Path

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT))

from analyze.questions import questions_of
from store.design import load_design, require_data
from store.errors import UserError

if "data" in config:
    os.environ["KD_DATA"] = str(config["data"])
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
)

NAME = str(config.get("study", "digits"))
STUDY = (
    NAME if NAME.endswith((".yaml", ".yml")) else str(ROOT / "config" / f"{NAME}.yaml")
)
try:
    DESIGN = load_design(Path(STUDY))
    questions_of(DESIGN)
    RESULTS = str(config.get("results", f"results/{DESIGN.study}"))
    if not all(
        Path(f"{RESULTS}/packs/{pack:05d}.json").exists()
        for pack in range(DESIGN.packs)
    ):
        require_data(DESIGN)
except UserError as error:
    # one line, where an exception raised here would print Snakemake's own account of it too
    sys.exit(f"error: {error}" if STUDY in str(error) else f"error: {STUDY}: {error}")


rule all:
    default_target: True
    input:
        f"{RESULTS}/report.html",


include: "collect/rules.smk"
include: "store/rules.smk"
include: "analyze/rules.smk"
include: "reports/rules.smk"


onsuccess:
    shell(f"{sys.executable} -m analyze verdicts {RESULTS}/results.json")
    print(f"\nreport: {RESULTS}/report.html")


onerror:
    print(
        f"\nstopped: the reason is at the end of the newest file in {RESULTS}/logs"
    )
    print("finished models are kept; the same command goes on from there")
