import copy
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, MultiStepLR

from collect.checkpoint import load_unfinished, save_unfinished
from collect.cifar_resnet import CifarResNet
from collect.engine import Runtime, choose_device, choose_precision, has_bf16, start
from collect.memory import Limits
from collect.models import build, frozen
from collect.pixels import InMemory
from collect.seeding import Purpose, model_streams
from collect.train import (
    Trainee,
    TrainingSet,
    cross_entropy,
    distilled_from,
    evaluate,
    learning_rate,
    train,
)
from store.augmentations import Graded
from store.errors import UserError
from store.networks import CifarNetwork
from store.sections import Engine
from store.training import Distillation, Recipe
from store.vocabulary import Role

RUNTIME = Runtime(
    torch.device("cpu"), "fp32", torch.full((1, 1, 1, 1), 0.4), torch.ones(1, 1, 1, 1)
)
NETWORK = CifarNetwork(depth=8, width=4, strides=(1, 1, 1))


def _recipe(**changes: object) -> Recipe:
    return Recipe.model_validate(
        {"epochs": 3, "batch_size": 10, "learning_rate": 0.1, "evaluate_every": 2, **changes}
    )


def _data() -> TrainingSet:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (40, 1, 8, 8), generator=generator, dtype=torch.uint8)
    halves = pixels.float().mean(dim=(1, 3)).split(4, dim=1)
    labels = (halves[0].mean(dim=1) > halves[1].mean(dim=1)).long()
    images = InMemory(pixels.numpy())
    return TrainingSet(images, labels, images, labels)


def _model(seed: int = 0) -> CifarResNet:
    generator = torch.Generator().manual_seed(seed)
    return build(NETWORK, channels=1, side=8, classes=2, generator=generator)


def _trainee(seed: int = 0, *, teachers: tuple[int, ...] = (), **changes: object) -> Trainee:
    loss = distilled_from(teachers, Distillation()) if teachers else cross_entropy
    return Trainee(_model(seed), _recipe(**changes), loss=loss, teachers=teachers)


def _train(
    *trainees: Trainee,
    strength: float = 0.5,
    teachers: dict[int, CifarResNet] | None = None,
    runtime: Runtime = RUNTIME,
    **changes: object,
) -> Trainee:
    train(
        trainees,
        _data(),
        recipe=_recipe(**changes),
        policy=Graded(),
        strength=strength,
        streams=model_streams(1, 0, Role.TEACHER, 0),
        runtime=runtime,
        teachers=teachers,
    )
    return trainees[0]


def _state(trainee: Trainee) -> list[torch.Tensor]:
    return list(trainee.model.state_dict().values())


