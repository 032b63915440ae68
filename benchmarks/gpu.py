"""How fast one GPU trains: one replicate, several at once, precisions, augmentation.

    python -m benchmarks.gpu

Needs nothing but torch, torchvision and numpy beside this project's own code. Prints Markdown
with the hardware's name, in less than eight minutes: what the time does not reach is said. With
--device cpu --quick it shows that it runs; ways that need CUDA then say so.
"""

import argparse
import hashlib
import importlib.util
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.packing import GroupedNetwork, VmappedReplicates, loss_of, optimizer_of
from benchmarks.pages import machine, table
from benchmarks.rounds import Done, Timed, Turn, Way, preload, take_turns
from collect.augmentation.graded import GradedPolicy
from collect.cifar_resnet import CifarResNet
from collect.torchvision_operators import import_torchvision

CLASSES: Final = 10
CHECKED_STEPS: Final = 5
"""Steps after which the weights of packed replicates are compared with those trained alone."""
EAGER_STEPS: Final = 3
"""Steps before a CUDA graph is captured, which wants warm libraries and optimizer states."""
LIMIT_SECONDS: Final = 420
"""No further table row is begun after this."""
ROUNDS: Final = 5

Kind = Literal["ResNet-18", "ResNet-20"]
Precision = Literal["fp32", "tf32", "bf16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What ``CifarResNet`` reads of a declared network."""

    depth: int
    width: int
    strides: tuple[int, int, int] = (1, 2, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Magnitudes:
    """What ``GradedPolicy`` reads of a declared policy, with the values of its defaults."""

    rotation_degrees: float = 30
    shear_degrees: float = 15
    translate: float = 0.15
    scale: float = 0.2
    brightness: float = 0.3
    contrast: float = 0.3
    cutout: float = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The graded policy, every operation and a flip."""

    maximum: Magnitudes = Magnitudes()
    horizontal_flip: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What one way trains in one turn."""

    kind: Kind
    device: str
    precision: Precision = "bf16"
    channels_last: bool = True
    width: int
    side: int = 32
    batch: int
    steps: int
    replicates: int

    @property
    def images(self) -> int:
        """Images of one replicate in one turn."""
        return self.batch * self.steps


class Strongest(Protocol):
    """What is asked of a policy here; see ``collect.augmentation.policy``."""

    uniforms: int

    def choose(self, uniforms: NDArray[np.float64], strength: float) -> Any:
        """Turn uniforms into what is done at a strength."""
        ...


class SmallImageResNet18(nn.Module):
    """torchvision's ResNet-18 with a 3 x 3 stem and no pooling after it, in body and head."""

    def __init__(self, width: int) -> None:
        super().__init__()
        resnet = import_torchvision().models.resnet18(num_classes=CLASSES, width_per_group=64)
        stem = nn.Conv2d(3, width, 3, 1, padding=1, bias=False)
        layers = [resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4]
        self.body = nn.Sequential(stem, nn.BatchNorm2d(width), nn.ReLU(), *layers)
        self.head = resnet.fc

    def logits(self, features: Tensor) -> Tensor:
        """Class scores of a feature map, shape (batch, classes), in fp32."""
        return self.head(features.float().mean(dim=(2, 3)))

    def forward(self, x: Tensor) -> Tensor:
        """Map images of shape (batch, 3, side, side) to logits (batch, classes)."""
        return self.logits(self.body(x))


def network(trial: Trial, seed: int) -> CifarResNet | SmallImageResNet18:
    """Build one replicate's network on its device, weights drawn from a seed."""
    if trial.kind == "ResNet-18":
        torch.manual_seed(seed)
        model: CifarResNet | SmallImageResNet18 = SmallImageResNet18(trial.width)
    else:
        shape = Shape(depth=20, width=trial.width)
        generator = torch.Generator().manual_seed(seed)
        model = CifarResNet(shape, channels=3, classes=CLASSES)
        model.initialize(generator)
    layout = torch.channels_last if trial.channels_last else torch.contiguous_format
    return model.to(trial.device).to(memory_format=layout).train()


def batch_of(trial: Trial, seed: int) -> tuple[Tensor, Tensor]:
    """One replicate's standardized images, shape (batch, 3, side, side), and labels."""
    generator = torch.Generator().manual_seed(1000 + seed)
    images = torch.randn(trial.batch, 3, trial.side, trial.side, generator=generator)
    labels = torch.randint(CLASSES, (trial.batch,), generator=generator)
    layout = torch.channels_last if trial.channels_last else torch.contiguous_format
    return images.to(trial.device).contiguous(memory_format=layout), labels.to(trial.device)


class Replicate:
    """One network on one batch, stepped eagerly, or with a compiled body."""

    def __init__(self, trial: Trial, seed: int, *, compiled: bool = False) -> None:
        self.model = network(trial, seed)
        self.images, self.labels = batch_of(trial, seed)
        self._optimizer = optimizer_of(list(self.model.parameters()))
        self._bf16 = trial.precision == "bf16"
        if compiled:
            self.model.body.compile()

    def step(self) -> None:
        """Take one step."""
        loss = loss_of(self.model, self.images, self.labels, bf16=self._bf16)
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()

    def weights(self) -> list[Tensor]:
        """All parameters, body then head."""
        return [*self.model.body.parameters(), *self.model.head.parameters()]


class AugmentedReplicate(Replicate):
    """One network that sees uint8 images of its device augmented at every step.

    policy: chooses what is done, at strength 1, from so many uniforms an image.
    """

    def __init__(self, trial: Trial, seed: int, policy: Strongest) -> None:
        super().__init__(trial, seed)
        self._policy = policy
        rng = np.random.default_rng(seed)
        shape = (trial.batch, 3, trial.side, trial.side)
        pixels = rng.integers(0, 256, shape, dtype=np.uint8)
        self._pixels = torch.from_numpy(pixels).to(trial.device)
        self._rng = rng

    def step(self) -> None:
        """Draw, augment, standardize, take one step."""
        rows = np.arange(len(self._pixels))
        uniforms = self._rng.random((len(rows), self._policy.uniforms))
        seen = self._policy.choose(uniforms, 1.0).apply(self._pixels, rows)
        self.images = ((seen - 0.5) / 0.29).contiguous(memory_format=torch.channels_last)
        super().step()


class GraphedReplicate(Replicate):
    """One network whose step is captured as a CUDA graph, on a stream of its own, and replayed.

    The learning rate is part of what is captured; with a schedule it has to be a tensor.
    """

    def __init__(self, trial: Trial, seed: int) -> None:
        super().__init__(trial, seed)
        self._stream = torch.cuda.Stream()
        self._graph: torch.cuda.CUDAGraph | None = None
        self._taken = 0

    def step(self) -> None:
        """Take one step: the first ones eagerly, then by replaying."""
        self._stream.wait_stream(torch.cuda.default_stream())
        if self._graph is None and self._taken >= EAGER_STEPS:
            torch.cuda.synchronize()
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, stream=self._stream):
                super().step()
        with torch.cuda.stream(self._stream):
            if self._graph is None:
                super().step()
            else:
                self._graph.replay()
        self._taken += 1


class StreamedReplicate(Replicate):
    """One network, stepped eagerly on a stream of its own."""

    def __init__(self, trial: Trial, seed: int) -> None:
        super().__init__(trial, seed)
        self._stream = torch.cuda.Stream()
        self._stream.wait_stream(torch.cuda.default_stream())

    def step(self) -> None:
        """Take one step."""
        with torch.cuda.stream(self._stream):
            super().step()


class Grouped:
    """All replicates as one network of grouped convolutions."""

    def __init__(self, trial: Trial) -> None:
        seeds = range(trial.replicates)
        self._model = GroupedNetwork([network(trial, seed) for seed in seeds])
        layout = torch.channels_last if trial.channels_last else torch.contiguous_format
        self._model.to(memory_format=layout).train()
        batches = [batch_of(trial, seed) for seed in seeds]
        joined = torch.cat([images for images, _ in batches], dim=1)
        self._images = joined.contiguous(memory_format=layout)
        self._labels = torch.stack([labels for _, labels in batches], dim=1)
        self._optimizer = optimizer_of(list(self._model.parameters()))
        self._bf16 = trial.precision == "bf16"

    def step(self) -> None:
        """Take one step of every replicate."""
        with torch.autocast(self._images.device.type, torch.bfloat16, enabled=self._bf16):
            features = self._model.features(self._images)
        logits = self._model.logits(features)
        # summed over replicates, so that each one's gradient is that of its own mean
        losses = nn.functional.cross_entropy(
            logits.flatten(0, 1), self._labels.flatten(), reduction="none"
        )
        self._optimizer.zero_grad()
        (losses.sum() / len(logits)).backward()
        self._optimizer.step()

    def apart(self, replicate: int) -> list[Tensor]:
        """One replicate's weights."""
        return self._model.apart(replicate)


@dataclass(frozen=True, slots=True)
class Running:
    """What steps, and the weights of each replicate in it."""

    step: Callable[[], None]
    weights: Callable[[], list[list[Tensor]]]


def alone(trial: Trial, number: int) -> Running:
    """One replicate, eagerly."""
    replicate = Replicate(trial, number)
    return Running(replicate.step, lambda: [replicate.weights()])


def compiled(trial: Trial, number: int) -> Running:
    """One replicate, its body compiled."""
    replicate = Replicate(trial, number, compiled=True)
    return Running(replicate.step, lambda: [replicate.weights()])


def graded(trial: Trial, number: int) -> Running:
    """One replicate that sees the graded policy at its strongest."""
    replicate = AugmentedReplicate(trial, number, GradedPolicy(Policy()))
    return Running(replicate.step, lambda: [replicate.weights()])


def strong(trial: Trial, number: int) -> Running:
    """One replicate that sees the published strong policy, AutoAugment and cutout in it."""
    # this one reads what a study declares, and so needs pydantic
    from collect.augmentation.published import PublishedPolicy
    from store.augmentations import Published

    policy = PublishedPolicy(Published(policy="published"), trial.side)
    replicate = AugmentedReplicate(trial, number, policy)
    return Running(replicate.step, lambda: [replicate.weights()])


def graphed(trial: Trial, number: int) -> Running:
    """One replicate, its step replayed."""
    replicate = GraphedReplicate(trial, number)
    return Running(replicate.step, lambda: [replicate.weights()])


def streams(trial: Trial, number: int) -> Running:
    """All replicates, eagerly, a stream each."""
    del number
    return _side_by_side([StreamedReplicate(trial, seed) for seed in range(trial.replicates)])


def graphs_on_streams(trial: Trial, number: int) -> Running:
    """All replicates, replayed, a stream each."""
    del number
    return _side_by_side([GraphedReplicate(trial, seed) for seed in range(trial.replicates)])


def _side_by_side(replicates: Sequence[Replicate]) -> Running:
    def step() -> None:
        for replicate in replicates:
            replicate.step()

    return Running(step, lambda: [replicate.weights() for replicate in replicates])


def grouped(trial: Trial, number: int) -> Running:
    """All replicates in one network of grouped convolutions."""
    del number
    packed = Grouped(trial)
    return Running(packed.step, lambda: [packed.apart(r) for r in range(trial.replicates)])


def vmapped(trial: Trial, number: int) -> Running:
    """All replicates by torch.func.vmap."""
    del number
    seeds = range(trial.replicates)
    batches = [batch_of(trial, seed) for seed in seeds]
    packed = VmappedReplicates(
        [network(trial, seed) for seed in seeds],
        torch.stack([images for images, _ in batches]),
        torch.stack([labels for _, labels in batches]),
        bf16=trial.precision == "bf16",
    )
    return Running(packed.step, lambda: [packed.apart(r) for r in range(trial.replicates)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """One way to train: what runs in a process, and in how many."""

    name: str
    run: Callable[[Trial, int], Running]
    packed: bool
    processes: bool = False
    needs_cuda: bool = False


WAYS: Final = (
    Packing(name="torch.compile", run=compiled, packed=False),
    Packing(name="CUDA graph", run=graphed, packed=False, needs_cuda=True),
    Packing(name="processes", run=alone, packed=True, processes=True),
    Packing(name="streams", run=streams, packed=True, needs_cuda=True),
    Packing(name="CUDA graphs on streams", run=graphs_on_streams, packed=True, needs_cuda=True),
    Packing(name="grouped convolutions", run=grouped, packed=True),
    Packing(name="torch.func.vmap", run=vmapped, packed=True),
)
ALONE: Final = "one replicate"


def prepare(run: Callable[[Trial, int], Running], trial: Trial, inside: int, number: int) -> Turn:
    """Set the device up, take the steps after which weights are compared; then steps by turns.

    inside: replicates in this process.
    """
    settle(trial)
    running = run(trial, number)
    for _ in range(CHECKED_STEPS):
        running.step()
    synchronize(trial)
    mark = " ".join(_hash(weights) for weights in running.weights())

    def turn() -> Done:
        for _ in range(trial.steps):
            running.step()
        synchronize(trial)
        peak = torch.cuda.max_memory_allocated() if trial.device == "cuda" else 0
        return Done(trial.images * inside, mark, peak)

    return turn


def settle(trial: Trial) -> None:
    """One thread, deterministic algorithms, TF32 only where asked: as in the project's engine."""
    torch.set_num_threads(1)
    if trial.device == "cuda":
        torch.use_deterministic_algorithms(mode=True)
        torch.backends.cudnn.benchmark = False
        torch.backends.cuda.matmul.allow_tf32 = trial.precision == "tf32"
        torch.backends.cudnn.allow_tf32 = trial.precision == "tf32"


def synchronize(trial: Trial) -> None:
    """Wait until the device has done what it was asked."""
    if trial.device == "cuda":
        torch.cuda.synchronize()


def _hash(weights: Sequence[Tensor]) -> str:
    digest = hashlib.sha256()
    for value in weights:
        digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _way(name: str, run: Callable[[Trial, int], Running], trial: Trial, *, processes: int) -> Way:
    inside = trial.replicates if run in (streams, graphs_on_streams, grouped, vmapped) else 1
    return Way(
        name=name,
        prepare=partial(prepare, run, trial, inside),
        processes=processes,
    )


class Clock:
    """How long the benchmark may still begin something new."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self._end


def packings(trial: Trial, *, rounds: int, quick: bool, clock: Clock) -> str:
    """Every way beside one replicate alone: speed, memory, and whether weights are the same."""
    rows: list[list[str]] = []
    references = _references(trial)
    for way in WAYS:
        name = f"{trial.kind}, {way.name}" + (f" x {trial.replicates}" if way.packed else "")
        if way.needs_cuda and trial.device != "cuda":
            rows.append([name, "needs CUDA", "", "", ""])
        elif way.run is compiled and quick:
            rows.append([name, "left out of a quick run", "", "", ""])
        elif clock.over:
            rows.append([name, "not reached in time", "", "", ""])
        else:
            rows.append([name, *_measured(way, trial, rounds, references)])
    return table(
        ["bf16, channels_last", "images/s", "times one alone", "GPU memory, GiB", "same weights"],
        rows,
    )


def _measured(way: Packing, trial: Trial, rounds: int, references: Sequence[str]) -> list[str]:
    ways = [
        _way(ALONE, alone, trial, processes=1),
        _way(way.name, way.run, trial, processes=trial.replicates if way.processes else 1),
    ]
    try:
        timed = take_turns(ways, rounds=rounds)
    except RuntimeError as error:
        # what an unknown GPU or version refuses is part of the answer; the rest still runs
        return [f"failed: {str(error).strip().splitlines()[-1][:120]}", "", "", ""]
    return [
        f"{timed.per_second(way.name):,.0f}",
        f"{timed.ratio(way.name, ALONE):.2f}",
        _memory(timed, way.name),
        _agreement(timed, way.name, references),
    ]


def _references(trial: Trial) -> list[str]:
    """Hash of each replicate's weights when it is trained alone."""
    settle(trial)
    found: list[str] = []
    for seed in range(trial.replicates):
        replicate = Replicate(trial, seed)
        for _ in range(CHECKED_STEPS):
            replicate.step()
        found.append(_hash(replicate.weights()))
    return found


def _agreement(timed: Timed, way: str, references: Sequence[str]) -> str:
    marks = " ".join(timed.turns[way][0].marks).split()
    same = sum(a == b for a, b in zip(marks, references, strict=False))
    return f"{same} of {len(marks)}"


def _memory(timed: Timed, way: str) -> str:
    peak = timed.peak_bytes(way)
    return f"{peak / 2**30:.2f}" if peak else "-"


def precisions(trial: Trial, *, rounds: int) -> str:
    """One replicate in each precision and memory format."""
    kinds: list[tuple[Precision, bool]] = [("fp32", False), ("fp32", True), ("bf16", True)]
    if trial.device == "cuda":
        kinds.insert(2, ("tf32", True))
    trials = {
        f"{precision}, {'channels_last' if last else 'NCHW'}": replace(
            trial, precision=precision, channels_last=last
        )
        for precision, last in kinds
    }
    ways = [_way(name, alone, one, processes=1) for name, one in trials.items()]
    timed = take_turns(ways, rounds=rounds)
    base = ways[0].name
    rows = [
        [
            f"{trial.kind}, {way.name}",
            f"{timed.per_second(way.name):,.0f}",
            f"{timed.ratio(way.name, base):.2f}",
            _memory(timed, way.name),
        ]
        for way in ways
    ]
    return table(["one replicate", "images/s", "times", "GPU memory, GiB"], rows)


def augmentation(trial: Trial, *, rounds: int) -> str:
    """What the strongest augmentation of every image takes of a step, its draws included."""
    policies = {"graded": graded}
    if importlib.util.find_spec("pydantic"):
        policies["published strong"] = strong
    ways = [
        _way(ALONE, alone, trial, processes=1),
        *(_way(name, run, trial, processes=1) for name, run in policies.items()),
    ]
    timed = take_turns(ways, rounds=rounds)
    rows = [
        [
            f"{trial.kind}, {name}",
            f"{timed.per_second(ALONE):,.0f}",
            f"{timed.per_second(name):,.0f}",
            f"{100 * (1 - timed.ratio(name, ALONE)):.1f} %",
        ]
        for name in policies
    ]
    if "published strong" not in policies:
        rows.append([f"{trial.kind}, published strong", "needs pydantic", "", ""])
    columns = ["one replicate", "images/s", "augmented, images/s", "augmentation's share of a step"]
    return table(columns, rows)


def hardware(device: str) -> str:
    """Name the GPU and what it is used with, or the processor."""
    if device != "cuda":
        return f"{machine()} (no GPU: shows that it runs, not how fast)"
    found = torch.cuda.get_device_properties(0)
    return (
        f"{found.name}, {found.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}, "
        f"cuDNN {torch.backends.cudnn.version()}; {machine()}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description="Speed of training on one GPU, as tables.",
        epilog="example: python -m benchmarks.gpu > gpu.md",
    )
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run at all?")
    chosen = parser.parse_args()
    if chosen.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no GPU; --device cpu --quick shows that the benchmark runs")
    # cuBLAS reads this when it starts, in the processes that do the work
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    preload("benchmarks.packing")
    clock = Clock(LIMIT_SECONDS)
    rounds = 1 if chosen.quick else ROUNDS
    print(f"{hardware(chosen.device)}; medians of {rounds} rounds in turns.\n", flush=True)
    for trial in _trials(chosen.device, quick=chosen.quick):
        print(packings(trial, rounds=rounds, quick=chosen.quick, clock=clock), "\n", flush=True)
        for part in (precisions, augmentation):
            if clock.over:
                print(f"{trial.kind}, {part.__name__}: not reached in time\n")
            else:
                print(part(trial, rounds=rounds), "\n", flush=True)


def _trials(device: str, *, quick: bool) -> list[Trial]:
    if quick:
        return [
            Trial(kind="ResNet-20", device=device, width=2, side=8, batch=4, steps=1, replicates=2)
        ]
    return [
        Trial(kind="ResNet-18", device=device, width=64, batch=512, steps=60, replicates=4),
        Trial(kind="ResNet-20", device=device, width=16, batch=512, steps=100, replicates=8),
    ]


if __name__ == "__main__":
    main()
