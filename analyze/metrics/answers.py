"""What one estimator says of one student on one half of the test images."""

from dataclasses import dataclass
from typing import Final

from store.vocabulary import Half

HALVES: Final = (Half.ALL, Half.A, Half.B)
"""Subsets of the test images that every measure is taken on, in this order."""

MODEL_FAILED: Final = "a model failed"
ONE_TEACHER: Final = "one teacher only"
NO_IMAGES: Final = "no test image in this half"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A value, or the reason why there is none. Fields as in ``store.frames.ESTIMATE``."""

    measure: str
    half: Half
    estimator: str
    value: float | None = None
    bias: float | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        """Refuse an answer with both a value and a reason, or neither."""
        if (self.value is None) == (self.reason is None):
            raise ValueError(f"{self.measure}: either a value or a reason, not both or neither")
