"""What a trained model says and where it looks, in one forward pass per view."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from collect.attention import class_activation_map, grad_cam, quantize
from collect.augmentation.policy import draw, policy_for
from collect.datasets import Data, Images
from collect.engine import Runtime
from collect.models import CifarResNet
from collect.seeding import Purpose, study_streams
from store.design import Design
from store.frames import ATTENTION, PREDICTION
from store.vocabulary import CLEAN_VIEW, AttentionMethod, Split


@dataclass(frozen=True, slots=True)
class View:
    """One version of one split's images, on the device.

    images: standardized, shape (images, channels, side, side); labels: shape (images,).
    """

    name: str
    split: Split
    image_id: NDArray[np.int32]
    images: Tensor
    labels: Tensor


@dataclass(frozen=True, slots=True)
class Observation:
    """What one model answered: tables PREDICTION and ATTENTION, and its features.

    features: pooled penultimate features of the clean test images, float32, shape
    (images, channels).
    """

    prediction: pl.DataFrame
    attention: pl.DataFrame
    features: NDArray[np.float32]


class Views:
    """The study's views of the test images and of a block's training images.

    An augmented view is drawn once from the study's seed: every model of every block is shown
    the same pixels. Views are made when first asked for, and kept.
    """

    def __init__(
        self, design: Design, data: Data, subset: NDArray[np.int64], runtime: Runtime
    ) -> None:
        self._runtime = runtime
        self._strengths = design.views()
        self._policy = policy = policy_for(design.augmentation, design.dataset.image_size)
        streams = study_streams(design.study_seed)
        self._splits: Mapping[Split, tuple[Images, NDArray[np.float64]]] = {
            Split.TEST: (
                data.test,
                draw(policy, streams.numpy(Purpose.VIEWS, 0), len(data.test.labels)),
            ),
            Split.TRAIN: (
                _rows(data.pool, subset),
                draw(policy, streams.numpy(Purpose.VIEWS, 1), len(data.pool.labels))[subset],
            ),
        }
        self._made: dict[tuple[str, Split], View] = {}

    def view(self, name: str, split: Split) -> View:
        """Return one view; ``name`` is 'clean' or a level's."""
        if (name, split) not in self._made:
            self._made[name, split] = self._make(name, split)
        return self._made[name, split]

    def _make(self, name: str, split: Split) -> View:
        images, uniforms = self._splits[split]
        runtime = self._runtime
        pixels = fractions(images.pixels, runtime.device)
        if name != CLEAN_VIEW:
            choices = self._policy.choose(uniforms, self._strengths[name])
            pixels = choices.apply(pixels, np.arange(len(pixels)))
        return View(
            name=name,
            split=split,
            image_id=images.image_id,
            images=runtime.standardized(pixels),
            labels=torch.from_numpy(images.labels).to(runtime.device),
        )


def fractions(pixels: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Turn uint8 pixels into fractions in [0, 1] on a device, float32, the same shape."""
    return torch.from_numpy(pixels).to(device).float() / 255


def observe(
    model: CifarResNet,
    model_id: int,
    views: list[View],
    *,
    methods: tuple[AttentionMethod, ...],
    runtime: Runtime,
) -> Observation:
    """Show a model every view; keep logits, attention maps and clean test features.

    Attention is kept for test images: by each of ``methods`` on the clean view, by
    ``cam_sum`` on the augmented ones. Memory is bounded by the batch, apart from what is kept.
    """
    model.eval()
    predictions: list[pl.DataFrame] = []
    attention: list[pl.DataFrame] = []
    kept: list[NDArray[np.float32]] = []
    with torch.inference_mode():
        for view in views:
            asked = _asked(view, methods)
            for chosen in _batches(len(view.labels), runtime.observation_batch):
                features = runtime.features(model, view.images[chosen])
                logits = model.logits(features)
                rows = _Rows(model_id, view.name, view.image_id[chosen])
                predictions.append(rows.predictions(logits))
                for method in asked:
                    maps = (
                        grad_cam(features, model.logits)
                        if method is AttentionMethod.GRADCAM
                        else class_activation_map(
                            features, model.head.weight, logits, view.labels[chosen], method
                        )
                    )
                    attention.append(rows.attention(maps, method))
                if view.split is Split.TEST and view.name == CLEAN_VIEW:
                    kept.append(features.mean(dim=(2, 3)).cpu().numpy())
    return Observation(
        prediction=pl.concat(predictions),
        attention=pl.concat(attention),
        features=np.concatenate(kept),
    )


@dataclass(frozen=True, slots=True)
class _Rows:
    """The keys of one batch's rows."""

    model_id: int
    view: str
    image_id: NDArray[np.int32]

    def _keys(self) -> dict[str, object]:
        return {
            "model_id": [self.model_id] * len(self.image_id),
            "view": [self.view] * len(self.image_id),
            "image_id": self.image_id,
        }

    def predictions(self, logits: Tensor) -> pl.DataFrame:
        finite = torch.isfinite(logits).all(dim=1).tolist()
        predicted = logits.argmax(dim=1).tolist()
        return pl.DataFrame(
            {
                **self._keys(),
                "predicted": [
                    label if fine else None for label, fine in zip(predicted, finite, strict=True)
                ],
                "logits": pl.Series(logits.float().cpu().numpy()).arr.to_list(),
            },
            schema=PREDICTION.schema,
        )

    def attention(self, maps: Tensor, method: AttentionMethod) -> pl.DataFrame:
        return pl.DataFrame(
            {
                **self._keys(),
                "method": [str(method)] * len(self.image_id),
                "map": quantize(maps),
            },
            schema=ATTENTION.schema,
        )


def _asked(view: View, methods: tuple[AttentionMethod, ...]) -> tuple[AttentionMethod, ...]:
    if view.split is not Split.TEST:
        return ()
    return methods if view.name == CLEAN_VIEW else (AttentionMethod.CAM_SUM,)


def _batches(images: int, size: int) -> Iterator[slice]:
    for start in range(0, images, size):
        yield slice(start, min(start + size, images))


def _rows(images: Images, rows: NDArray[np.int64]) -> Images:
    return Images(images.image_id[rows], images.pixels[rows], images.labels[rows])
