"""The whole study: train packs of seed blocks, store, analyze, report.

    snakemake --cores all --config study=digits
    snakemake plan --cores all --config study=digits    (what it would cost; trains nothing)

``study`` names a file in config/ or is a path; ``data`` is the folder of a study whose images
do not come with a package; ``results`` is where results go (default: results/<study>).
``smoke=true`` cuts the study to a few images and steps, to see that it goes the whole way; its
results go to results/<study>-smoke, and where its images are not at hand it makes some up.

``pack_minutes`` is how long a job should train: decided once, kept in results/<study>/packing.json.
``per_gpu`` processes may share a GPU of this machine (default 1); ``scratch`` is where unfinished
models are kept (default: with the results). On a cluster, see docs/cluster.md:

    snakemake --workflow-profile profiles/slurm --config study=cifar10
"""

import fcntl
import logging
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

from snakemake.logging import logger

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT))

from analyze.questions import questions_of
from collect.slurm import refusal
from store.study_file import keep_declaration, load_design, require_data
from store.errors import UserError
from store.image_files import missing_images, to_be_fetched
from store.memory import DUCKDB, GLIBC, POLARS, in_shell
from store.outdated import outdated
from store.packing import packing_of, read_decision
from store.smoke import prepare_smoke


def stop(error):
    """End with one line, which names the study file."""
    sys.exit(f"error: {error}" if STUDY in str(error) else f"error: {STUDY}: {error}")


KEYS = ("study", "data", "results", "smoke", "per_gpu", "scratch", "pack_minutes")
for key in config:
    if key not in KEYS:
        sys.exit(f"error: --config {key}: unknown key; allowed: {', '.join(KEYS)}")
asked = str(config.get("smoke", False)).lower()
if asked not in ("true", "false"):
    sys.exit(f"error: --config smoke={config['smoke']}: allowed: true, false")
SMOKE = asked == "true"
if "data" in config:
    os.environ["KD_DATA"] = str(config["data"])
if "scratch" in config:
    # as it is written: variables in it are those of the job
    os.environ["KD_SCRATCH"] = str(config["scratch"])
PER_GPU = str(config.get("per_gpu", 1))
if not re.fullmatch("[1-9][0-9]{0,2}", PER_GPU):
    sys.exit(f"error: --config per_gpu={PER_GPU}: allowed: whole numbers from 1 to 999")
PACK_MINUTES = None
if "pack_minutes" in config:
    try:
        PACK_MINUTES = float(config["pack_minutes"])
        if not 0 < PACK_MINUTES < 100_000:
            raise ValueError
    except (TypeError, ValueError):
        sys.exit(
            f"error: --config pack_minutes={config['pack_minutes']}: allowed: minutes above 0"
        )
# what libraries and a job's own Snakemake would keep in the home directory, which a node may
# not have; weights that were downloaded stay where they are
CACHES = Path.cwd() / ".snakemake" / "caches"
if "XDG_CACHE_HOME" not in os.environ:
    os.environ.setdefault("TORCH_HOME", str(Path("~/.cache/torch").expanduser()))
for variable, place in (
    ("XDG_CACHE_HOME", CACHES),
    ("MPLCONFIGDIR", CACHES / "matplotlib"),
    ("TRITON_CACHE_DIR", CACHES / "triton"),
    ("CUDA_CACHE_PATH", CACHES / "cuda"),
):
    os.environ.setdefault(variable, str(place))
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
)

NAME = str(config.get("study", "digits"))
STUDY = (
    Path(NAME) if NAME.endswith((".yaml", ".yml")) else ROOT / "config" / f"{NAME}.yaml"
)
# as seen from here, so that a moved or copied project is not run again for its new place
if STUDY.is_absolute() and STUDY.is_relative_to(Path.cwd()):
    STUDY = STUDY.relative_to(Path.cwd())
STUDY = str(STUDY)
try:
    if SMOKE:
        STUDY = str(prepare_smoke(Path(STUDY), config.get("results")))
    DESIGN = load_design(Path(STUDY))
    questions_of(DESIGN)
    RESULTS = str(config.get("results", f"results/{DESIGN.study}"))
except UserError as error:
    # one line, where an exception raised here would print Snakemake's own account of it too
    stop(error)


def run_here(*words):
    """Run one of the commands, which says itself what is wrong, or that it was interrupted."""
    try:
        ran = subprocess.run([sys.executable, "-m", *words], check=False)
    except KeyboardInterrupt:
        sys.exit(130)
    if ran.returncode:
        sys.exit(1)


def decide_packs():
    """Deal blocks to packs of so many minutes, where these results have others or none yet."""
    decided = read_decision(Path(RESULTS))
    if decided is not None and decided.pack_minutes == PACK_MINUTES:
        return
    Path(RESULTS).mkdir(parents=True, exist_ok=True)
    with (Path(RESULTS) / ".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(
                f"error: another run is working on {RESULTS}, so its packs stay as they are; wait "
                "until it has ended"
            )
        run_here(
            *("collect", "packing", STUDY, "--results", RESULTS),
            *("--pack-minutes", str(PACK_MINUTES)),
        )


try:
    # a job finds it decided; a plan says what would be, and leaves nothing behind
    if PACK_MINUTES and workflow.is_main_process and "plan" not in sys.argv:
        decide_packs()
    PACKING = packing_of(DESIGN, Path(RESULTS))
    # of another declaration: Snakemake's notes say so too, but not where results were moved
    OUTDATED = {str(path) for path in outdated(DESIGN, Path(RESULTS))}
except UserError as error:
    stop(error)