def _same_state(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def _equal(first: Trainee, second: Trainee) -> bool:
    pairs = zip(_state(first), _state(second), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


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


TEACHERS_RECIPE = {
    **{"epochs": 61, "batch_size": 128, "learning_rate": 0.1, "warmup_epochs": 8},
    **{"schedule": "step", "milestones": [25, 40, 60]},
}
STUDENTS_RECIPE = {**TEACHERS_RECIPE, "epochs": 200, "milestones": [190, 195]}


def _torchs_rates(schedule, optimizer, epochs: int) -> list[float]:
    """The rate of every epoch as torch's own scheduler has it, stepped after each."""
    rates = []
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def _optimizer() -> torch.optim.SGD:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)


@pytest.mark.parametrize("declared", [TEACHERS_RECIPE, STUDENTS_RECIPE])
@pytest.mark.parametrize("gamma", [0.1, 0.2])
def test_the_published_steps_are_torchs_epoch_by_epoch(declared, gamma):
    recipe, steps = Recipe.model_validate({**declared, "gamma": gamma}), 7
    optimizer = _optimizer()
    schedule = MultiStepLR(optimizer, milestones=list(recipe.milestones), gamma=gamma)
    expected = _torchs_rates(schedule, optimizer, recipe.epochs)
    for epoch in range(8, recipe.epochs):
        rates = [learning_rate(recipe, epoch * steps + step, steps) for step in range(steps)]
        assert rates == pytest.approx([expected[epoch]] * steps, rel=1e-12)
    warm = [learning_rate(recipe, step, steps) for step in range(8 * steps)]
    assert warm == pytest.approx([0.1 * (step + 1) / (8 * steps) for step in range(8 * steps)])


@pytest.mark.parametrize("declared", [TEACHERS_RECIPE, STUDENTS_RECIPE])
def test_a_warm_up_by_epochs_is_the_published_one(declared):
    recipe, steps = Recipe.model_validate({**declared, "warmup_by": "epoch"}), 5
    optimizer = _optimizer()

    def factor(epoch: int) -> float:
        fallen = 0.1 ** sum(epoch >= milestone for milestone in recipe.milestones)
        return fallen * min(1.0, (1 + epoch) / 8)

    expected = _torchs_rates(LambdaLR(optimizer, factor), optimizer, recipe.epochs)
    rates = [learning_rate(recipe, step, steps) for step in range(recipe.epochs * steps)]
    assert rates == pytest.approx(np.repeat(expected, steps).tolist(), rel=1e-12)


def test_adamw_takes_the_steps_that_it_is_published_with():
    declared = {"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 0.1}
    trainee = _trainee(batch_size=40, epochs=3, warmup_epochs=0, **declared)
    weight = trainee.model.head.weight
    images = RUNTIME.standardized(torch.from_numpy(_data().pixels.read(np.arange(40))))
    value = weight.detach().numpy().astype(np.float64)
    first, second = np.zeros_like(value), np.zeros_like(value)
    for step in range(1, 6):
        trainee.step(images, _data().labels, {}, 0.01, RUNTIME)
        assert weight.grad is not None
        gradient = weight.grad.numpy().astype(np.float64)
        # Loshchilov & Hutter 2019, algorithm 2, with torch's scaling of the decay by the rate
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        value -= 0.01 * 0.1 * value
        value -= 0.01 * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        assert np.abs(weight.detach().numpy() - value).max() < 1e-6


def test_training_learns_and_records_every_epoch():
    result = _train(_trainee(), epochs=15, strength=0.0)
    assert result.failure is None
    assert [row.epoch for row in result.epochs] == list(range(1, 16))
    evaluated = [row.epoch for row in result.epochs if row.test_accuracy is not None]
    assert evaluated == [2, 4, 6, 8, 10, 12, 14, 15]
    assert result.epochs[-1].train_loss < 0.5 * result.epochs[0].train_loss
    assert result.epochs[-1].test_accuracy is not None
    assert result.epochs[-1].test_accuracy > 0.9


def test_one_seed_gives_the_same_weights_bit_for_bit():
    first = _train(_trainee())
    torch.rand(7)  # the global stream is nobody's
    assert _equal(first, _train(_trainee()))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_in_lockstep_every_student_ends_with_the_bits_it_would_have_had_alone(precision):
    runtime = replace(RUNTIME, precision=precision)
    teachers = {ordinal: frozen(_model(10 + ordinal)) for ordinal in range(3)}
    ensembles = [(0,), (1,), (0, 1), (1, 2), (0, 1, 2)]
    together = [_trainee(seed, teachers=team) for seed, team in enumerate(ensembles)]
    _train(*together, teachers=teachers, runtime=runtime)
    for seed, team in enumerate(ensembles):
        alone = _train(_trainee(seed, teachers=team), teachers=teachers, runtime=runtime)
        assert _equal(alone, together[seed])
        assert alone.epochs == together[seed].epochs
    assert not _equal(together[0], together[1])


def test_in_lockstep_each_teacher_answers_each_batch_once():
    passes = Counter()

    def counted(ordinal: int) -> CifarResNet:
        model = frozen(_model(10 + ordinal))
        features = model.features
        model.features = lambda x: (passes.update([ordinal]), features(x))[1]
        return model

    ensembles = [(0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 1, 2)]
    students = [_trainee(teachers=team) for team in ensembles]
    teachers = {ordinal: counted(ordinal) for ordinal in range(4)}
    _train(*students, teachers=teachers, epochs=3)
    # 40 images in batches of 10, 3 epochs; teacher 3 is nobody's
    assert passes == {ordinal: 12 for ordinal in range(3)}


def test_a_loss_that_is_not_finite_ends_the_model_with_its_reason_and_keeps_the_others():
    calls = []

    def explode(logits, labels, answers):
        calls.append(1)
        value = cross_entropy(logits, labels, answers)
        return value * math.nan if len(calls) == 6 else value

    failing = Trainee(_model(), _recipe(), loss=explode)
    other = _trainee(1)
    _train(failing, other)
    assert failing.failure == "the training loss became nan in epoch 2, step 2"
    assert [row.epoch for row in failing.epochs] == [1]
    assert len(calls) == 8
    assert other.failure is None
    assert _equal(other, _train(_trainee(1)))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("teacher_mode", ["eval", "train"])
def test_training_goes_on_after_any_epoch_to_the_same_bits(tmp_path, optimizer, teacher_mode):
    teams = {4: (0,), 7: (0, 1)}

    def answering() -> dict[int, CifarResNet]:
        found = {0: _model(10), 1: _model(11)}
        if teacher_mode == "train":
            return {ordinal: model.train() for ordinal, model in found.items()}
        return {ordinal: frozen(model) for ordinal, model in found.items()}

    def group() -> dict[int, Trainee]:
        changes = {"epochs": 5, "optimizer": optimizer}
        return {n: _trainee(n, teachers=team, **changes) for n, team in teams.items()}

    def run(trainees: dict[int, Trainee], teachers, stop_after: int | None = None) -> None:
        done = 0

        def keep() -> None:
            nonlocal done
            done += 1
            save_unfinished(tmp_path / "group.safetensors", trainees, 1.5 * done, teachers=teachers)
            if done == stop_after:
                raise KeyboardInterrupt

        train(
            list(trainees.values()),
            _data(),
            recipe=_recipe(epochs=5),
            policy=Graded(),
            strength=0.5,
            streams=model_streams(1, 0, Role.STUDENT, 0),
            runtime=RUNTIME,
            teachers=teachers,
            after_epoch=keep,
        )

    whole, taught_by = group(), answering()
    run(whole, taught_by)
    for stop in range(1, 5):
        with pytest.raises(KeyboardInterrupt):
            run(group(), answering(), stop)
        resumed, teachers = group(), answering()
        kept = tmp_path / "group.safetensors"
        assert load_unfinished(kept, resumed, teachers=teachers) == 1.5 * stop
        assert len(resumed[4].epochs) == stop
        run(resumed, teachers)
        for ordinal in teams:
            assert _equal(resumed[ordinal], whole[ordinal])
            assert resumed[ordinal].epochs == whole[ordinal].epochs
        for ordinal, teacher in teachers.items():
            assert _same_state(teacher, taught_by[ordinal])
    other = {4: _trainee(4, teachers=(0,), epochs=5)}
    assert load_unfinished(tmp_path / "group.safetensors", other) == 0
    (tmp_path / "group.safetensors").write_bytes(b"damaged")
    fresh = group()
    assert load_unfinished(tmp_path / "group.safetensors", fresh) == 0
    assert _equal(fresh[4], group()[4])


def test_evaluation_does_not_depend_on_how_many_images_pass_at_once():
    model, data = _train(_trainee()).model, _data()
    values = {
        evaluate(model, data.test_pixels, data.test_labels, replace(RUNTIME, limits=Limits(1, n)))
        for n in (4, 7, 13, 39, 512)
    }
    assert len(values) == 1


def test_distilling_leaves_the_teachers_as_they_were():
    teachers = {0: frozen(_model(1)), 1: frozen(_model(2))}
    before = {
        (ordinal, name): value.clone()
        for ordinal, teacher in teachers.items()
        for name, value in teacher.state_dict().items()
    }
    result = _train(_trainee(teachers=(0, 1)), teachers=teachers)
    assert result.failure is None
    for ordinal, teacher in teachers.items():
        state = teacher.state_dict()
        assert all(torch.equal(before[ordinal, name], v) for name, v in state.items())
        assert all(parameter.grad is None for parameter in teacher.parameters())


def _in_train_mode(*seeds: int) -> dict[int, CifarResNet]:
    return {ordinal: _model(seed).train() for ordinal, seed in enumerate(seeds)}


def test_teachers_in_train_mode_drift_as_if_each_had_seen_every_batch_once():
    teachers, expected = _in_train_mode(1, 2), _in_train_mode(1, 2)
    students = [_trainee(3, teachers=(0,)), _trainee(4, teachers=(0, 1))]
    # strength 0: the images are the training set's own, in the order that the epochs draw
    _train(*students, strength=0.0, teachers=teachers, epochs=2)
    data, streams = _data(), model_streams(1, 0, Role.TEACHER, 0)
    for epoch in range(2):
        order = streams.numpy(Purpose.DATA_ORDER, epoch).permutation(40)
        for rows in np.split(order, 4):
            images = RUNTIME.standardized(torch.from_numpy(data.pixels.read(rows)))
            with torch.no_grad():
                for teacher in expected.values():
                    teacher(images)
    for ordinal, teacher in teachers.items():
        assert _same_state(teacher, expected[ordinal])
        assert not _same_state(teacher, _model(1 + ordinal))


def test_teachers_in_train_mode_answer_by_the_batch_and_teach_another_student():
    model = _train(_trainee(1), epochs=5).model
    by_batch = _train(_trainee(3, teachers=(0,)), teachers={0: copy.deepcopy(model).train()})
    by_running = _train(_trainee(3, teachers=(0,)), teachers={0: frozen(model)})
    assert not _equal(by_batch, by_running)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_in_train_mode_too_lockstep_leaves_every_students_bits(precision):
    runtime = replace(RUNTIME, precision=precision)
    teams = [(0,), (1,), (0, 1)]
    together = [_trainee(seed, teachers=team) for seed, team in enumerate(teams)]
    _train(*together, teachers=_in_train_mode(10, 11), runtime=runtime)
    for seed, team in enumerate(teams):
        alone = _trainee(seed, teachers=team)
        _train(alone, teachers=_in_train_mode(10, 11), runtime=runtime)
        assert _equal(alone, together[seed])


def test_a_distilled_student_comes_to_answer_as_its_teacher_does():
    teacher = _train(_trainee(1), epochs=15, strength=0.0).model
    declared = Distillation(alpha=0)
    student = Trainee(
        _model(2), _recipe(epochs=15), loss=distilled_from([0], declared), teachers=[0]
    )
    _train(student, epochs=15, strength=0.0, teachers={0: frozen(teacher)})
    assert student.epochs[-1].train_loss < 0.2 * student.epochs[0].train_loss


@pytest.mark.parametrize("distilled", [False, True])
def test_no_loss_moves_the_sum_of_a_heads_weights_over_classes(distilled):
    # what makes cam_sum a random projection of the features: see CAM_SUM and measures.py
    trainee = _trainee(teachers=(0,) if distilled else (), epochs=10, weight_decay=0)
    model = trainee.model
    before, first = model.head.weight.sum(dim=0).clone(), model.head.weight.detach().clone()
    _train(trainee, epochs=10, teachers={0: frozen(_model(1))})
    assert torch.allclose(model.head.weight.sum(dim=0), before, atol=1e-5)
    assert (model.head.weight - first).abs().max() > 1e-2


def test_bf16_is_used_where_declared_while_training_and_never_to_observe():
    runtime = replace(RUNTIME, precision="bf16")
    images = RUNTIME.standardized(torch.from_numpy(_data().pixels.read(np.arange(40))))
    model = _model().eval()
    with torch.inference_mode():
        low, full = (r.training_logits(model, images) for r in (runtime, RUNTIME))
        observed = [r.logits(model, images) for r in (runtime, RUNTIME)]
    assert low.dtype is torch.float32
    assert not torch.equal(low, full)
    # bf16 keeps 8 bits: a relative error of 2^-8 a layer, nine layers
    assert (low - full).abs().max() < 0.1 * full.abs().max()
    assert torch.equal(observed[0], observed[1])
    assert torch.equal(observed[0], full)


def test_auto_takes_bf16_where_the_processor_multiplies_it(monkeypatch):
    cpu = torch.device("cpu")
    found = {"avx512_bf16": True, "avx2": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    assert choose_precision("auto", cpu) == "bf16"
    assert choose_precision("fp32", cpu) == "fp32"
    found["avx512_bf16"] = False
    assert not has_bf16(cpu)
    assert choose_precision("auto", cpu) == "fp32"
    # declared: imitated by the processor, with the same rounding
    assert choose_precision("bf16", cpu) == "bf16"
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert choose_precision("auto", cpu) == "fp32"


def test_a_compiler_that_is_declared_and_missing_is_said_in_words(monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found in [None, 'g++']")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: refuse)
    ones = np.ones(1, dtype=np.float32)
    with pytest.raises(UserError, match=r"No working C\+\+ compiler .* set compile: false"):
        start(Engine(compile=True), torch.device("cpu"), mean=ones, std=ones)


def test_a_declared_gpu_that_is_not_there_is_said_in_words():
    if torch.cuda.is_available():
        assert choose_device("auto").type == "cuda"
    else:
        assert choose_device("auto").type == "cpu"
        with pytest.raises(UserError, match="torch sees no GPU"):
            choose_device("cuda")
