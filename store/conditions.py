"""Which teachers and students one seed block has: the conditions that a study compares.

Every kind lays out its block (``plan``) and says which students the claims are asked of: an *arm*
holds students that differ in their teachers' augmentation, of ensembles of one size.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from math import fsum
from typing import Annotated, Final, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from store.declared import Declared, unless_said
from store.plan import BlockPlan, Student, Teacher
from store.vocabulary import Arm

Strength = Annotated[float, Field(ge=0, le=1, description="a fraction in [0, 1]")]


class Conditions(Declared):
    """What every kind of conditions may have.

    control: whether a block has, beside its distilled students, one at each of their strengths
    that learns from the labels alone.
    """

    left_out_at_default = ("control",)

    control: bool = False


class DoseResponse(Conditions):
    """Teachers at every strength; students in up to two arms on the same teachers."""

    kind: Literal["dose_response"] = "dose_response"
    strengths: tuple[Strength, ...] = Field(min_length=1)
    teachers: int = Field(default=2, ge=1, le=3)
    arms: tuple[Arm, ...] = Field(default=(Arm.FIXED, Arm.MATCHED), min_length=1)
    fixed_strength: Strength = 0.5

    @model_validator(mode="after")
    def _values_are_distinct(self) -> Self:
        if len(set(self.strengths)) != len(self.strengths):
            raise ValueError(f"strengths {list(self.strengths)} repeat a value")
        if Arm.CONTROL in self.arms:
            raise ValueError("arms: control is no arm to list; write control: true beside arms")
        if len(set(self.arms)) != len(self.arms):
            raise ValueError(f"arms {[str(arm) for arm in self.arms]} repeat a value")
        return self

    def declared_strengths(self) -> dict[str, tuple[float, ...]]:
        """Strengths that networks are trained at, by the key that declares them."""
        declared = {"strengths": self.strengths}
        if Arm.FIXED in self.arms:
            declared["fixed_strength"] = (self.fixed_strength,)
        return declared

    @property
    def claim_arms(self) -> tuple[str, ...]:
        """Arms that the claims are asked in."""
        return self.arms

    @property
    def main_arm(self) -> str:
        """Arm that decides of students: ``fixed``, for only there do teachers alone differ."""
        return Arm.FIXED if Arm.FIXED in self.arms else self.arms[0]

    @property
    def published_arm(self) -> str:
        """Arm that is the published study's: students augmented as their teachers."""
        return Arm.MATCHED if Arm.MATCHED in self.arms else self.arms[0]

    def plan(self) -> BlockPlan:
        """Lay out one block: teachers by strength and slot, then students by arm."""
        teachers = tuple(
            Teacher(ordinal=index * self.teachers + slot, slot=slot, strength=strength)
            for index, strength in enumerate(self.strengths)
            for slot in range(self.teachers)
        )
        cells = [
            (arm, index, strength)
            for arm in self.arms
            for index, strength in enumerate(self.strengths)
        ]
        students = tuple(
            Student(
                ordinal=len(teachers) + cell,
                condition_id=cell,
                arm=arm,
                teacher_strength=strength,
                strength=self.fixed_strength if arm is Arm.FIXED else strength,
                teachers=tuple(index * self.teachers + slot for slot in range(self.teachers)),
            )
            for cell, (arm, index, strength) in enumerate(cells)
        )
        return BlockPlan(teachers=teachers, students=students)


LEVELS: Final = ("weak", "strong")
"""The two levels of a factorial design, in ascending order of strength."""

MOST_TEACHERS: Final = 8
"""Teachers in a listed ensemble at most."""

Level = Literal["weak", "strong"]


class DecidingStudents(Declared):
    """Which students of a factorial design decide of the claims.

    teachers: in their ensemble; by default the largest number of the design. student: their own
    level; by default weak, the one that leaves most overfitting for the teachers to lessen.
    """

    teachers: int | None = Field(default=None, ge=1, le=3)
    student: Level = "weak"


