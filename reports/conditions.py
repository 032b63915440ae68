"""Names of conditions, and the table of what a seed block holds. No number is made here."""

from collections.abc import Sequence

from reports.names import arm_word
from reports.numbers import strength_text
from reports.queries import CONDITIONS
from reports.tables import NONE, Row, Table
from store.conditions import DoseResponse, Factorial, mean_strength
from store.design import Design


def ensemble_text(strengths: Sequence[float], design: Design) -> str:
    """Name an ensemble by its teachers in slot order: ``WS``, or ``0.25``, or ``0 + 1``."""
    layout = design.design
    if isinstance(layout, Factorial):
        return "".join("S" if strength == layout.strong else "W" for strength in strengths)
    if len(set(strengths)) == 1:
        return strength_text(strengths[0])
    return " + ".join(strength_text(strength) for strength in strengths)


def ensemble_words(strengths: Sequence[float], design: Design) -> str:
    """Name an ensemble for a heading: ``Teachers WS: T1 weak, T2 strong``."""
    layout = design.design
    if isinstance(layout, DoseResponse):
        return f"Teachers at strength {strength_text(strengths[0])}"
    if isinstance(layout, Factorial):
        levels = ["strong" if strength == layout.strong else "weak" for strength in strengths]
        name = f"Teachers {ensemble_text(strengths, design)}"
    else:
        levels = [f"at strength {strength_text(strength)}" for strength in strengths]
        name = "Teachers"
    each = ", ".join(f"T{slot} {level}" for slot, level in enumerate(levels, start=1))
    return f"{name}: {each}"


def design_table(design: Design) -> Table:
    """Lay out one seed block: strengths across where teachers share one, else conditions down."""
    layout, plan = design.design, design.plan()
    caption = f"One seed block: {len(plan.teachers)} teachers, {len(plan.students)} students"
    if isinstance(layout, DoseResponse):
        across = [strength_text(strength) for strength in layout.strengths]
        students = [
            Row(
                (
                    f"Student’s strength, {arm_word(arm)}",
                    *(strength_text(s.strength) for s in plan.students if s.arm == arm),
                )
            )
            for arm in layout.arms
        ]
        teachers = Row(("Teachers", *(str(layout.teachers) for _ in across)))
        return Table(
            caption, ("Teachers’ strength", *across), (teachers, *students), sql=CONDITIONS.sql
        )
    most = max(len(student.teachers) for student in plan.students)
    return Table(
        caption=caption,
        sql=CONDITIONS.sql,
        head=("Arm", "Ensemble", *(f"T{slot + 1}" for slot in range(most)), "Mean", "Student"),
        rows=tuple(
            Row(
                (
                    arm_word(student.arm) + (", decides" if student.arm == layout.main_arm else ""),
                    ensemble_text(strengths, design),
                    *(strength_text(strength) for strength in strengths),
                    *(NONE for _ in range(most - len(strengths))),
                    strength_text(mean_strength(strengths)),
                    strength_text(student.strength),
                )
            )
            for student in plan.students
            for strengths in [plan.strengths_of(student)]
        ),
        words=2,
        note="Strengths of the augmentation that each was trained with. A teacher of one slot and "
        "strength is one network, which serves every condition that names it.",
    )


def design_facts(design: Design) -> tuple[tuple[str, str, str], ...]:
    """Return what the first screen says of the design: a name, a number and its details."""
    layout = design.design
    arms = ("Arms asked", str(len(layout.claim_arms)), ", ".join(map(arm_word, layout.claim_arms)))
    if isinstance(layout, DoseResponse):
        strengths = ", ".join(strength_text(strength) for strength in layout.strengths)
        arms = ("Arms", str(len(layout.arms)), ", ".join(layout.arms))
        return ("Strengths", str(len(layout.strengths)), strengths), arms
    students = str(len(design.plan().students))
    if isinstance(layout, Factorial):
        sizes = ", ".join(str(size) for size in layout.teachers)
        levels = f"weak {strength_text(layout.weak)}, strong {strength_text(layout.strong)}"
        return ("Conditions", students, f"of {sizes} teachers; {levels}"), arms
    return ("Conditions", students, f"{len(layout.arms)} arms"), arms
