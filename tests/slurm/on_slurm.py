"""Runs the workflow on the throw-away Slurm that with_slurm.sh has started."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from store.shard import read_manifest
from tests.workflow import running

FAULTS = Path(__file__).with_name("faults")


def prepare(folder: Path) -> Path:
    """Put a study into a folder: the tiny one, with two epochs in place of six."""
    running.prepare(folder)
    study = folder / "tiny.yaml"
    study.write_text(study.read_text().replace("epochs: 6", "epochs: 2"))
    return folder


def command(
    folder: Path,
    *config: str,
    resources: str = "mem_mb=100 runtime=10 slurm_partition=main",
    gpus: int = 0,
    options: tuple[str, ...] = (),
) -> list[str]:
    """Return the command of a head that sends the study in ``folder`` to Slurm."""
    return [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(running.ROOT / "Snakefile")),
        *("--directory", str(folder), "--workflow-profile", str(running.ROOT / "profiles/slurm")),
        *("--slurm-init-seconds-before-status-checks", "1"),
        *("--seconds-between-status-checks", "1"),
        *("--default-resources", *resources.split()),
        *(("--set-resources", f"collect:gpu={gpus}") if gpus else ()),
        *options,
        *("--config", "study=tiny.yaml", *config),
    ]


def start(
    folder: Path, *words: str, faults: Path | None = None, home: Path | None = None
) -> subprocess.Popen[str]:
    """Start a head; what it says goes to a file of its own in ``folder``."""
    path = [str(running.ROOT)] + ([str(FAULTS)] if faults else [])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path)}
    environment |= {"KD_FAULTS": str(faults)} if faults else {}
    environment |= {"HOME": str(home)} if home else {}
    for name in ("KD_SCRATCH", "XDG_CACHE_HOME", "MPLCONFIGDIR"):
        environment.pop(name, None)
    said = folder / f"head-{len(list(folder.glob('head-*')))}.txt"
    with said.open("w") as stream:
        head = subprocess.Popen(
            words,
            cwd=folder,
            env=environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    head.said = said  # type: ignore[attr-defined]
    return head


def said(head: subprocess.Popen[str]) -> str:
    return head.said.read_text()  # type: ignore[attr-defined]


def finish(head: subprocess.Popen[str], *, seconds: float = 400) -> str:
    """Wait for a head that is to succeed; return what it said."""
    try:
        status = head.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        head.kill()
        head.wait()
        status = None
    assert status == 0, f"{status}: {said(head)}\n{_logs(head)}"
    return said(head)


def _logs(head: subprocess.Popen[str]) -> str:
    results = head.said.parent / "results"  # type: ignore[attr-defined]
    return "\n".join(f"{path}:\n{path.read_text()[-800:]}" for path in results.rglob("*.log"))


def wait_for(
    what: Callable[[], bool], head: subprocess.Popen[str], *, seconds: float = 120
) -> None:
    """Wait until something has happened while a head runs."""
    deadline = time.monotonic() + seconds
    while not what():
        assert head.poll() is None, said(head)
        assert time.monotonic() < deadline, f"{said(head)}\n{_logs(head)}"
        time.sleep(0.05)


def finished_models(folder: Path) -> int:
    return len(list((folder / "results/tiny/scratch").glob("block-*/[!.]*.safetensors")))


def shards(folder: Path) -> dict[str, str]:
    """Content hashes of the published shards."""
    found = (folder / "results/tiny/shards").glob("block-*")
    return {shard.name: read_manifest(shard).content for shard in found}


def published(folder: Path) -> dict[str, list[str]]:
    """Content hashes that jobs say they published, one for each time, by shard."""
    found: dict[str, list[str]] = {}
    for log in sorted((folder / "results/tiny/logs").glob("collect-*.log")):
        for name, content in re.findall(r"published (\S+), content (\w+)", log.read_text()):
            found.setdefault(name, []).append(content)
    return found


def jobs(*options: str) -> list[str]:
    """Return the ids of jobs that wait or run."""
    return subprocess.run(
        ["squeue", "--noheader", "--format=%i", *options],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()


def wait_until_idle(seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while jobs():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def missing() -> str | None:
    """Say what keeps these tests from running here; None where nothing does."""
    if shutil.which("sinfo") is None:
        return "no Slurm here: make test-slurm starts one"
    state = subprocess.run(["sinfo", "-h"], capture_output=True, text=True, check=False)
    return None if state.returncode == 0 and state.stdout else "no Slurm runs: use make test-slurm"


def state(job: str) -> str:
    """Return what became of a job, as Slurm still knows it."""
    shown = subprocess.run(
        ["scontrol", "show", "job", job], capture_output=True, text=True, check=True
    ).stdout
    found = re.search(r"JobState=(\w+)", shown)
    assert found, shown
    return found[1]
