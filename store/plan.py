"""What one seed block trains: its teachers, its students, and which of them are compared."""

from itertools import combinations

from store.declared import Declared
from store.vocabulary import MODELS_PER_BLOCK_LIMIT, Arm, PairKind, Role


class Teacher(Declared):
    """One teacher of a block."""

    ordinal: int
    slot: int
    strength: float


class Student(Declared):
    """One student of a block, with the ordinals of its teachers in the order of their slots.

    teacher_strength: mean over its teachers; None of a control student, which has none. arm:
    students that it is compared with.
    """

    ordinal: int
    condition_id: int
    arm: Arm | str
    teacher_strength: float | None
    strength: float
    teachers: tuple[int, ...]


class BlockPlan(Declared):
    """The models of one seed block; the same for every block of a study."""

    teachers: tuple[Teacher, ...]
    students: tuple[Student, ...]

    @property
    def size(self) -> int:
        """Number of models."""
        return len(self.teachers) + len(self.students)

    def strengths_of(self, student: Student) -> tuple[float, ...]:
        """Return the strengths of a student's teachers, in the order of their slots."""
        strength = {teacher.ordinal: teacher.strength for teacher in self.teachers}
        return tuple(strength[ordinal] for ordinal in student.teachers)

    def pairs(self) -> dict[tuple[int, int], PairKind]:
        """Every two teachers of one ensemble, and every student with each of its teachers.

        By their ordinals: the earlier teacher first, a teacher before its student.
        """
        teams = sorted({student.teachers for student in self.students})
        found = {
            (a, b): PairKind.TEACHER_TEACHER for team in teams for a, b in combinations(team, 2)
        }
        for student in self.students:
            found |= {(t, student.ordinal): PairKind.TEACHER_STUDENT for t in student.teachers}
        return found


def with_controls(plan: BlockPlan) -> BlockPlan:
    """Add to a plan, for every strength that a student has, one student without teachers."""
    strengths = sorted({student.strength for student in plan.students})
    cells = 1 + max(student.condition_id for student in plan.students)
    controls = tuple(
        Student(
            ordinal=plan.size + index,
            condition_id=cells + index,
            arm=Arm.CONTROL,
            teacher_strength=None,
            strength=strength,
            teachers=(),
        )
        for index, strength in enumerate(strengths)
    )
    return BlockPlan(teachers=plan.teachers, students=(*plan.students, *controls))


def model_id(block: int, ordinal: int) -> int:
    """Return the number by which the store knows a model."""
    return block * MODELS_PER_BLOCK_LIMIT + ordinal


def planned_row(block: int, model: Teacher | Student, *, view: str) -> dict[str, object]:
    """Return what a row of the table ``model`` holds before the model is trained.

    view: the name of its level of augmentation.
    """
    student = model if isinstance(model, Student) else None
    return {
        "model_id": model_id(block, model.ordinal),
        "block": block,
        "ordinal": model.ordinal,
        "role": str(Role.STUDENT if student else Role.TEACHER),
        "slot": model.slot if isinstance(model, Teacher) else None,
        "condition_id": student.condition_id if student else None,
        "arm": str(student.arm) if student else None,
        "strength": model.strength,
        "view": view,
        "teacher_strength": student.teacher_strength if student else None,
        "teacher_ids": [model_id(block, t) for t in student.teachers] if student else None,
    }
