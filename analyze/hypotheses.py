"""The claims of the published study, one value each.

Source: Guo et al. 2024, "Why does Knowledge Distillation Work? Rethink its Attention
and Fidelity Mechanism". A study file picks among them and sets their SESOI.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Direction(StrEnum):
    """Expected sign of the effect of the predictor on the outcome."""

    FALLS = "falls"
    RISES = "rises"

    @property
    def sign(self) -> int:
        """Return -1 where the outcome is expected to fall, else 1."""
        return -1 if self is Direction.FALLS else 1


class Estimand(StrEnum):
    """What a claim's coefficient is: a trend over strength, or a within association."""

    SLOPE_ON_STRENGTH = "slope_on_strength"
    WITHIN_ASSOCIATION = "within_association"


STRENGTH: Final = "teacher_strength"
"""The predictor of every trend: the teachers' augmentation strength."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """One claim: which outcomes move with which predictor, and in which direction.

    outcomes: columns of the view ``measures``; a claim with two needs both.
    published: for each outcome or predictor, the column that holds the published
    study's computation of it. coupled: measures that share accuracy with the outcome by
    construction, printed beside it without a verdict.
    """

    id: str
    statement: str
    short: str
    estimand: Estimand
    outcomes: tuple[str, ...]
    predictor: str
    direction: Direction
    primary: bool = True
    needs_students: bool = True
    coupled: tuple[str, ...] = ()


H1: Final = Hypothesis(
    id="H1",
    statement="Stronger augmentation makes the teachers of an ensemble look at different places.",
    short="Stronger augmentation, teachers look elsewhere",
    estimand=Estimand.SLOPE_ON_STRENGTH,
    outcomes=("attention_iou_adjusted",),
    predictor=STRENGTH,
    direction=Direction.FALLS,
    needs_students=False,
)
H2A: Final = Hypothesis(
    id="H2a",
    statement="Stronger augmentation of the teachers reduces the student's overfitting.",
    short="Stronger augmentation, less overfitting",
    estimand=Estimand.SLOPE_ON_STRENGTH,
    outcomes=("generalization_gap",),
    predictor=STRENGTH,
    direction=Direction.FALLS,
)
H2B: Final = Hypothesis(
    id="H2b",
    statement="Lower attention IoU between teachers goes with less overfitting of the student.",
    short="Less shared attention, less overfitting",
    estimand=Estimand.WITHIN_ASSOCIATION,
    outcomes=("generalization_gap",),
    predictor="attention_iou_adjusted",
    direction=Direction.RISES,
)
H3A: Final = Hypothesis(
    id="H3a",
    statement="Stronger augmentation of the teachers lowers the student's fidelity to them.",
    short="Stronger augmentation, lower fidelity",
    estimand=Estimand.SLOPE_ON_STRENGTH,
    outcomes=("agreement", "conditional_mutual_information_bits"),
    predictor=STRENGTH,
    direction=Direction.FALLS,
)
H3B: Final = Hypothesis(
    id="H3b",
    statement="Lower mutual information between student and teachers goes with less overfitting.",
    short="Less mutual information, less overfitting",
    estimand=Estimand.WITHIN_ASSOCIATION,
    outcomes=("generalization_gap",),
    predictor="conditional_mutual_information_bits",
    direction=Direction.RISES,
    coupled=("agreement", "mutual_information_bits"),
)
H4: Final = Hypothesis(
    id="H4",
    statement="Lower attention IoU between teachers goes with lower student-teacher information.",
    short="Less shared attention, less information",
    estimand=Estimand.WITHIN_ASSOCIATION,
    outcomes=("conditional_mutual_information_bits",),
    predictor="attention_iou_adjusted",
    direction=Direction.RISES,
    primary=False,
)

HYPOTHESES: Final = {claim.id: claim for claim in (H1, H2A, H2B, H3A, H3B, H4)}
"""Every claim by its id, in the order of the published argument."""