if any(os.stat(path).st_mtime_ns >= os.stat(STUDY).st_mtime_ns for path in OUTDATED):
    stop(
        f"{RESULTS} is of another version of this file, and newer: touch {STUDY}, "
        "and it is brought up to date"
    )
TRAINED = all(
    Path(f"{RESULTS}/packs/{pack:05d}.json").exists() for pack in range(PACKING.packs)
)

LOGS_OF_FAILED_JOBS = []
SLURM_LOGS = "the newest file of results/slurm-logs"


def is_news(record):
    """Tell what the terminal shows of Snakemake's own account; its log in .snakemake has it all.

    A failed job has said on the terminal what went wrong; here only its log is noted. A dry run,
    which is known for one only once it has begun, is shown whole.
    """
    if workflow.dryrun:
        return True
    text = record.getMessage()
    if text.startswith("Error in rule"):
        LOGS_OF_FAILED_JOBS.append(" ".join(record.log))
        return False
    if LOGS_OF_FAILED_JOBS or "CalledProcessError" in text:
        return False
    return record.levelno >= logging.WARNING or text.startswith("Nothing to be done")


def study_for(made):
    """Return the study file as an input: a newer one counts where a file is of another one."""
    return STUDY if made in OUTDATED else ancient(STUDY)


def get_images():
    """Fetch the study's images, or make them up for a smoke run, where they are not there.

    Here and not in a job: a cluster's nodes may have no network, and one failure says it all.
    """
    if missing_images(DESIGN.dataset) is not None:
        run_here("collect", "stand-in", STUDY, "--out", f"{RESULTS}/images")
    elif to_be_fetched(DESIGN.dataset):
        run_here("collect", "download", STUDY)


def on_slurm():
    """Tell whether this run sends its jobs to Slurm; known once it has begun."""
    return workflow.executor_plugin.name == "slurm"


def ask_slurm():
    """Stop with one line where Slurm would take no job of this run: once, not for every job."""
    trained = [job for job in workflow.dag.needrun_jobs() if job.rule.name == "collect"]
    if on_slurm() and trained:
        refused = refusal(dict(trained[0].resources.items()))
        if refused:
            sys.exit(f"error: {refused}")


def planning():
    """Tell whether the study is only planned; known once the run has begun."""
    return "plan" in workflow.dag_settings.targets


def whole():
    """Tell whether this run went to the end, and not just up to some rule or file."""
    asked = workflow.dag_settings
    return {*asked.targets} <= {"all"} and not asked.until and not asked.omit_from


for handler in logger.handlers:
    if handler.name == "DefaultStreamHandler":
        handler.addFilter(is_news)


# on a cluster these run where Snakemake does: each takes less time than a job waits, and the
# store has one writer, whose lock is best on one machine
localrules:
    all,
    plan,
    store,
    analyze,
    report,


rule all:
    default_target: True
    input:
        # packs too: one that is missing would not be missed where a report is there
        expand(f"{RESULTS}/packs/{{pack:05d}}.json", pack=range(PACKING.packs)),
        f"{RESULTS}/report.html",


rule plan:
    """Say what the study would cost on this machine and what its seeds can show; train nothing."""
    params:
        study=STUDY,
        packs=f"--pack-minutes {PACK_MINUTES}" if PACK_MINUTES else "",
        jobs=workflow.resource_settings.cores or workflow.resource_settings.nodes or 1,
    shell:
        "OMP_NUM_THREADS=1 {sys.executable:q} -m collect cost {params.study:q} "
        "--jobs {params.jobs} {params.packs} && "
        "OMP_NUM_THREADS=1 {sys.executable:q} -m analyze plan {params.study:q}"


include: "collect/rules.smk"
include: "store/rules.smk"
include: "analyze/rules.smk"
include: "reports/rules.smk"


onstart:
    # Snakemake's own lock outlives a killed run and stops the next; the system frees this one
    if not planning():
        if not TRAINED and not SMOKE:
            try:
                require_data(DESIGN)
            except UserError as error:
                stop(error)
        Path(RESULTS).mkdir(parents=True, exist_ok=True)
        workflow.results_lock = (Path(RESULTS) / ".lock").open("a+")
        try:
            fcntl.flock(workflow.results_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            workflow.results_lock.seek(0)
            who = workflow.results_lock.readline().strip()
            sys.exit(
                f"error: another run{who and f' ({who})'} is working on {RESULTS}; this one ends "
                "here and has changed nothing. Wait until it has ended, or look how far it is: "
                f"python -m collect status {RESULTS}"
            )
        except OSError:
            # a file system without locks: no block is trained twice all the same, by its lease
            pass
        workflow.results_lock.truncate(0)
        print(
            f"pid {os.getpid()} on {platform.node()}",
            file=workflow.results_lock,
            flush=True,
        )
        keep_declaration(DESIGN, Path(RESULTS))
        if packing_of(DESIGN, Path(RESULTS)) != PACKING:
            sys.exit(
                f"error: {RESULTS}/packing.json has just been changed by another run; run the same again"
            )
        if not TRAINED:
            get_images()
            ask_slurm()


onsuccess:
    if whole():
        run_here("analyze", "verdicts", f"{RESULTS}/results.json")
        print(f"\nreport: {RESULTS}/report.html")


onerror:
    if not planning():
        log = (
            LOGS_OF_FAILED_JOBS[-1]
            if LOGS_OF_FAILED_JOBS
            else f"the files of {RESULTS}/logs"
        )
        where = (
            f"at the end of {log}; where Slurm ended the job, in {SLURM_LOGS}"
            if on_slurm()
            else f"above and at the end of {log}"
        )
        print(f"\nstopped: the reason is {where}", file=sys.stderr)
        print(
            "finished models are kept; the same command goes on from there",
            file=sys.stderr,
        )
