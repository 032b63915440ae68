"""Class activation maps, from the features of the forward pass that gave the logits."""

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
    return torch.einsum("bchw,bc->bhw", features, chosen)


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
