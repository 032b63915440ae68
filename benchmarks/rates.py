"""How often something happened in simulated studies, and whether that is what was promised."""

from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How often something happened in how many studies."""

    count: int
    studies: int

    @property
    def share(self) -> float:
        return self.count / self.studies

    def departs(self, nominal: float) -> int:
        """1 or -1 where more than 3 Monte Carlo standard errors above or below, else 0."""
        error = (nominal * (1 - nominal) / self.studies) ** 0.5
        distance = self.share - nominal
        return 0 if abs(distance) <= 3 * error else int(np.sign(distance))

    def text(self) -> str:
        """Share with its exact 95 % Monte Carlo interval (Clopper and Pearson 1934)."""
        found = stats.binomtest(self.count, self.studies).proportion_ci(method="exact")
        return f"{share_text(self.share)} ({share_text(found.low)}–{share_text(found.high)})"


def share_text(value: float) -> str:
    """Write a share to three decimals, without the leading zero."""
    return f"{value:.3f}".removeprefix("0")
