"""Attention maps, from the forward pass that gave the logits."""

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor, nn

from collect.classifier import Classifier
from collect.vision_transformer import VisionTransformer
from store.networks import map_side
from store.vocabulary import AttentionMethod, NetworkKind


def class_activation_map(
    features: Tensor, weights: Tensor, logits: Tensor, labels: Tensor, method: AttentionMethod
) -> Tensor:
    """Weighted sum of the last feature map's channels, before any scaling.

    features: shape (batch, channels, grid, grid); weights: of the linear head, shape
    (classes, channels); logits: (batch, classes); labels: (batch,). Returns shape
    (batch, grid, grid). Source: Zhou et al. 2016.

    For ``cam_sum`` the class weights are summed. Cross-entropy and KL losses leave the sum of a
    head's weights over classes where initialization (and weight decay) put it, since softmax
    does not see it: this map is a fixed random projection of the features.
    """
    match method:
        case AttentionMethod.CAM_SUM:
            chosen = weights.sum(dim=0).expand(len(features), -1)
        case AttentionMethod.CAM_PREDICTED:
            chosen = weights[logits.argmax(dim=1)]
        case AttentionMethod.CAM_LABEL:
            chosen = weights[labels]
        case _:
            raise ValueError(f"{method} takes no class weights: see map_of")
    return torch.einsum("bchw,bc->bhw", features, chosen)


def grad_cam(features: Tensor, head: Callable[[Tensor], Tensor]) -> Tensor:
    """Grad-CAM of each image's predicted class, before any scaling.

    features: shape (batch, channels, grid, grid); head: maps features to logits, shape (batch,
    classes), by any differentiable way. Returns the positive part of the channels' sum weighted
    by the mean gradient of the logit, shape (batch, grid, grid). Source: Selvaraju et al. 2017.
    """
    with torch.inference_mode(mode=False), torch.enable_grad():
        inner = features.detach().clone().requires_grad_()
        logits = head(inner)
        (gradient,) = torch.autograd.grad(logits.max(dim=1).values.sum(), inner)
        weights = gradient.mean(dim=(2, 3))
        return torch.einsum("bchw,bc->bhw", inner.detach(), weights).relu()


def attention_weights(layer: nn.MultiheadAttention, x: Tensor) -> Tensor:
    """How much each token attends to each, mean over heads, of one layer of self-attention.

    x: what the layer is given, shape (batch, tokens, width). Returns shape (batch, tokens,
    tokens), rows summing to 1. Heads are taken one by one: all at once would need as many times
    the memory.
    """
    assert layer.in_proj_weight is not None
    width = layer.embed_dim
    projected = functional.linear(
        x, layer.in_proj_weight[: 2 * width], layer.in_proj_bias[: 2 * width]
    )
    queries, keys = projected.chunk(2, dim=-1)
    scale = 1 / math.sqrt(width // layer.num_heads)
    total = x.new_zeros(x.shape[0], x.shape[1], x.shape[1])
    for query, key in zip(
        queries.chunk(layer.num_heads, dim=-1), keys.chunk(layer.num_heads, dim=-1), strict=True
    ):
        total += (query * scale @ key.transpose(1, 2)).softmax(dim=-1)
    return total / layer.num_heads


class AttentionFlow:
    """What the class token attends to, gathered while a transformer answers one batch.

    Source: Abnar & Zuidema 2020.
    """

    def __init__(self) -> None:
        self._rolled: Tensor | None = None
        self._last: Tensor | None = None

    def layer(self, module: nn.Module, given: tuple[Tensor, ...]) -> None:
        """Take one layer's attention in: called with what it is given, before it answers."""
        assert isinstance(module, nn.MultiheadAttention)
        self._last = attention_weights(module, given[0])
        # half of what a token becomes is itself, by the residual connection
        mixed = 0.5 * self._last + 0.5 * torch.eye(
            self._last.shape[-1], dtype=self._last.dtype, device=self._last.device
        )
        mixed = mixed / mixed.sum(dim=-1, keepdim=True)
        self._rolled = mixed if self._rolled is None else mixed @ self._rolled

    def map(self, method: AttentionMethod) -> Tensor:
        """Return the class token's attention to the patches, shape (batch, grid, grid)."""
        found = self._rolled if method is AttentionMethod.ROLLOUT else self._last
        assert found is not None
        patches = found[:, 0, 1:]
        return patches.unflatten(1, (math.isqrt(patches.shape[1]), -1))


@contextmanager
def watched(
    model: Classifier, methods: Sequence[AttentionMethod]
) -> Generator[AttentionFlow | None]:
    """Gather a transformer's attention while it answers, where a method needs it.

    What it answers keeps its bits: attention is computed beside, from what each layer is given.
    """
    asked = any(method.kind is NetworkKind.TRANSFORMER for method in methods)
    if not (asked and isinstance(model, VisionTransformer)):
        yield None
        return
    flow = AttentionFlow()
    handles = [layer.register_forward_pre_hook(flow.layer) for layer in model.attending()]
    try:
        yield flow
    finally:
        for handle in handles:
            handle.remove()


def map_of(
    method: AttentionMethod,
    model: Classifier,
    *,
    features: Tensor,
    logits: Tensor,
    labels: Tensor,
    flow: AttentionFlow | None,
) -> Tensor:
    """One method's maps of a batch, as large as they are stored, before any scaling.

    features, logits: what the model made of the batch. flow: of ``watched``. Returns shape
    (batch, grid, grid); a coarse map is enlarged bilinearly, see ``store.networks.map_side``.
    """
    if method.kind is NetworkKind.TRANSFORMER:
        if flow is None:
            raise ValueError(f"{method} is of transformers, watched while they answer")
        maps = flow.map(method)
    elif method is AttentionMethod.GRADCAM:
        maps = grad_cam(features, model.logits)
    else:
        maps = class_activation_map(features, model.head.weight, logits, labels, method)
    side = map_side(maps.shape[-1])
    if side == maps.shape[-1]:
        return maps
    return functional.interpolate(maps[:, None], (side, side), mode="bilinear")[:, 0]


def quantize(maps: Tensor) -> list[NDArray[np.uint8] | None]:
    """Min-max scale each map to 0..255, rounded, row by row.

    maps: shape (batch, grid, grid). A map that is constant or not finite has no scale: None.
    """
    flat = maps.flatten(1).double()
    low, high = flat.amin(dim=1), flat.amax(dim=1)
    span = high - low
    scaled = ((flat - low[:, None]) / span[:, None] * 255).round()
    defined = (torch.isfinite(flat).all(dim=1) & (span > 0)).tolist()
    cells = torch.nan_to_num(scaled).to(torch.uint8).cpu().numpy()
    return [cells[row] if fine else None for row, fine in enumerate(defined)]
