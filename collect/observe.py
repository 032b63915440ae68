"""What a trained model says and where it looks, in one forward pass per view."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from collect.attention import map_of, quantize, watched
from collect.augmentation.policy import draw, policy_for
from collect.classifier import Classifier
from collect.datasets import Data, Images
from collect.engine import Runtime
from collect.lease import always
from collect.memory import in_batches
from collect.pixels import Pixels
from collect.seeding import Purpose, study_streams
from collect.spool import Spool
from store.design import Design
from store.frames import ATTENTION, PREDICTION
from store.images import ForeignData
from store.plan import Student, Teacher
from store.vocabulary import CLEAN_VIEW, AttentionMethod, Split

_KEPT_VIEW_BYTES: Final = 64 * 2**20
"""Views of at most this size, as fractions, are kept whole."""


@dataclass(frozen=True, slots=True)
class View:
    """One version of one split's images.

    shown: a slice of the images as fractions in [0, 1], on the device, shape (batch, channels,
    side, side). labels: on the device, shape (images,).
    """

    name: str
    split: Split
    image_id: NDArray[np.int32]
    labels: Tensor
    shown: Callable[[slice], Tensor]


class Views:
    """The study's views of the test images and of a block's training images.

    An augmented view is drawn once from the study's seed: every model of every block is shown
    the same pixels. Views that are small are made once and kept, large ones made batch by batch.
    """

    def __init__(
        self, design: Design, data: Data, subset: NDArray[np.int64], runtime: Runtime
    ) -> None:
        self._device = runtime.device
        self._strengths = design.views()
        self._policy = policy = policy_for(design.augmentation, design.own_training.image_size)
        streams = study_streams(design.study_seed)
        self._trained_on = _rows(data.pool, subset)
        seen = _observed(design, subset, len(data.pool.labels))
        self._splits: Mapping[Split, tuple[Images, NDArray[np.float64]]] = {
            Split.TEST: (
                data.test,
                draw(policy, streams.numpy(Purpose.VIEWS, 0), len(data.test.labels)),
            ),
            Split.TRAIN: (
                self._trained_on if len(seen) == len(subset) else _rows(data.pool, seen),
                draw(policy, streams.numpy(Purpose.VIEWS, 1), len(data.pool.labels))[seen],
            ),
        }
        self._made: dict[tuple[str, Split], View] = {}

    def pixels(self, split: Split) -> tuple[Pixels, Tensor]:
        """Return the images that models are trained or tested on, and their labels on the device.

        Of training images a view may show a part only.
        """
        images = self._trained_on if split is Split.TRAIN else self._splits[split][0]
        return images.pixels, self._placed(images.labels)

    def view(self, name: str, split: Split) -> View:
        """Return one view; ``name`` is 'clean' or a level's."""
        if (name, split) not in self._made:
            self._made[name, split] = self._make(name, split)
        return self._made[name, split]

    def _make(self, name: str, split: Split) -> View:
        images, uniforms = self._splits[split]
        pixels, labels = images.pixels, self._placed(images.labels)
        choices = None
        if name != CLEAN_VIEW:
            choices = self._policy.choose(uniforms, self._strengths[name])

        def shown(chosen: slice) -> Tensor:
            rows = np.arange(chosen.start, chosen.stop)
            (batch,) = pixels.batches([rows], self._device)
            return batch.float() / 255 if choices is None else choices.apply(batch, rows)

        if math.prod(pixels.shape) * 4 <= _KEPT_VIEW_BYTES:
            whole = shown(slice(0, pixels.shape[0]))
            return View(name, split, images.image_id, labels, whole.__getitem__)
        return View(name, split, images.image_id, labels, shown)

    def _placed(self, labels: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(labels).to(self._device)


def views_shown(design: Design, model: Teacher | Student) -> list[tuple[str, Split]]:
    """List the views a model is shown: clean, its own strength's, its students', and more.

    Teachers trained without augmentation are shown every view: the affinity of an augmentation
    is their accuracy on it. Training images are shown clean and as the model trained on them.
    """
    own = {CLEAN_VIEW, design.level(model.strength)}
    names = set(own)
    if isinstance(model, Teacher):
        students = design.plan().students
        names |= {design.level(s.strength) for s in students if model.ordinal in s.teachers}
        if model.strength == 0:
            names |= set(design.views())
    # in the order of the rows' key, where training images have the lower ids
    return [
        (name, split)
        for name in sorted(names)
        for split in (Split.TRAIN, Split.TEST)
        if split is Split.TEST or name in own
    ]


def observe(
    model: Classifier,
    model_id: int,
    views: list[View],
    *,
    methods: tuple[AttentionMethod, ...],
    published: AttentionMethod,
    runtime: Runtime,
    prediction: Spool,
    attention: Spool,
    may_go_on: Callable[[], None] = always,
) -> NDArray[np.float32]:
    """Show a model every view; write logits and attention maps down as they come.

    Attention is kept for test images: by each of ``methods`` on the clean view, by
    ``published`` on the augmented ones. may_go_on: called before every pass and before anything
    is written of it; what it raises ends the observation. Returns the pooled penultimate features
    of the clean test images, shape (images, channels).
    """
    model.eval()
    may_go_on()
    predicted, attended = prediction.model(), attention.model()
    features: list[NDArray[np.float32]] = []
    for view in views:
        asked = methods_asked(view.name, view.split, methods, published)
        work = partial(_pass, model, model_id, view, asked, runtime)
        for part in in_batches(len(view.labels), runtime.limits, runtime.device, work):
            may_go_on()
            predicted.add(part.prediction)
            for maps in part.attention:
                attended.add(maps)
            if part.features is not None:
                features.append(part.features)
    may_go_on()
    predicted.close()
    attended.close()
    return np.concatenate(features)


@dataclass(frozen=True, slots=True)
class _Pass:
    """What one forward pass gave; features: of clean test images only."""

    prediction: pl.DataFrame
    attention: list[pl.DataFrame]
    features: NDArray[np.float32] | None


def _pass(
    model: Classifier,
    model_id: int,
    view: View,
    methods: tuple[AttentionMethod, ...],
    runtime: Runtime,
    chosen: slice,
) -> _Pass:
    """Show a model a slice of a view."""
    with torch.inference_mode():
        with watched(model, methods) as flow:
            features = runtime.features(model, runtime.standardized(view.shown(chosen)))
        logits = model.logits(features)
        rows = _Rows(model_id, view.name, view.image_id[chosen])
        attention: list[pl.DataFrame] = []
        for method in methods:
            maps = map_of(
                method,
                model,
                features=features,
                logits=logits,
                labels=view.labels[chosen],
                flow=flow,
            )
            attention.append(rows.attention(maps, method))
        kept = view.split is Split.TEST and view.name == CLEAN_VIEW
        pooled = model.pooled(features).cpu().numpy() if kept else None
        return _Pass(rows.predictions(logits), attention, pooled)


@dataclass(frozen=True, slots=True)
class _Rows:
    """The keys of one batch's rows."""

    model_id: int
    view: str
    image_id: NDArray[np.int32]

    def _keys(self) -> dict[str, object]:
        return {
            "model_id": np.full(len(self.image_id), self.model_id, np.int32),
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


def methods_asked(
    name: str,
    split: Split,
    methods: tuple[AttentionMethod, ...],
    published: AttentionMethod,
) -> tuple[AttentionMethod, ...]:
    """List the attention maps that are kept of a view: all where the test images are clean.

    Of other views of the test images only the one that the published IoU is computed from.
    """
    if split is not Split.TEST:
        return ()
    return methods if name == CLEAN_VIEW else (published,)


def _observed(design: Design, subset: NDArray[np.int64], pool: int) -> NDArray[np.int64]:
    """Choose which of a block's rows of the pool trained models are shown, ascending."""
    dataset = design.dataset
    assert not isinstance(dataset, ForeignData)
    if dataset.train_observed is None or dataset.train_observed >= len(subset):
        return subset
    order = study_streams(design.study_seed).numpy(Purpose.OBSERVED).permutation(pool)
    first = np.argsort(order[subset])[: dataset.train_observed]
    return np.sort(subset[first])


def _rows(images: Images, rows: NDArray[np.int64]) -> Images:
    return Images(images.image_id[rows], images.pixels.subset(rows), images.labels[rows])
