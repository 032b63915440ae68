"""The declared arithmetic, put into force, and what was observed of the machine."""

import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars
import torch
from torch import Tensor

from collect.models import CifarResNet
from collect.torchvision_operators import import_torchvision
from store.design import Design
from store.errors import UserError
from store.shard import Environment


@dataclass(frozen=True, slots=True)
class Runtime:
    """Where and how a block's arithmetic is done.

    mean, std: of the training pool per channel, on the device, shape (1, channels, 1, 1).
    precision: of the network's body; head, losses and observation are always fp32.
    observation_batch: images per forward pass outside training.
    """

    device: torch.device
    precision: str
    mean: Tensor
    std: Tensor
    observation_batch: int = 512

    def standardized(self, pixels: Tensor) -> Tensor:
        """Fractions in [0, 1] to mean 0 and standard deviation 1, channels last."""
        return ((pixels - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def logits(self, model: CifarResNet, images: Tensor) -> Tensor:
        """Class scores of standardized images, the body in the declared precision."""
        return model.logits(self.features(model, images))

    def features(self, model: CifarResNet, images: Tensor) -> Tensor:
        """Last feature map of standardized images, fp32."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            return model.features(images).float()


def choose_device(declared: str) -> torch.device:
    """Resolve ``auto`` to a GPU where torch sees one, else the processor.

    Raises UserError where a GPU is declared and there is none.
    """
    if declared == "cpu" or (declared == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UserError(
            "device: cuda is declared, but torch sees no GPU; use device: auto, or install a "
            "CUDA build of torch and check nvidia-smi"
        )
    return torch.device("cuda")


def make_deterministic(device: torch.device) -> None:
    """One thread, and algorithms that give the same bits at every run."""
    torch.set_num_threads(1)
    if device.type == "cuda":
        # cuBLAS reads this when it starts, which is after this call
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
        torch.use_deterministic_algorithms(mode=True)
        torch.backends.cudnn.benchmark = False
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False


def observe_environment(
    design: Design, device: torch.device, *, started: datetime, seconds: float
) -> Environment:
    """Record what a block's bits may depend on, and where and when it ran."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return Environment(
        commit=_commit(),
        python=platform.python_version(),
        torch=torch.__version__,
        torchvision=import_torchvision().__version__,
        numpy=np.__version__,
        polars=polars.__version__,
        platform=f"{platform.system()} {platform.machine()}",
        processor=_processor(),
        capability=_capability(device),
        device=device.type,
        gpu=gpu,
        precision=design.engine.precision,
        memory_format="channels_last",
        threads=torch.get_num_threads(),
        host=platform.node(),
        process=os.getpid(),
        started_at=started.isoformat(timespec="seconds"),
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=seconds,
    )


def _capability(device: torch.device) -> str:
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return f"sm_{major}{minor}, CUDA {torch.version.cuda}"
    return torch.backends.cpu.get_cpu_capability()


def _processor() -> str:
    """Model name of the processor, where the system tells it."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


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
