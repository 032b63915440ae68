"""Training losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch.nn.functional as functional
from torch import Tensor

if TYPE_CHECKING:
    from store.training import Distillation


def distillation_loss(
    student: Tensor, teachers: Sequence[Tensor], labels: Tensor, distillation: Distillation
) -> Tensor:
    """Mean over teachers of alpha CE + (1 - alpha) T^2 KL(teacher || student), in nats.

    student and each of teachers: logits, shape (batch, classes); labels: shape (batch,). The
    divergence is between softened distributions and averaged over the batch.
    Source: Hinton et al. 2015; Guo et al. 2024.
    """
    temperature, alpha = distillation.temperature, distillation.alpha
    softened = functional.log_softmax(student / temperature, dim=1)
    divergences = [
        functional.kl_div(
            softened,
            functional.log_softmax(teacher / temperature, dim=1),
            reduction="batchmean",
            log_target=True,
        )
        for teacher in teachers
    ]
    divergence = sum(divergences[1:], divergences[0]) / len(divergences)
    # alpha CE is the same for every teacher, so its mean over teachers is itself
    cross_entropy = functional.cross_entropy(student, labels)
    return alpha * cross_entropy + (1 - alpha) * temperature**2 * divergence