class Factorial(Conditions):
    """Every teacher weakly or strongly augmented, and the student too: 2^n x 2 conditions of n.

    Ensembles of n teachers are T1 to Tn of the block; ensembles of every size share them.
    Source: Guo et al. 2024, with n of 1, 2 and 3.
    """

    kind: Literal["factorial"]
    teachers: tuple[Annotated[int, Field(ge=1, le=3)], ...] = Field(default=(1, 2, 3), min_length=1)
    weak: Strength = 0.5
    strong: Strength = 1
    deciding: DecidingStudents = DecidingStudents()

    @field_validator("teachers")
    @classmethod
    def _sizes_are_distinct(cls, teachers: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(teachers)) != len(teachers):
            raise ValueError(f"teachers {list(teachers)} repeat a number")
        return tuple(sorted(teachers))

    @model_validator(mode="after")
    def _levels_are_in_order(self) -> Self:
        if self.weak >= self.strong:
            raise ValueError(f"weak {self.weak:g} must be below strong {self.strong:g}")
        asked = self.deciding.teachers
        if asked is not None and asked not in self.teachers:
            allowed = ", ".join(str(number) for number in self.teachers)
            raise ValueError(f"deciding.teachers is {asked}; allowed: {allowed}")
        return self

    def strength(self, level: str) -> float:
        """Return the strength of a level."""
        return self.strong if level == "strong" else self.weak

    def declared_strengths(self) -> dict[str, tuple[float, ...]]:
        """Strengths that networks are trained at, by the key that declares them."""
        return {"weak": (self.weak,), "strong": (self.strong,)}

    @property
    def deciding_teachers(self) -> int:
        """Size of the ensembles that the claims are asked of."""
        return self.deciding.teachers or max(self.teachers)

    @property
    def claim_arms(self) -> tuple[str, ...]:
        """Arms that the claims are asked in: both kinds of students of the deciding ensembles."""
        return tuple(arm_of(level, self.deciding_teachers) for level in LEVELS)

    @property
    def main_arm(self) -> str:
        """Arm whose findings decide."""
        return arm_of(self.deciding.student, self.deciding_teachers)

    @property
    def published_arm(self) -> str:
        """Arm that the published computations are compared in: the same students."""
        return self.main_arm

    def cells(self, teachers: int) -> tuple["Cell", ...]:
        """Every condition of ensembles of one size, students weak before strong."""
        return tuple(
            Cell(teachers=levels, student=student)
            for student in LEVELS
            for levels in product(LEVELS, repeat=teachers)
        )

    def plan(self) -> BlockPlan:
        """Lay out one block: teachers by slot and level, then students by size of ensemble."""
        levels = [self.strength(level) for level in LEVELS]
        listed = tuple(
            ListedCondition(
                teachers=tuple(self.strength(level) for level in cell.teachers),
                student=self.strength(cell.student),
                arm=arm_of(cell.student, number),
            )
            for number in self.teachers
            for cell in self.cells(number)
        )
        return _laid_out(listed, product(range(max(self.teachers)), levels))


@dataclass(frozen=True, slots=True)
class Cell:
    """One condition of a factorial design: levels of T1 to Tn, and of the student."""

    teachers: tuple[str, ...]
    student: str


class ListedCondition(Declared):
    """One ensemble, by the strengths of T1 to Tn, and the student that it teaches.

    arm: students that are compared with each other; by default those of one strength, of
    ensembles of one size.
    """

    teachers: tuple[Strength, ...] = Field(min_length=1, max_length=MOST_TEACHERS)
    student: Strength
    arm: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9_]{0,30}$")

    @property
    def named_arm(self) -> str:
        """Name of its arm, declared or not."""
        return self.arm or arm_of(f"{self.student:g}", len(self.teachers))


