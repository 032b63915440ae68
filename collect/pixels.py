"""Images of one size, handed out in batches: from memory, or decoded from files as needed."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Rows = NDArray[np.int64]

_AHEAD: Final = 2
"""Batches that are decoded while another is worked on."""


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


class InFiles:
    """Images that are decoded when they are asked for, by threads that work ahead.

    decode: reads a file as uint8 of shape (channels, side, side); decoders release Python's lock,
    so threads do. threads: how many decode at once; no bit depends on it.
    """

    def __init__(
        self,
        files: Sequence[Path],
        decode: Callable[[Path], NDArray[np.uint8]],
        *,
        channels: int,
        side: int,
        threads: int,
    ) -> None:
        self._files = tuple(files)
        self._decode = decode
        self._channels = channels
        self._side = side
        self._threads = threads

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(images, channels, side, side)."""
        return len(self._files), self._channels, self._side, self._side

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
                            [pool.submit(self._decode, self._files[row]) for row in batch.tolist()]
                        )
                    if not waiting:
                        return
                    yield self._placed([image.result() for image in waiting.popleft()], device)
            finally:
                # a reader that stops early, or a broken file: nobody waits for the rest
                pool.shutdown(wait=False, cancel_futures=True)

    def subset(self, rows: Rows) -> "InFiles":
        """Return these images alone, in this order."""
        return InFiles(
            [self._files[row] for row in rows.tolist()],
            self._decode,
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
