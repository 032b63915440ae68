import numpy as np
import pytest
import torch

from collect.losses import distillation_loss
from store.training import AnyDistillation, Distillation, EnsembleDistillation, LogitMatching

RNG = np.random.default_rng(11)
STUDENT = RNG.normal(size=(6, 5)) * 3
TEACHERS = [RNG.normal(size=(6, 5)) * 3 for _ in range(3)]
LABELS = RNG.integers(0, 5, size=6)

KINDS = ["kl", "logits", "probabilities", "mse"]
WEIGHTS = [(3, 0.6), (1, 0), (4.5, 1), (10, 0.1), (0.5, 0.3)]


def _declared(kind: str, temperature: float, alpha: float) -> AnyDistillation:
    if kind == "mse":
        return LogitMatching(loss="mse", alpha=alpha)
    if kind == "kl":
        return Distillation(temperature=temperature, alpha=alpha)
    return EnsembleDistillation.model_validate(
        {"loss": "ensemble", "temperature": temperature, "alpha": alpha, "average": kind}
    )


def _softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def _asked(kind, student, teachers, temperature) -> float:
    """What the teachers ask for on one image, without its weight."""
    answer = _softmax(student / temperature)
    if kind == "mse":
        squares = [
            sum((s - t) ** 2 for s, t in zip(student, teacher, strict=True)) / len(student)
            for teacher in teachers
        ]
        return sum(squares) / len(teachers)
    if kind == "logits":
        targets = [_softmax(sum(teachers) / len(teachers) / temperature)]
    elif kind == "probabilities":
        targets = [sum(_softmax(t / temperature) for t in teachers) / len(teachers)]
    else:
        targets = [_softmax(t / temperature) for t in teachers]
    divergences = [
        sum(p * np.log(p / q) for p, q in zip(target, answer, strict=True)) for target in targets
    ]
    return temperature**2 * sum(divergences) / len(targets)


def _written_out(kind, student, teachers, labels, temperature, alpha) -> float:
    """The loss image by image, in float64."""
    total = 0.0
    for row, label in enumerate(labels):
        cross_entropy = -np.log(_softmax(student[row])[label])
        asked = _asked(kind, student[row], [t[row] for t in teachers], temperature)
        total += alpha * cross_entropy + (1 - alpha) * asked
    return total / len(labels)


def _written_out_gradient(kind, student, teachers, labels, temperature, alpha) -> np.ndarray:
    """Its gradient by the student's logits, from the formula, image by image."""
    images, classes = student.shape
    gradient = np.zeros_like(student)
    for row, label in enumerate(labels):
        taught = [t[row] for t in teachers]
        hard = _softmax(student[row]) - np.eye(classes)[label]
        if kind == "mse":
            soft = 2 * sum(student[row] - t for t in taught) / len(taught) / classes
        else:
            softened = [_softmax(t / temperature) for t in taught]
            if kind == "logits":
                target = _softmax(sum(taught) / len(taught) / temperature)
            else:
                # of the mean divergence and of that from the mean: they differ by a constant
                target = sum(softened) / len(softened)
            soft = temperature * (_softmax(student[row] / temperature) - target)
        gradient[row] = (alpha * hard + (1 - alpha) * soft) / images
    return gradient


def _loss(student: torch.Tensor, teachers, declared: AnyDistillation) -> torch.Tensor:
    tensors = [torch.from_numpy(teacher) for teacher in teachers]
    return distillation_loss(student, tensors, torch.from_numpy(LABELS), declared)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("teachers", [1, 2, 3])
@pytest.mark.parametrize(("temperature", "alpha"), WEIGHTS)
def test_loss_and_gradient_equal_the_formula_written_out(kind, teachers, temperature, alpha):
    taught = TEACHERS[:teachers]
    student = torch.from_numpy(STUDENT).requires_grad_()
    value = _loss(student, taught, _declared(kind, temperature, alpha))
    value.backward()
    expected = _written_out(kind, STUDENT, taught, LABELS, temperature, alpha)
    assert value.item() == pytest.approx(expected, rel=1e-10)
    gradient = _written_out_gradient(kind, STUDENT, taught, LABELS, temperature, alpha)
    assert student.grad is not None
    assert np.abs(student.grad.numpy() - gradient).max() < 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_equals_finite_differences_of_the_formula(kind):
    student = torch.from_numpy(STUDENT).requires_grad_()
    _loss(student, TEACHERS, _declared(kind, 3, 0.6)).backward()
    step = 1e-6
    for row, column in [(0, 0), (2, 3), (5, 4)]:
        values = []
        for sign in (1, -1):
            moved = STUDENT.copy()
            moved[row, column] += sign * step
            values.append(_written_out(kind, moved, TEACHERS, LABELS, 3, 0.6))
        expected = (values[0] - values[1]) / (2 * step)
        assert student.grad is not None
        assert student.grad[row, column].item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_in_single_precision_the_loss_keeps_six_digits(kind):
    student, labels = torch.from_numpy(STUDENT).float(), torch.from_numpy(LABELS)
    teachers = [torch.from_numpy(teacher).float() for teacher in TEACHERS]
    value = distillation_loss(student, teachers, labels, _declared(kind, 3, 0.6)).item()
    assert value == pytest.approx(_written_out(kind, STUDENT, TEACHERS, LABELS, 3, 0.6), rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_student_that_answers_as_its_teachers_do_pays_for_the_labels_alone(kind):
    student = torch.from_numpy(STUDENT)
    alone = torch.nn.functional.cross_entropy(student, torch.from_numpy(LABELS)).item()
    value = _loss(student, [STUDENT, STUDENT], _declared(kind, 3, 0.6)).item()
    assert value == pytest.approx(0.6 * alone, rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_at_alpha_1_the_labels_teach_alone_and_at_alpha_0_the_teachers_do(kind):
    student = torch.from_numpy(STUDENT)
    cross_entropy = torch.nn.functional.cross_entropy(student, torch.from_numpy(LABELS)).item()
    assert _loss(student, TEACHERS, _declared(kind, 3, 1)).item() == cross_entropy
    others = torch.from_numpy((LABELS + 1) % 5)
    tensors = [torch.from_numpy(teacher) for teacher in TEACHERS]
    assert _loss(student, TEACHERS, _declared(kind, 3, 0)).item() == pytest.approx(
        distillation_loss(student, tensors, others, _declared(kind, 3, 0)).item(), rel=1e-12
    )


def test_one_teacher_is_its_own_ensemble_and_several_are_not_their_mean():
    student = torch.from_numpy(STUDENT)
    values = {
        teachers: [
            _loss(student, TEACHERS[:teachers], _declared(kind, 3, 0.2)).item()
            for kind in ("kl", "logits", "probabilities")
        ]
        for teachers in (1, 3)
    }
    assert values[1] == pytest.approx([values[1][0]] * 3, rel=1e-12)
    apart, by_logits, by_probabilities = values[3]
    # the divergence is convex in its target: Jensen
    assert by_probabilities < apart
    assert by_logits != pytest.approx(by_probabilities, rel=1e-3)
