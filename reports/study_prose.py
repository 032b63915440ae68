"""What was trained, in one sentence of a study's declaration."""

from reports.names import in_words, plural
from reports.numbers import (
    whole,
)
from store.conditions import ConditionList, DoseResponse, Factorial
from store.design import Design
from store.images import DigitsData, ForeignData, PublishedData
from store.networks import Networks
from store.sections import Foreign
from store.vocabulary import Arm


def study_sentence(design: Design) -> str:
    """Say in one sentence what was trained, how many times, and on what."""
    cells = design.design
    if design.foreign is not None:
        return _foreign_sentence(design, design.foreign)
    networks = design.own_training.networks
    if not isinstance(cells, DoseResponse):
        return _conditions_sentence(design, cells, networks)
    teacher, student = networks.teacher.title, networks.student.title
    kind = "of the same kind" if teacher == student else f"({student})"
    levels = plural(len(cells.strengths), "augmentation strength")
    number = sum(bool(student.teachers) for student in design.plan().students)
    students = plural(number, "student")
    was, were = ("was" if count == 1 else "were" for count in (cells.teachers, number))
    augmented = f"augmented {_arms(cells.arms, cells.fixed_strength)}{_controls(design)}"
    taught = f"{plural(cells.teachers, 'teacher')} ({teacher}) {was} trained"
    if design.shared_teachers is not None:
        return (
            f"For each of {plural(design.shared_teachers.pools, 'pool')}, {taught} at each of "
            f"{levels} on {_data(design)}; in each of {plural(design.seeds, 'seed')}, {students} "
            f"{kind} {were} distilled from the teachers of one pool, {augmented}."
        )
    return (
        f"In each of {plural(design.seeds, 'seed')}, {taught} afresh at each of {levels} on "
        f"{_data(design)}, and {students} {kind} {were} distilled from them, {augmented}."
    )


def _conditions_sentence(
    design: Design, cells: Factorial | ConditionList, networks: Networks
) -> str:
    """Say what was trained where teachers of one ensemble may differ in their augmentation."""
    teacher, student = networks.teacher.title, networks.student.title
    plan = design.plan()
    start = (
        f"In each of {plural(design.seeds, 'seed')}, "
        f"{plural(len(plan.teachers), 'teacher')} ({teacher}) were trained afresh on "
        f"{_data(design)}"
    )
    kind = "of the same kind" if teacher == student else f"({student})"
    students = f"{plural(len(plan.students), 'student')} {kind}"
    if isinstance(cells, ConditionList):
        return (
            f"{start}, and {students} were distilled from ensembles of them, one for each "
            "condition that the study lists."
        )
    sizes = [in_words(size) for size in cells.teachers]
    joined = " and ".join([", ".join(sizes[:-1]), sizes[-1]]) if len(sizes) > 1 else sizes[0]
    one = "teacher" if cells.teachers == (1,) else "teachers"
    return (
        f"{start}, each slot of the ensemble once weakly augmented (strength {cells.weak:g}) and "
        f"once strongly ({cells.strong:g}), and {students} were distilled from them: one for every "
        f"way to make {joined} {one} and the student weak or strong."
    )


def _controls(design: Design) -> str:
    """Say how many students had no teachers, where there are such."""
    number = sum(not student.teachers for student in design.plan().students)
    return f"; {in_words(number)} more learned from the labels alone" if number else ""


def _foreign_sentence(design: Design, foreign: Foreign) -> str:
    """Say what another software trained, in the words of the study file."""
    cells = design.design
    if not isinstance(cells, DoseResponse):
        plan = design.plan()
        return (
            f"In each of {plural(design.seeds, 'seed')}, "
            f"{plural(len(plan.teachers), 'teacher')} ({foreign.teacher}) were trained afresh by "
            f"{foreign.trainer} at strengths of {foreign.strength} on {_data(design)}, and "
            f"{plural(len(plan.students), 'student')} ({foreign.student}) were distilled from "
            "ensembles of them."
        )
    teachers = plural(cells.teachers, "teacher")
    number = sum(bool(student.teachers) for student in design.plan().students)
    students = plural(number, "student")
    was, were = ("was" if n == 1 else "were" for n in (cells.teachers, number))
    return (
        f"In each of {plural(design.seeds, 'seed')}, {teachers} ({foreign.teacher}) {was} trained "
        f"afresh by {foreign.trainer} at each of {plural(len(cells.strengths), 'strength')} "
        f"({foreign.strength}) on {_data(design)}, and {students} ({foreign.student}) {were} "
        f"distilled from them, {_arms(cells.arms, cells.fixed_strength)}{_controls(design)}."
    )


def _arms(arms: tuple[Arm, ...], fixed_strength: float) -> str:
    words = {
        Arm.FIXED: f"always at strength {fixed_strength:g}",
        Arm.MATCHED: "as strongly as their teachers",
    }
    return " or ".join(words[arm] for arm in arms)


def _data(design: Design) -> str:
    dataset = design.dataset
    subset = dataset.train_subset
    images = "all training images" if subset is None else f"{whole(subset.size)} images"
    if isinstance(dataset, ForeignData):
        return f"{images} ({dataset.description})"
    tail = "" if dataset.imbalance is None else f", long-tailed (imbalance {dataset.imbalance:g})"
    if isinstance(dataset, DigitsData):
        return f"{'all' if subset is None else whole(subset.size)} handwritten digits{tail}"
    if isinstance(dataset, PublishedData):
        return f"{images} of {dataset.published.title}{tail}"
    return f"{images} of {plural(dataset.classes, 'class', 'classes')}{tail}"
