"""Which teachers and students one seed block has: the conditions that a study compares."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from store.declared import Declared
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
