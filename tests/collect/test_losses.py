import numpy as np
import pytest
import torch

from collect.losses import distillation_loss
from store.training import Distillation

RNG = np.random.default_rng(11)
STUDENT = RNG.normal(size=(6, 5)) * 3
TEACHERS = [RNG.normal(size=(6, 5)) * 3 for _ in range(3)]
LABELS = RNG.integers(0, 5, size=6)


def _softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def _written_out(student, teachers, labels, temperature, alpha) -> float:
    """The published loss, image by image and teacher by teacher."""
    total = 0.0
    for teacher in teachers:
        per_teacher = 0.0
        for row, label in enumerate(labels):
            cross_entropy = -np.log(_softmax(student[None, row])[0, label])
            target = _softmax(teacher[None, row] / temperature)[0]
            answer = _softmax(student[None, row] / temperature)[0]
            divergence = sum(p * np.log(p / q) for p, q in zip(target, answer, strict=True))
            per_teacher += alpha * cross_entropy + (1 - alpha) * temperature**2 * divergence
        total += per_teacher / len(labels)
    return total / len(teachers)


def _loss(student: torch.Tensor, teachers, temperature: float, alpha: float) -> torch.Tensor:
    declared = Distillation(temperature=temperature, alpha=alpha)
    tensors = [torch.from_numpy(teacher) for teacher in teachers]
    return distillation_loss(student, tensors, torch.from_numpy(LABELS), declared)


@pytest.mark.parametrize("teachers", [1, 2, 3])
@pytest.mark.parametrize(("temperature", "alpha"), [(3, 0.6), (1, 0), (4.5, 1), (10, 0.1)])
def test_the_loss_equals_the_formula_written_out(teachers, temperature, alpha):
    value = _loss(torch.from_numpy(STUDENT), TEACHERS[:teachers], temperature, alpha)
    expected = _written_out(STUDENT, TEACHERS[:teachers], LABELS, temperature, alpha)
    assert value.item() == pytest.approx(expected, rel=1e-10)


def test_the_gradient_equals_finite_differences_of_the_formula():
    student = torch.from_numpy(STUDENT).requires_grad_()
    _loss(student, TEACHERS, 3, 0.6).backward()
    step = 1e-6
    for row, column in [(0, 0), (2, 3), (5, 4)]:
        values = []
        for sign in (1, -1):
            moved = STUDENT.copy()
            moved[row, column] += sign * step
            values.append(_written_out(moved, TEACHERS, LABELS, 3, 0.6))
        expected = (values[0] - values[1]) / (2 * step)
        assert student.grad is not None
        assert student.grad[row, column].item() == pytest.approx(expected, abs=1e-6)


def test_a_student_that_answers_as_its_teachers_do_pays_for_the_labels_alone():
    student = torch.from_numpy(STUDENT)
    alone = torch.nn.functional.cross_entropy(student, torch.from_numpy(LABELS)).item()
    assert _loss(student, [STUDENT, STUDENT], 3, 0.6).item() == pytest.approx(
        0.6 * alone, rel=1e-12
    )
