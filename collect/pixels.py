"""Images of one size, handed out in batches: from memory, or made from their sources as needed."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Generic, Protocol, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Rows = NDArray[np.int64]
Source = TypeVar("Source")

MOST_BYTES_IN_MEMORY: Final = 2**30
"""Of a split's images: more than these are made from their sources as needed."""

THREADS: Final = 2
"""That make images as needed, where a study does not say how many."""

_AHEAD: Final = 2
"""Batches that are made while another is worked on."""


class Pixels(Protocol):
    """Images as uint8, all of one size."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(images, channels, side, side)."""
        ...

    def read(self, rows: Rows) -> NDArray[np.uint8]:
        """Return some images, shape (rows, channels, side, side)."""
        ...

    def batches(self, rows: Sequence[Rows], device: torch.device) -> Iterator[Tensor]:
        """Yield the images of each batch, uint8, on the device, in order."""
        ...

    def subset(self, rows: Rows) -> Self:
        """Return these images alone, in this order."""
        ...


class InMemory:
    """Images that fit into the device's memory, and lie there from their first use on.

    images: uint8, shape (images, channels, side, side).
    """

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self._images = images
        self._placed: dict[torch.device, Tensor] = {}

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(images, channels, side, side)."""
        images, channels, height, width = self._images.shape
        return images, channels, height, width

    def read(self, rows: Rows) -> NDArray[np.uint8]:
        """Return some images, shape (rows, channels, side, side)."""
        return self._images[rows]

    def batches(self, rows: Sequence[Rows], device: torch.device) -> Iterator[Tensor]:
        """Yield the images of each batch, uint8, on the device, in order."""
        if device not in self._placed:
            self._placed[device] = torch.from_numpy(self._images).to(device)
        for batch in rows:
            yield self._placed[device].index_select(0, torch.from_numpy(batch).to(device))

    def subset(self, rows: Rows) -> "InMemory":
        """Return these images alone, in this order."""
        return InMemory(self._images[rows])


def fit_in_memory(images: int, channels: int, side: int) -> bool:
    """Whether so many images of shape (channels, side, side) are to be kept in memory."""
    return images * channels * side * side <= MOST_BYTES_IN_MEMORY


class AsNeeded(Generic[Source]):
    """Images that are made from their sources when they are asked for, by threads that work ahead.

    make: an image as uint8 of shape (channels, side, side), from its file or its smaller self;
    decoders and torch release Python's lock, so threads do. threads: how many make images at
    once; no bit depends on it.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        make: Callable[[Source], NDArray[np.uint8]],
        *,
        channels: int,
        side: int,
        threads: int,
    ) -> None:
        self._sources = tuple(sources)
        self._make = make
        self._channels = channels
        self._side = side
        self._threads = threads

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(images, channels, side, side)."""
        return len(self._sources), self._channels, self._side, self._side

    def read(self, rows: Rows) -> NDArray[np.uint8]:
        """Return some images, shape (rows, channels, side, side)."""
        return next(self.batches([rows], torch.device("cpu"))).numpy()

    def batches(self, rows: Sequence[Rows], device: torch.device) -> Iterator[Tensor]:
        """Yield the images of each batch, uint8, on the device, in order.

        Raises DataError for a file that is no image.
        """
        with ThreadPoolExecutor(self._threads) as pool:
            waiting: deque[list[Future[NDArray[np.uint8]]]] = deque()
            left = iter(rows)
            try:
                while True:
                    while len(waiting) <= _AHEAD and (batch := next(left, None)) is not None:
                        waiting.append(
                            [pool.submit(self._make, self._sources[row]) for row in batch.tolist()]
                        )
                    if not waiting:
                        return
                    yield self._placed([image.result() for image in waiting.popleft()], device)
            finally:
                # a reader that stops early, or a broken file: nobody waits for the rest
                pool.shutdown(wait=False, cancel_futures=True)

    def subset(self, rows: Rows) -> "AsNeeded[Source]":
        """Return these images alone, in this order."""
        return AsNeeded(
            [self._sources[row] for row in rows.tolist()],
            self._make,
            channels=self._channels,
            side=self._side,
            threads=self._threads,
        )

    def _placed(self, images: list[NDArray[np.uint8]], device: torch.device) -> Tensor:
        batch = torch.from_numpy(
            np.stack(images)
            if images
            else np.empty((0, self._channels, self._side, self._side), dtype=np.uint8)
        )
        if device.type == "cuda":
            # from pinned memory the copy runs beside the GPU's work
            return batch.pin_memory().to(device, non_blocking=True)
        return batch
