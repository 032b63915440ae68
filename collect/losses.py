"""Training losses of students."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as functional
from torch import Tensor

if TYPE_CHECKING:  # so that a loss can be had where the study file cannot be read
    from store.training import AnyDistillation, Distillation, EnsembleDistillation


def distillation_loss(
    student: Tensor, teachers: Sequence[Tensor], labels: Tensor, distillation: AnyDistillation
) -> Tensor:
    """Compute the declared loss: alpha CE + (1 - alpha) times what the teachers ask for.

    student and each of teachers: logits, shape (batch, classes); labels: shape (batch,). CE and
    divergences are in nats, and averaged over the batch.
    """
    alpha = distillation.alpha
    if distillation.loss == "kl":
        asked = _mean_divergence(student, teachers, distillation)
        weight = (1 - alpha) * distillation.temperature**2
    elif distillation.loss == "ensemble":
        asked = _divergence_from_ensemble(student, teachers, distillation)
        weight = (1 - alpha) * distillation.temperature**2
    else:
        asked = _mean_squared_error(student, teachers)
        weight = 1 - alpha
    # alpha CE is the same for every teacher, so its mean over teachers is itself
    return alpha * functional.cross_entropy(student, labels) + weight * asked


def _mean_divergence(
    student: Tensor, teachers: Sequence[Tensor], distillation: Distillation
) -> Tensor:
    """Mean over teachers of KL(teacher || student), both softened.

    Source: Hinton et al. 2015; Guo et al. 2024.
    """
    temperature = distillation.temperature
    softened = functional.log_softmax(student / temperature, dim=1)
    return _mean(
        [
            _divergence(softened, functional.log_softmax(teacher / temperature, dim=1))
            for teacher in teachers
        ]
    )


def _divergence_from_ensemble(
    student: Tensor, teachers: Sequence[Tensor], distillation: EnsembleDistillation
) -> Tensor:
    """KL(ensemble || student), both softened; the ensemble is the teachers' average.

    Source: Hinton et al. 2015.
    """
    temperature = distillation.temperature
    if distillation.average == "logits":
        target = functional.log_softmax(_mean(teachers) / temperature, dim=1)
    else:
        each = [functional.log_softmax(teacher / temperature, dim=1) for teacher in teachers]
        # the logarithm of a mean of probabilities, without leaving logarithms
        target = torch.logsumexp(torch.stack(each), dim=0) - math.log(len(each))
    return _divergence(functional.log_softmax(student / temperature, dim=1), target)


def _mean_squared_error(student: Tensor, teachers: Sequence[Tensor]) -> Tensor:
    """Mean over teachers, images and classes of the squared difference of logits.

    Source: Ba & Caruana 2014; Kim et al. 2021.
    """
    return _mean([functional.mse_loss(student, teacher) for teacher in teachers])


def _divergence(answer: Tensor, target: Tensor) -> Tensor:
    """KL(target || answer), both log-probabilities, averaged over the batch."""
    return functional.kl_div(answer, target, reduction="batchmean", log_target=True)


def _mean(values: Sequence[Tensor]) -> Tensor:
    return sum(values[1:], values[0]) / len(values)
