"""What was observed of the machine: what a block's bits may depend on."""

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import polars
import torch

from collect.engine import Runtime, bf16_instructions
from store.shard import Environment


def observe_environment(runtime: Runtime, *, started: datetime, seconds: float) -> Environment:
    """Record what a block's bits may depend on, and where and when it ran."""
    device = runtime.device
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return Environment(
        commit=_commit(),
        python=platform.python_version(),
        torch=torch.__version__,
        torchvision=version("torchvision"),
        numpy=np.__version__,
        polars=polars.__version__,
        platform=f"{platform.system()} {platform.machine()}",
        processor=_processor(),
        capability=_capability(device),
        device=device.type,
        gpu=gpu,
        precision=runtime.precision,
        memory_format="channels_last",
        threads=torch.get_num_threads(),
        compiled=runtime.compiled,
        allocator=_allocator(),
        host=platform.node(),
        process=os.getpid(),
        started_at=started.isoformat(timespec="seconds"),
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=seconds,
    )


def fingerprint(runtime: Runtime) -> str:
    """Return what models of one block must have in common, as one line of JSON.

    Models trained under two fingerprints may differ in rounding alone, which between the
    conditions of a block would be taken for an effect.
    """
    device = runtime.device
    return json.dumps(
        {
            "torch": torch.__version__,
            "device": device.type,
            "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
            "capability": _capability(device),
            "precision": runtime.precision,
            "compiled": runtime.compiled,
            "threads": torch.get_num_threads(),
        }
    )


def device_words(runtime: Runtime) -> str:
    """Name the GPU or processor that trains, and the precision."""
    device = runtime.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return f"{name}, {runtime.precision}"


def _capability(device: torch.device) -> str:
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return f"sm_{major}{minor}, CUDA {torch.version.cuda}"
    # the matrix library goes by these two as well, which torch's own name does not tell apart
    return ", ".join([torch.backends.cpu.get_cpu_capability(), *bf16_instructions()])


def _processor() -> str:
    """Model name of the processor, where the system tells it."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _allocator() -> str | None:
    """Name of what gives this process its memory; None where the system does not tell."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return None
    loaded = maps.read_text(encoding="utf-8", errors="replace")
    for name in ("jemalloc", "tcmalloc", "mimalloc"):
        if name in loaded:
            return name
    if "/libc.so" not in loaded and "/libc-" not in loaded:
        return None
    return "glibc, tuned" if os.environ.get("MALLOC_TRIM_THRESHOLD_") else "glibc"


def _commit() -> str:
    """Commit of this code, with ``-dirty`` where tracked files differ; ``unknown`` without git."""
    root = Path(__file__).resolve().parent.parent
    try:
        head = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return head.stdout.strip() or "unknown"
