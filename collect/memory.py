"""What is done when a device's memory is at its end.

First fewer models are trained at once, then fewer images observed at once: no bit depends on
either. The training batch is never made smaller: that would be another treatment.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

import torch

from store.errors import UserError

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_ALLOCATION_REFUSED: Final = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "std::bad_alloc",
)
"""What torch's RuntimeErrors say when the processor's memory is at its end."""
_FEWEST_OBSERVED: Final = 4
"""A pass of fewer images may give other bits, see ``in_batches``."""


@dataclass(slots=True)
class Limits:
    """How much is done at once; made smaller when memory runs out, and then left so.

    together: models trained in lockstep. observation_batch: images per forward pass outside
    training.
    """

    together: int = 64
    observation_batch: int = 512

    def lower_together(self, tried: int) -> None:
        """Train fewer models at once than were tried. Raises UserError where it was one."""
        if tried == 1:
            raise UserError(
                "out of memory while training one model alone; the training batch is not made "
                "smaller, since that would change the treatment. Use a device with more memory, "
                "or declare a smaller batch_size or network in the study"
            )
        self.together = tried // 2
        _log.warning(
            "out of memory with %d models in lockstep; going on with %d", tried, self.together
        )

    def lower_observation_batch(self, tried: int) -> None:
        """Observe fewer images at once than were tried. Raises UserError where they are few."""
        if tried <= _FEWEST_OBSERVED:
            raise UserError(
                f"out of memory while observing {tried} images at once; use a device with more "
                "memory, or declare a smaller network or image_size in the study"
            )
        self.observation_batch = max(tried // 2, _FEWEST_OBSERVED)
        _log.warning(
            "out of memory with %d images in one pass; going on with %d",
            tried,
            self.observation_batch,
        )


def in_batches(
    images: int, limits: Limits, device: torch.device, work: Callable[[slice], _T]
) -> Iterator[_T]:
    """Do some work on consecutive slices of images, smaller ones where memory runs out.

    Slices are about equally long: a last one of a single image would go through other code of
    the matrix library, and get other bits. work: must leave nothing behind when it fails, for it
    is asked again.
    """
    start = 0
    while start < images:
        left = images - start
        passes = -(-left // limits.observation_batch)
        chosen = slice(start, start + -(-left // passes))
        try:
            result = work(chosen)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        else:
            yield result
            start = chosen.stop
            continue
        # outside of the handler, which keeps alive what the failed pass had allocated
        release_memory(device)
        limits.lower_observation_batch(chosen.stop - chosen.start)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device has no memory left for what was asked."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in _ALLOCATION_REFUSED
    )


def release_memory(device: torch.device) -> None:
    """Give back what the allocator keeps, so that the next attempt finds it."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
