"""The declared arithmetic, put into force: device, precision, compiler, determinism."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from collect.classifier import Classifier
from collect.memory import Limits
from store.errors import UserError
from store.sections import Engine

Precision = Literal["fp32", "bf16"]

_BF16_INSTRUCTIONS: Final = ("avx512_bf16", "amx_bf16")


@dataclass(frozen=True, slots=True)
class Runtime:
    """Where and how a block's arithmetic is done.

    precision: of the network's body while it trains and while teachers answer a student; head,
    losses and observation are always fp32. mean, std: of the training pool per channel, on the
    device, shape (1, channels, 1, 1). compiled: the body goes through torch.compile while it
    trains. limits: how much is done at once; no bit depends on them.
    """

    device: torch.device
    precision: Precision
    mean: Tensor
    std: Tensor
    compiled: bool = False
    limits: Limits = field(default_factory=Limits)

    def standardized(self, images: Tensor) -> Tensor:
        """Images to mean 0 and standard deviation 1, fp32, channels last.

        images: uint8, or fractions in [0, 1], shape (batch, channels, side, side).
        """
        fractions = images.float() / 255 if images.dtype is torch.uint8 else images
        return ((fractions - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def training_logits(self, model: Classifier, images: Tensor) -> Tensor:
        """Class scores while training: the body in the declared precision, the head in fp32."""
        body = _compiled_features() if self.compiled else _features
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            features = body(model, images)
        return model.logits(features.float())

    def logits(self, model: Classifier, images: Tensor) -> Tensor:
        """Class scores of standardized images, fp32, shape (batch, classes)."""
        return model.logits(self.features(model, images))

    def features(self, model: Classifier, images: Tensor) -> Tensor:
        """Features of standardized images, fp32: of most networks (batch, channels, grid, grid)."""
        return model.features(images)


def start(
    engine: Engine, device: torch.device, *, mean: NDArray[np.float32], std: NDArray[np.float32]
) -> Runtime:
    """Put a declared engine into force in this process.

    mean, std: of the training pool, shape (channels,). Raises UserError where what is declared
    cannot be had here: nothing else is taken in its place.
    """
    make_deterministic(device)
    if engine.compile:
        _require_compiler(device)
    return Runtime(
        device=device,
        precision=choose_precision(engine.precision, device),
        mean=torch.from_numpy(mean).to(device)[None, :, None, None],
        std=torch.from_numpy(std).to(device)[None, :, None, None],
        compiled=engine.compile,
    )


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


def choose_precision(declared: Literal["auto", "fp32", "bf16"], device: torch.device) -> Precision:
    """Resolve ``auto`` to bf16 where the device has instructions for it, else fp32.

    Raises UserError where bf16 is declared for a GPU without it; a processor without it
    imitates it, slowly and with the same rounding.
    """
    if declared == "auto":
        return "bf16" if has_bf16(device) else "fp32"
    if declared == "bf16" and device.type == "cuda" and not has_bf16(device):
        raise UserError(
            f"engine.precision: bf16 is declared, but {torch.cuda.get_device_name(device)} does "
            "not have it; use precision: auto or fp32"
        )
    return declared


def has_bf16(device: torch.device) -> bool:
    """Whether a device multiplies bf16 in hardware: GPUs from Ampere on, AVX512-BF16, AMX."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return bool(bf16_instructions())


def bf16_instructions() -> tuple[str, ...]:
    """Names of the processor's instructions that multiply bf16; empty where it has none."""
    # not in every torch that is allowed; without it fp32 is the safe answer
    capabilities: Callable[[], dict[str, object]] = getattr(torch.cpu, "get_capabilities", dict)
    found = capabilities()
    return tuple(name for name in _BF16_INSTRUCTIONS if found.get(name) is True)


def make_deterministic(device: torch.device) -> None:
    """One thread, and algorithms that give the same bits at every run."""
    torch.set_num_threads(1)
    # a second way to compute attention, which eval mode would take and training not
    torch.backends.mha.set_fastpath_enabled(False)
    if device.type == "cuda":
        # cuBLAS reads this when it starts, which is after this call
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
        torch.use_deterministic_algorithms(mode=True)
        torch.backends.cudnn.benchmark = False
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False


def _features(model: Classifier, images: Tensor) -> Tensor:
    return model.features(images)


@cache
def _compiled_features() -> Callable[[Classifier, Tensor], Tensor]:
    """``_features`` compiled, whole or not at all: no fall-back to eager, which has other bits."""
    from torch._dynamo import config  # there is no public name for these two

    config.fail_on_recompile_limit_hit = True
    # one graph for each network, batch size and mode: more than the eight that are allowed
    config.recompile_limit = 256
    return torch.compile(_features, fullgraph=True, dynamic=False)


def _require_compiler(device: torch.device) -> None:
    """Raise UserError where torch.compile cannot compile the smallest network."""
    probe = torch.nn.Conv2d(1, 1, 3).to(device)
    try:
        torch.compile(probe, fullgraph=True)(torch.zeros(1, 1, 8, 8, device=device))
    except Exception as error:  # what a compiler may say is open
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"engine.compile: true is declared, but torch.compile does not work here: {reason}. "
            "Install a C++ compiler (for a GPU, Triton), or set compile: false"
        ) from None
