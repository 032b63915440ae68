import math

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR

from collect.engine import Runtime, choose_device
from collect.models import build
from collect.seeding import model_streams
from collect.train import TrainingSet, cross_entropy, distilled_from, learning_rate, train
from store.augmentations import Graded
from store.design import Distillation, Network, Recipe
from store.errors import UserError
from store.vocabulary import Role

RUNTIME = Runtime(
    torch.device("cpu"), "fp32", torch.full((1, 1, 1, 1), 0.4), torch.ones(1, 1, 1, 1)
)
NETWORK = Network(depth=8, width=4, strides=(1, 1, 1))


def _recipe(**changes: object) -> Recipe:
    return Recipe.model_validate(
        {"epochs": 3, "batch_size": 10, "learning_rate": 0.1, "evaluate_every": 2, **changes}
    )


def _data() -> TrainingSet:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(40, 1, 8, 8, generator=generator)
    labels = (pixels[:, 0, :4].mean(dim=(1, 2)) > pixels[:, 0, 4:].mean(dim=(1, 2))).long()
    return TrainingSet(pixels, labels, RUNTIME.standardized(pixels), labels)


def _model(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return build(NETWORK, channels=1, classes=2, generator=generator)


def _train(model, *, loss=cross_entropy, strength: float = 0.5, **changes: object):
    return train(
        model,
        _data(),
        recipe=_recipe(**changes),
        policy=Graded(),
        strength=strength,
        streams=model_streams(1, 0, Role.TEACHER, 0),
        loss=loss,
        runtime=RUNTIME,
    )


def test_the_cosine_schedule_is_torchs_after_the_warm_up():
    recipe = _recipe(epochs=12, warmup_epochs=2)
    steps = 5
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    schedule = CosineAnnealingLR(optimizer, T_max=10 * steps)
    for step in range(2 * steps, 12 * steps):
        optimizer.step()
        schedule.step()
        expected = schedule.get_last_lr()[0]
        assert learning_rate(recipe, step, steps) == pytest.approx(expected, abs=1e-12)
    warm = [learning_rate(recipe, step, steps) for step in range(2 * steps)]
    assert warm == pytest.approx([0.1 * (step + 1) / 10 for step in range(10)])


def test_the_step_schedule_falls_to_a_tenth_after_each_milestone():
    recipe = _recipe(epochs=6, schedule="step", milestones=[2, 4], warmup_epochs=1)
    rates = [learning_rate(recipe, step, 1) for step in range(6)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


def test_training_learns_and_records_every_epoch():
    model = _model()
    result = _train(model, epochs=15, strength=0.0)
    assert result.failure is None
    assert [row.epoch for row in result.epochs] == list(range(1, 16))
    evaluated = [row.epoch for row in result.epochs if row.test_accuracy is not None]
    assert evaluated == [2, 4, 6, 8, 10, 12, 14, 15]
    assert result.epochs[-1].train_loss < 0.5 * result.epochs[0].train_loss
    assert result.epochs[-1].test_accuracy is not None
    assert result.epochs[-1].test_accuracy > 0.9


def test_one_seed_gives_the_same_weights_bit_for_bit():
    first, second = _model(), _model()
    _train(first)
    torch.rand(7)  # the global stream is nobody's
    _train(second)
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_loss_that_is_not_finite_ends_the_model_with_its_reason():
    calls = []

    def explode(logits, images, labels):
        calls.append(1)
        value = cross_entropy(logits, images, labels)
        return value * math.nan if len(calls) == 6 else value

    result = _train(_model(), loss=explode)
    assert result.failure == "the training loss became nan in epoch 2, step 2"
    assert [row.epoch for row in result.epochs] == [1]


def test_distilling_leaves_the_teachers_as_they_were():
    teachers = [_model(1), _model(2)]
    before = [
        {name: value.clone() for name, value in teacher.state_dict().items()}
        for teacher in teachers
    ]
    result = _train(_model(), loss=distilled_from(teachers, Distillation(), RUNTIME))
    assert result.failure is None
    for teacher, state in zip(teachers, before, strict=True):
        assert all(torch.equal(state[name], v) for name, v in teacher.state_dict().items())
        assert all(parameter.grad is None for parameter in teacher.parameters())


def test_a_distilled_student_comes_to_answer_as_its_teacher_does():
    teacher = _model(1)
    _train(teacher, epochs=15, strength=0.0)
    student = _model(2)
    declared = Distillation(alpha=0)
    loss = distilled_from([teacher], declared, RUNTIME)
    result = _train(student, epochs=15, strength=0.0, loss=loss)
    assert result.epochs[-1].train_loss < 0.2 * result.epochs[0].train_loss


@pytest.mark.parametrize("distilled", [False, True])
def test_no_loss_moves_the_sum_of_a_heads_weights_over_classes(distilled):
    # what makes cam_sum a random projection of the features: see CAM_SUM and measures.py
    model = _model()
    before, first = model.head.weight.sum(dim=0).clone(), model.head.weight.clone()
    loss = distilled_from([_model(1)], Distillation(), RUNTIME) if distilled else cross_entropy
    _train(model, epochs=10, weight_decay=0, loss=loss)
    assert torch.allclose(model.head.weight.sum(dim=0), before, atol=1e-5)
    assert (model.head.weight - first).abs().max() > 1e-2


def test_bf16_is_used_where_declared_and_gives_fp32_logits():
    runtime = Runtime(torch.device("cpu"), "bf16", RUNTIME.mean, RUNTIME.std)
    images = RUNTIME.standardized(_data().pixels)
    model = _model().eval()
    with torch.inference_mode():
        low, full = runtime.logits(model, images), RUNTIME.logits(model, images)
    assert low.dtype is torch.float32
    assert not torch.equal(low, full)
    # bf16 keeps 8 bits: a relative error of 2^-8 a layer, nine layers
    assert (low - full).abs().max() < 0.1 * full.abs().max()


def test_a_declared_gpu_that_is_not_there_is_said_in_words():
    if torch.cuda.is_available():
        assert choose_device("auto").type == "cuda"
    else:
        assert choose_device("auto").type == "cpu"
        with pytest.raises(UserError, match="torch sees no GPU"):
            choose_device("cuda")
