"""The limit of training: forward, backward and step on images already in memory, nothing else."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as functional
from torch import Tensor
from torch.optim import SGD

from collect.cifar_resnet import CifarResNet

Precision = Literal["fp32", "bf16"]
Format = Literal["NCHW", "channels_last"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic:
    """How a network's numbers are held and multiplied; head and loss are in fp32."""

    precision: Precision
    memory_format: Format
    compiled: bool = False

    @property
    def name(self) -> str:
        """As tables call it."""
        return f"{self.precision} {self.memory_format}" + (", compiled" if self.compiled else "")


class BareStep:
    """One network and one batch.

    images: standardized, shape (batch, channels, side, side); labels: shape (batch,).
    """

    def __init__(
        self, model: CifarResNet, images: Tensor, labels: Tensor, arithmetic: Arithmetic
    ) -> None:
        self._model = model
        self._labels = labels
        layout = (
            torch.channels_last
            if arithmetic.memory_format == "channels_last"
            else torch.contiguous_format
        )
        self._images = images.contiguous(memory_format=layout)
        model.train()
        self._optimizer = SGD(
            model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4
        )
        self._bf16 = arithmetic.precision == "bf16"
        self._body = torch.compile(model.body) if arithmetic.compiled else model.body

    def run(self, steps: int) -> None:
        """Take steps."""
        for _ in range(steps):
            with torch.autocast(self._images.device.type, torch.bfloat16, enabled=self._bf16):
                features = self._body(self._images)
            loss = functional.cross_entropy(self._model.logits(features.float()), self._labels)
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
