"""Which cells of an attention map count as attended to: a share of its range, or its top cells."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analyze.metrics.attention import Bools

Maps = NDArray[np.uint8]

_TOP: Final = 255


@dataclass(frozen=True, slots=True)
class AboveTau:
    """Cells above a share ``tau`` of the map's range, as in the store: map > 255 tau."""

    tau: float

    @property
    def name(self) -> str:
        """The threshold's short name."""
        return f"tau_{self.tau:g}"

    @property
    def title(self) -> str:
        """The threshold in words."""
        return f"above {self.tau:g} of range"


@dataclass(frozen=True, slots=True)
class TopCells:
    """The ``percent`` of a map's cells with the highest values, so that masks are of one size.

    Of C cells the k = ceil(percent C / 100) highest are on, and with them every cell that ties
    with the k-th: ties are never broken by a cell's place. A cell at 0, the map's minimum, is
    never on; so a mask has fewer than k cells where fewer exceed the minimum.
    """

    percent: int

    @property
    def name(self) -> str:
        """The threshold's short name."""
        return f"top_{self.percent}"

    @property
    def title(self) -> str:
        """The threshold in words."""
        return f"top {self.percent} %"


Threshold = AboveTau | TopCells


def masks_at(maps: Maps, threshold: Threshold) -> Bools:
    """Masks of maps, shape (images, cells), at one threshold; the same shape."""
    if isinstance(threshold, AboveTau):
        return maps > _TOP * threshold.tau
    cells = maps.shape[1]
    count = -(-threshold.percent * cells // 100)
    last = np.partition(maps, cells - count, axis=1)[:, cells - count]
    return (maps >= last[:, None]) & (maps > 0)
