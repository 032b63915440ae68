"""Asks Slurm whether it would take a job, before a hundred of them are refused one by one."""

import shutil
import subprocess
from collections.abc import Mapping
from typing import Final

from store.errors import one_line

PROFILE: Final = "profiles/slurm/config.yaml"
_OPTIONS: Final = {
    "slurm_partition": "--partition",
    "slurm_account": "--account",
    "runtime": "--time",
    "mem_mb": "--mem",
    "gpu": "--gpus",
    "gres": "--gres",
    "constraint": "--constraint",
    "qos": "--qos",
}
"""Resources of a job that Slurm may refuse, and sbatch's options for them."""

_PATIENCE_SECONDS: Final = 120


def refusal(resources: Mapping[str, object]) -> str | None:
    """Say in one line why Slurm would take no such job, and what to do; None where it would.

    resources: of one job, as Snakemake names them. Nothing is submitted.
    """
    if shutil.which("sbatch") is None:
        return (
            "sbatch was not found: run this where Slurm's commands are, on a login node, or leave "
            "out --workflow-profile profiles/slurm to run on this machine"
        )
    asked = [
        f"{option}={resources[name]}"
        for name, option in _OPTIONS.items()
        if resources.get(name) not in (None, "", 0)
    ]
    try:
        answer = subprocess.run(
            ["sbatch", "--test-only", *asked, "--wrap=true"],
            capture_output=True,
            text=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"Slurm does not answer within {_PATIENCE_SECONDS} s; try sinfo, and run this again"
    if answer.returncode == 0:
        return None
    said = one_line(answer.stderr).removeprefix("allocation failure: ")
    return f"Slurm takes no job with {' '.join(asked)}: {said}. {_next_step(said)}"


def _next_step(said: str) -> str:
    if "partition" in said.lower():
        return f"Set slurm_partition in {PROFILE} to one of: {_partitions()}"
    if "controller" in said.lower() or "connect" in said.lower():
        return "Slurm's controller does not answer: try sinfo, and run this again"
    return f"Change what {PROFILE} asks for (sinfo shows what there is), then run this again"


def _partitions() -> str:
    """List the partitions that there are."""
    try:
        listed = subprocess.run(
            ["sinfo", "--noheader", "--format=%R"],
            capture_output=True,
            text=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        listed = ""
    return ", ".join(dict.fromkeys(listed.split())) or "those that sinfo shows"
