"""What a study makes a machine do, counted before anything is trained."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from collect.observe import methods_asked, views_shown
from store.design import Design
from store.images import ForeignData
from store.plan import Student, Teacher
from store.training import Recipe
from store.vocabulary import Split


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What one seed block asks for, in images: an image in each epoch or view counts once.

    teacher_training, student_training: forward, backward and step. answers: teachers' forward
    passes for students that learn from them. teachers_augmented, students_augmented: drawn and
    augmented in training.
    teacher_evaluated, student_evaluated: forward passes for the learning curves.
    teacher_observed, student_observed: forward passes whose logits are kept. maps: attention
    maps kept, of ``grid`` x ``grid`` cells.
    """

    teachers: int
    students: int
    teacher_training: int
    student_training: int
    answers: int
    teachers_augmented: int
    students_augmented: int
    teacher_evaluated: int
    student_evaluated: int
    teacher_observed: int
    student_observed: int
    maps: int


def workload(design: Design, *, train_images: int, test_images: int) -> Workload:
    """Count what one block of a study asks for; all blocks ask for the same.

    train_images: that each model is trained on. Students that would be the same network, and
    teachers' answers to students of one view, are counted once, as they are computed once.
    """
    plan, recipes = design.plan(), design.own_training.training
    students = {(s.teachers, s.strength): s for s in plan.students}.values()
    attention = design.attention
    return Workload(
        teachers=len(plan.teachers),
        students=len(students),
        teacher_training=len(plan.teachers) * recipes.teacher.epochs * train_images,
        student_training=len(students) * recipes.student.epochs * train_images,
        answers=_asked_teachers(students) * recipes.student.epochs * train_images,
        teachers_augmented=train_images
        * recipes.teacher.epochs
        * sum(t.strength > 0 for t in plan.teachers),
        students_augmented=train_images
        * recipes.student.epochs
        * len({s.strength for s in students if s.strength > 0}),
        teacher_evaluated=len(plan.teachers) * _evaluations(recipes.teacher) * test_images,
        student_evaluated=len(students) * _evaluations(recipes.student) * test_images,
        teacher_observed=_observed(design, plan.teachers, train_images, test_images),
        student_observed=_observed(design, plan.students, train_images, test_images),
        maps=test_images
        * sum(
            len(methods_asked(name, split, attention.kept, attention.published))
            for model in (*plan.teachers, *plan.students)
            for name, split in views_shown(design, model)
        ),
    )


def _asked_teachers(students: Iterable[Student]) -> int:
    """Teachers that answer a batch, summed over the views that students are trained on."""
    by_view: dict[float, set[int]] = {}
    for student in students:
        by_view.setdefault(student.strength, set()).update(student.teachers)
    return sum(len(asked) for asked in by_view.values())


def _evaluations(recipe: Recipe) -> int:
    """Epochs after which the test images are looked at."""
    return len({recipe.epochs, *range(recipe.evaluate_every, recipe.epochs, recipe.evaluate_every)})


def _observed(
    design: Design, models: Sequence[Teacher | Student], train_images: int, test_images: int
) -> int:
    dataset = design.dataset
    assert not isinstance(dataset, ForeignData)
    seen = min(dataset.train_observed or train_images, train_images)
    images = {Split.TRAIN: seen, Split.TEST: test_images}
    return sum(images[split] for model in models for _, split in views_shown(design, model))
