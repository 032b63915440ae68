"""Several replicates of one network trained at once: as one network, and ways to step them.

A network here has ``body``, up to the last feature map, and ``head``, a linear layer on its mean
over places. Replicates share nothing: each has its own weights, images and statistics.
"""

import copy
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as functional
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.optim import SGD

from collect.cifar_resnet import CifarResNet

Step = Callable[[], None]


def optimizer_of(parameters: Sequence[Tensor]) -> SGD:
    """SGD as every way uses it: what it does to a weight depends on no other."""
    return SGD(parameters, lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)


def loss_of(model: CifarResNet, images: Tensor, labels: Tensor, *, bf16: bool) -> Tensor:
    """Cross-entropy in nats; the body in bf16 where asked, head and loss in fp32."""
    with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
        features = model.body(images)
    return functional.cross_entropy(model.logits(features.float()), labels)


class GroupedNetwork(nn.Module):
    """Replicates side by side in one network of grouped convolutions.

    models: of one architecture. Their weights are copied.
    """

    def __init__(self, models: Sequence[CifarResNet]) -> None:
        super().__init__()
        self._replicates = len(models)
        self.body = _grouped([model.body for model in models])
        self.weight = nn.Parameter(torch.stack([m.head.weight.detach() for m in models]))
        self.bias = nn.Parameter(torch.stack([m.head.bias.detach() for m in models]))

    def features(self, images: Tensor) -> Tensor:
        """Map shape (batch, replicates x channels, side, side) to the features of all."""
        return self.body(images)

    def logits(self, features: Tensor) -> Tensor:
        """Class scores of the features of all, fp32, shape (batch, replicates, classes)."""
        pooled = _at_least_fp32(features).mean(dim=(2, 3)).unflatten(1, (self._replicates, -1))
        return torch.einsum("brc,rkc->brk", pooled, self.weight) + self.bias

    def apart(self, replicate: int) -> list[Tensor]:
        """One replicate's weights, in the order in which its own network lists them."""
        own = [value.chunk(self._replicates)[replicate] for value in self.body.parameters()]
        return [*own, self.weight[replicate], self.bias[replicate]]


def _grouped(modules: Sequence[nn.Module]) -> nn.Module:
    """Turn the same module of every replicate into one that does the work of all."""
    first = modules[0]
    if isinstance(first, nn.Conv2d):
        return _grouped_convolution([one for one in modules if isinstance(one, nn.Conv2d)])
    if isinstance(first, nn.BatchNorm2d):
        wide = nn.BatchNorm2d(first.num_features * len(modules))
        wide.to(first.weight)
        states = [module.state_dict() for module in modules]
        wide.load_state_dict(
            {
                name: value if value.ndim == 0 else torch.cat([state[name] for state in states])
                for name, value in states[0].items()
            }
        )
        return wide
    joined = copy.deepcopy(first)
    for name, _child in first.named_children():
        setattr(joined, name, _grouped([module.get_submodule(name) for module in modules]))
    return joined


def _grouped_convolution(convolutions: Sequence[nn.Conv2d]) -> nn.Conv2d:
    first, replicates = convolutions[0], len(convolutions)
    if first.groups != 1 or first.bias is not None:
        raise ValueError("only convolutions of one group without bias can be put side by side")
    joined = nn.Conv2d(
        first.in_channels * replicates,
        first.out_channels * replicates,
        first.kernel_size,
        first.stride,
        first.padding,
        groups=replicates,
        bias=False,
    )
    joined.weight = nn.Parameter(torch.cat([one.weight.detach() for one in convolutions]))
    return joined


class _Fp32BatchNorm(nn.BatchNorm2d):
    """Batch normalization that takes bf16: under vmap torch's own wants one type throughout."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(_at_least_fp32(input)).to(input.dtype)


def _with_fp32_normalization(module: nn.Module) -> nn.Module:
    for one in module.modules():
        if type(one) is nn.BatchNorm2d:
            one.__class__ = _Fp32BatchNorm
    return module


def _at_least_fp32(values: Tensor) -> Tensor:
    return values if values.dtype is torch.float64 else values.float()


class VmappedReplicates:
    """Replicates stacked along a first axis and stepped by torch.func.vmap.

    images: shape (replicates, batch, channels, side, side); labels: (replicates, batch).
    """

    def __init__(
        self, models: Sequence[CifarResNet], images: Tensor, labels: Tensor, *, bf16: bool
    ) -> None:
        self._images, self._labels = images, labels
        self._parameters, self._buffers = stack_module_state(list(models))
        # the module gives the computation its form; its own weights are never touched
        form = _with_fp32_normalization(copy.deepcopy(models[0])).to("meta")

        def loss(
            parameters: dict[str, Tensor],
            buffers: dict[str, Tensor],
            batch: Tensor,
            truth: Tensor,
        ) -> Tensor:
            state = {**parameters, **buffers}
            body, head = (_of(state, part) for part in ("body", "head"))
            with torch.autocast(batch.device.type, torch.bfloat16, enabled=bf16):
                features = functional_call(form.body, body, (batch,))
            pooled = _at_least_fp32(features).mean(dim=(2, 3))
            return functional.cross_entropy(functional_call(form.head, head, (pooled,)), truth)

        self._gradients = vmap(grad(loss))
        self._optimizer = optimizer_of(list(self._parameters.values()))

    def step(self) -> None:
        """Take one step of every replicate."""
        found = self._gradients(self._parameters, self._buffers, self._images, self._labels)
        for name, value in found.items():
            self._parameters[name].grad = value
        self._optimizer.step()

    def apart(self, replicate: int) -> list[Tensor]:
        """One replicate's weights, in the order in which its own network lists them."""
        return [value[replicate] for value in self._parameters.values()]


def _of(state: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    """The weights of one part, by their names within it."""
    prefix = f"{part}."
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }
