"""How a study says its networks are trained: recipes, and the loss of students."""

from typing import Annotated, Final, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from store.declared import Declared, unless_said

_OF_SGD: Final = ("momentum", "nesterov")
_OF_ADAMW: Final = ("betas", "epsilon")
_OF_STEPS: Final = ("milestones", "gamma")
_Beta = Annotated[float, Field(ge=0, lt=1)]


class Recipe(Declared):
    """How one network is trained: an optimizer, warm-up, then cosine or steps.

    ``milestones``: epochs after which the rate is multiplied by ``gamma``. ``warmup_by``: whether
    the rate rises at every step or, as in the published study, from epoch to epoch. ``momentum``
    and ``nesterov`` are SGD's; ``betas`` and ``epsilon`` AdamW's, whose weight decay is decoupled
    (Loshchilov & Hutter 2019).
    """

    left_out_at_default = ("gamma", "warmup_by", "optimizer", "betas", "epsilon")

    epochs: int = Field(ge=1, le=10_000)
    batch_size: int = Field(ge=2, le=65_536)
    learning_rate: float = Field(gt=0, le=100)
    optimizer: Literal["sgd", "adamw"] = "sgd"
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = True
    betas: tuple[_Beta, _Beta] = (0.9, 0.999)
    epsilon: float = Field(default=1e-8, gt=0, le=1)
    weight_decay: float = Field(default=5e-4, ge=0, le=1)
    schedule: Literal["cosine", "step"] = "cosine"
    warmup_epochs: float = Field(default=1, ge=0)
    warmup_by: Literal["step", "epoch"] = "step"
    milestones: tuple[int, ...] = ()
    gamma: float = Field(default=0.1, gt=0, le=1)
    evaluate_every: int = Field(default=5, ge=1)

    @model_validator(mode="after")
    def _schedule_is_complete(self) -> Self:
        if self.schedule == "step" and not self.milestones:
            raise ValueError("schedule 'step' needs milestones: a list of epochs, e.g. [25, 40]")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs {self.warmup_epochs:g} must be below epochs {self.epochs}"
            )
        if self.warmup_by == "epoch" and self.warmup_epochs % 1:
            raise ValueError(
                f"warmup_epochs {self.warmup_epochs:g} is no whole number, which warmup_by epoch "
                "needs; round it, or write warmup_by: step"
            )
        return self

    @model_validator(mode="after")
    def _milestones_lie_within(self) -> Self:
        milestones = list(self.milestones)
        if milestones != sorted(set(milestones)):
            raise ValueError(
                f"milestones {milestones} are not ascending and distinct; allowed: "
                f"{sorted(set(milestones))}"
            )
        if milestones and not (milestones[0] >= 1 and milestones[-1] < self.epochs):
            raise ValueError(
                f"milestones {milestones}: each must be at least 1 and below epochs "
                f"{self.epochs}; a rate that falls later is never used"
            )
        return self

    @model_validator(mode="after")
    def _keys_have_an_effect(self) -> Self:
        others = _OF_SGD if self.optimizer == "adamw" else _OF_ADAMW
        refused = [key for key in others if self._is_said(key)]
        if refused:
            raise ValueError(
                f"{', '.join(refused)}: not for optimizer {self.optimizer}; leave out, or choose "
                f"optimizer: {'sgd' if self.optimizer == 'adamw' else 'adamw'}"
            )
        unused = [key for key in _OF_STEPS if self._is_said(key)]
        if self.schedule == "cosine" and unused:
            raise ValueError(
                f"{', '.join(unused)}: not for schedule cosine; leave out, or write schedule: step"
            )
        return self

    def _is_said(self, key: str) -> bool:
        """Whether a key is declared and not at its default: a stored declaration names them all."""
        return getattr(self, key) != type(self).model_fields[key].default


class Training(Declared):
    """The recipes of teachers and students."""

    teacher: Recipe
    student: Recipe


class _FromTeachers(Declared):
    """What every loss of a student has.

    alpha: weight of the cross-entropy with the labels; the rest is the teachers'. teacher_mode:
    ``train``, as in the published code, has teachers normalize by each batch's own statistics
    while they teach.
    """

    left_out_at_default = ("teacher_mode",)

    alpha: Annotated[float, Field(ge=0, le=1)] = 0.6
    teacher_mode: Literal["eval", "train"] = "eval"


class Distillation(_FromTeachers):
    """Mean over teachers of alpha CE + (1 - alpha) T^2 KL(teacher || student).

    Source: Hinton et al. 2015, as parametrized by Guo et al. 2024.
    """

    loss: Literal["kl"] = "kl"
    temperature: float = Field(default=3, gt=0, le=1000)


class EnsembleDistillation(_FromTeachers):
    """alpha CE + (1 - alpha) T^2 KL(ensemble || student): teachers are averaged first.

    average: of their ``logits``, before the temperature, or of their softened ``probabilities``.
    Source: Hinton et al. 2015.
    """

    loss: Literal["ensemble"]
    temperature: float = Field(default=3, gt=0, le=1000)
    average: Literal["logits", "probabilities"]


class LogitMatching(_FromTeachers):
    """Mean over teachers of alpha CE + (1 - alpha) MSE of logits.

    MSE: mean of squared differences over classes and images. Source: Ba & Caruana 2014; Kim et
    al. 2021.
    """

    loss: Literal["mse"]


LOSSES: Final[dict[str, type[Declared]]] = {
    "kl": Distillation,
    "ensemble": EnsembleDistillation,
    "mse": LogitMatching,
}
"""The losses of students by the name that a study file gives them."""


AnyDistillation = Annotated[
    Annotated[Distillation | EnsembleDistillation | LogitMatching, Field(discriminator="loss")],
    BeforeValidator(unless_said(loss="kl")),
]
