"""Ways to train replicates on one GPU: alone, compiled, graphs, streams, in one network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.packing import GroupedNetwork, VmappedReplicates, loss_of, optimizer_of
from collect.augmentation.graded import GradedPolicy
from collect.cifar_resnet import CifarResNet
from collect.torchvision_operators import import_torchvision

CLASSES: Final = 10


EAGER_STEPS: Final = 3
"""Steps before a CUDA graph is captured, which wants warm libraries and optimizer states."""


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
