"""Attention maps, from the features of the forward pass that gave the logits."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from store.vocabulary import AttentionMethod


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
        case AttentionMethod.GRADCAM:
            raise ValueError("gradcam takes gradients, not class weights: see grad_cam")
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
