"""How a study says its networks are trained: recipes, and the loss of students."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from store.declared import Declared


class Recipe(Declared):
    """How one network is trained: SGD with warm-up, then cosine or steps."""

    epochs: int = Field(ge=1, le=10_000)
    batch_size: int = Field(ge=2, le=65_536)
    learning_rate: float = Field(gt=0, le=100)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = True
    weight_decay: float = Field(default=5e-4, ge=0, le=1)
    schedule: Literal["cosine", "step"] = "cosine"
    warmup_epochs: float = Field(default=1, ge=0)
    milestones: tuple[int, ...] = ()
    evaluate_every: int = Field(default=5, ge=1)

    @model_validator(mode="after")
    def _schedule_is_complete(self) -> Self:
        if self.schedule == "step" and not self.milestones:
            raise ValueError("schedule 'step' needs milestones: a list of epochs, e.g. [25, 40]")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs {self.warmup_epochs:g} must be below epochs {self.epochs}"
            )
        return self


class Training(Declared):
    """The recipes of teachers and students."""

    teacher: Recipe
    student: Recipe


class Distillation(Declared):
    """Mean over teachers of alpha CE + (1 - alpha) T^2 KL(teacher || student).

    Source: Hinton et al. 2015, as parametrized by Guo et al. 2024.
    """

    loss: Literal["kl"] = "kl"
    temperature: float = Field(default=3, gt=0, le=1000)
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.6