class ConditionList(Conditions):
    """Conditions one by one; teachers of one slot and strength are trained once for all.

    deciding: the arm that decides of the claims; by default the one whose teachers have most
    mean strengths, then most conditions, then the first.
    """

    kind: Literal["list"]
    conditions: tuple[ListedCondition, ...] = Field(min_length=1, max_length=400)
    deciding: str | None = None

    @model_validator(mode="after")
    def _conditions_are_distinct(self) -> Self:
        counted = Counter((c.teachers, c.student, c.named_arm) for c in self.conditions)
        for (teachers, student, arm), times in counted.items():
            if times > 1:
                raise ValueError(
                    f"conditions repeat teachers {list(teachers)} with student {student:g} in arm "
                    f"{arm}"
                )
        return self

    @model_validator(mode="after")
    def _arms_are_sound(self) -> Self:
        if Arm.CONTROL in self.arms:
            raise ValueError("arm control is not to be listed; write control: true beside the list")
        for arm in self.arms:
            sizes = sorted({len(c.teachers) for c in self.conditions if c.named_arm == arm})
            if len(sizes) > 1:
                raise ValueError(
                    f"arm {arm} has ensembles of {' and '.join(map(str, sizes))} teachers, which "
                    "cannot be told from their augmentation; give each size an arm of its own"
                )
        if self.deciding is not None and self.deciding not in self.arms:
            raise ValueError(
                f"deciding is {self.deciding!r}, no arm of the list; allowed: "
                f"{', '.join(self.arms)}"
            )
        return self

    @property
    def arms(self) -> tuple[str, ...]:
        """Every arm, in the order of the list."""
        return tuple(dict.fromkeys(condition.named_arm for condition in self.conditions))

    def declared_strengths(self) -> dict[str, tuple[float, ...]]:
        """Strengths that networks are trained at, by the key that declares them."""
        return {
            f"conditions.{index}": (*condition.teachers, condition.student)
            for index, condition in enumerate(self.conditions)
        }

    @property
    def claim_arms(self) -> tuple[str, ...]:
        """Arms that the claims are asked in: where there is more than one ensemble to compare."""
        return tuple(a for a in self.arms if len(self._teams(a)) > 1 or a == self.main_arm)

    @property
    def main_arm(self) -> str:
        """Arm whose findings decide."""
        if self.deciding is not None:
            return self.deciding

        def compared(arm: str) -> tuple[int, int]:
            teams = self._teams(arm)
            return len({mean_strength(team) for team in teams}), len(teams)

        return max(self.arms, key=compared)

    @property
    def published_arm(self) -> str:
        """Arm that the published computations are compared in: the same students."""
        return self.main_arm

    def _teams(self, arm: str) -> set[tuple[float, ...]]:
        return {c.teachers for c in self.conditions if c.named_arm == arm}

    def plan(self) -> BlockPlan:
        """Lay out one block: teachers by slot and strength, then students as listed."""
        asked = {pair for c in self.conditions for pair in enumerate(c.teachers)}
        return _laid_out(self.conditions, sorted(asked))


def arm_of(student: str, teachers: int) -> str:
    """Name an arm by its students' level or strength and the size of their ensembles."""
    return f"{student}_of_{teachers}"


def mean_strength(strengths: Sequence[float]) -> float:
    """Return an ensemble's mean strength, the same in whatever order its teachers stand."""
    if len(set(strengths)) == 1:
        return strengths[0]
    return fsum(strengths) / len(strengths)


def _laid_out(
    conditions: Sequence[ListedCondition], teachers: Iterable[tuple[int, float]]
) -> BlockPlan:
    """Give teachers, by slot and strength, and students their ordinals.

    teachers: by slot first, so that an ensemble's ordinals ascend with its slots.
    """
    planned = tuple(
        Teacher(ordinal=ordinal, slot=slot, strength=strength)
        for ordinal, (slot, strength) in enumerate(teachers)
    )
    places = {(teacher.slot, teacher.strength): teacher.ordinal for teacher in planned}
    students = tuple(
        Student(
            ordinal=len(planned) + cell,
            condition_id=cell,
            arm=condition.named_arm,
            teacher_strength=mean_strength(condition.teachers),
            strength=condition.student,
            teachers=tuple(places[pair] for pair in enumerate(condition.teachers)),
        )
        for cell, condition in enumerate(conditions)
    )
    return BlockPlan(teachers=planned, students=students)


CONDITION_KINDS: Final[dict[str, type[Declared]]] = {
    "dose_response": DoseResponse,
    "factorial": Factorial,
    "list": ConditionList,
}
"""Designs by the ``kind`` that a study file gives them."""


AnyConditions = Annotated[
    Annotated[DoseResponse | Factorial | ConditionList, Field(discriminator="kind")],
    BeforeValidator(unless_said(kind="dose_response")),
]
