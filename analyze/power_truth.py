"""Studies that were never run, drawn from a pilot's variation or from variances given.

Every study is drawn with nothing to find: no trend, no association. A test of such a study
that found b finds b + c where the truth is c, with the same standard error: to add c per unit
of strength, or c times the predictor, to an outcome shifts a least-squares slope by c and
leaves its residuals alone. So one simulated study answers for any effect.
"""

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from analyze.inference.associations import (
    split_half_reliability,
    split_half_within,
    split_halves,
    two_way,
    two_way_within,
)
from analyze.inference.estimate import Estimate, Panel, Table
from analyze.inference.trends import slope_t

Floats = NDArray[np.float64]

FEWEST_BLOCKS: Final = 3
"""Fewer seed blocks say nothing usable of a variance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendBlocks:
    """Seed blocks of one outcome. values: shape (seeds, strengths)."""

    doses: tuple[float, ...]
    values: Floats

    def test(self, seeds: int) -> Estimate:
        """Run the primary test of a trend on the first ``seeds`` blocks."""
        return slope_t(Panel(tuple(range(seeds)), self.doses, self.values[:seeds]))


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationBlocks:
    """Seed blocks of predictor x and outcome y, shape (halves, seeds, strengths).

    halves: 2 where x is on half A and y on B of the test images, then x on B and y on A; else 1.
    """

    doses: tuple[float, ...]
    x: Floats
    y: Floats

    def tables(self, seeds: int) -> tuple[Table, ...]:
        """Lay out the first ``seeds`` blocks in rows: one table, or one for each half."""
        block = np.repeat(np.arange(seeds), len(self.doses))
        dose = np.tile(self.doses, seeds)
        return tuple(
            Table(block, dose, x[:seeds].ravel(), y[:seeds].ravel())
            for x, y in zip(self.x, self.y, strict=True)
        )

    def test(self, seeds: int) -> Estimate:
        """Run the primary test of an association on the first ``seeds`` blocks."""
        first, *other = self.tables(seeds)
        return split_half_within(first, *other) if other else two_way_within(first)

    def reliability(self) -> float | None:
        """Share of the predictor's variation that both halves show, in [0, 1]; None of one."""
        first, *other = self.tables(self.x.shape[1])
        value = split_half_reliability(first, *other).estimate if other else None
        return None if value is None else min(max(value, 0.0), 1.0)


Blocks = TrendBlocks | AssociationBlocks


class Truth(Protocol):
    """What studies are drawn from."""

    def draw(self, rng: np.random.Generator, seeds: int) -> tuple[Blocks, ...]:
        """Draw one study: the blocks of every outcome that is tested, in order."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendDeviations:
    """How a pilot's blocks deviate from their mean at each strength, shape (blocks, strengths)."""

    doses: tuple[float, ...]
    values: Floats

    def drawn(self, picks: NDArray[np.intp], signs: Floats) -> TrendBlocks:
        """Make blocks of those picked. signs: shape (2, seeds)."""
        return TrendBlocks(doses=self.doses, values=signs[0][:, None] * self.values[picks])


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationDeviations:
    """What a pilot's predictor and outcome do within seeds and strengths.

    x: the predictor's deviations; y: what they leave of the outcome's. Shape (halves, blocks,
    strengths).
    """

    doses: tuple[float, ...]
    x: Floats
    y: Floats

    def drawn(self, picks: NDArray[np.intp], signs: Floats) -> AssociationBlocks:
        """Make blocks of those picked. signs: shape (2, seeds)."""
        return AssociationBlocks(
            doses=self.doses,
            x=self.x[:, picks],
            y=signs[1][None, :, None] * self.y[:, picks],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PilotTruth:
    """New seeds vary as the pilot's did.

    A new seed is a whole block of the pilot, drawn with replacement, so that measures keep
    their covariances and seeds what is their own. Its deviations are drawn with either sign:
    few blocks cannot tell how skewed seeds are, and would pass their accidents on as power.
    The same blocks and signs serve all parts. blocks: of the pilot.
    """

    parts: tuple[TrendDeviations | AssociationDeviations, ...]
    blocks: int

    def draw(self, rng: np.random.Generator, seeds: int) -> tuple[Blocks, ...]:
        """Draw one study."""
        picks = rng.integers(self.blocks, size=seeds)
        signs = rng.choice([-1.0, 1.0], size=(2, seeds))
        return tuple(part.drawn(picks, signs) for part in self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How much one measure varies.

    sd: at one seed and strength. slope_sd: over seeds, of each one's own slope per unit of
    strength. reliability: share of sd squared that both halves of the images show; None where
    there are no halves.
    """

    sd: float
    slope_sd: float = 0.0
    reliability: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenTrends:
    """Outcomes with normal noise of given size; ``claims`` of them, independent of each other.

    residual_sd: at one seed and strength, outcome units. slope_sd: over seeds, of each one's
    own slope, per unit of strength.
    """

    doses: tuple[float, ...]
    residual_sd: float
    slope_sd: float = 0.0
    claims: int = 1

    def draw(self, rng: np.random.Generator, seeds: int) -> tuple[Blocks, ...]:
        """Draw one study."""
        spread = Spread(sd=self.residual_sd, slope_sd=self.slope_sd)
        return tuple(
            TrendBlocks(doses=self.doses, values=_drawn(spread, self.doses, rng, seeds)[0])
            for _ in range(self.claims)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenAssociations:
    """Predictors and outcomes with normal noise of given size; ``claims`` independent pairs.

    predictor_sd: at one seed and strength, as measured (on half of the test images where a
    reliability is given). residual_sd: of what the measured predictor leaves of the outcome.
    predictor_slope_sd, slope_sd: over seeds, of each one's own slope on strength. reliability:
    share of predictor_sd squared that both halves show; None where one set of images serves
    both measures. outcome_reliability: the same of residual_sd.
    """

    doses: tuple[float, ...]
    predictor_sd: float
    residual_sd: float
    predictor_slope_sd: float = 0.0
    slope_sd: float = 0.0
    reliability: float | None = None
    outcome_reliability: float = 1.0
    claims: int = 1

    def draw(self, rng: np.random.Generator, seeds: int) -> tuple[Blocks, ...]:
        """Draw one study."""
        return tuple(self._pair(rng, seeds) for _ in range(self.claims))

    def shown(self) -> float:
        """Share of the measured predictor's variation within seeds that both halves show."""
        if self.reliability is None:
            return 1.0
        spread = float(np.var(self.doses, ddof=1)) * self.predictor_slope_sd**2
        total = self.predictor_sd**2 + spread
        return (self.reliability * self.predictor_sd**2 + spread) / total

    def _pair(self, rng: np.random.Generator, seeds: int) -> AssociationBlocks:
        x = Spread(
            sd=self.predictor_sd, slope_sd=self.predictor_slope_sd, reliability=self.reliability
        )
        y = Spread(
            sd=self.residual_sd,
            slope_sd=self.slope_sd,
            reliability=None if self.reliability is None else self.outcome_reliability,
        )
        return AssociationBlocks(
            doses=self.doses,
            x=_drawn(x, self.doses, rng, seeds),
            y=_drawn(y, self.doses, rng, seeds),
        )


def trend_deviations(blocks: TrendBlocks) -> TrendDeviations:
    """Take a pilot's deviations, widened by sqrt(n / (n - 1)).

    Draws with replacement from n blocks vary less than new blocks would; so widened, the mean
    slope of n new seeds has the standard error that the pilot's own test gives.
    """
    n = len(blocks.values)
    widened = np.sqrt(n / (n - 1)) * (blocks.values - blocks.values.mean(axis=0))
    return TrendDeviations(doses=blocks.doses, values=widened)


def association_deviations(blocks: AssociationBlocks, pilot: Estimate) -> AssociationDeviations:
    """Take a pilot's deviations within seeds and strengths, widened.

    pilot: the test of ``blocks``. What the predictor leaves of the outcome is widened until n
    new seeds have the standard error that ``pilot`` has; CR2 corrects it for what the fit took
    away, block by block. Raises ValueError where ``pilot`` has none.
    """
    if pilot.estimate is None or not pilot.standard_error:
        raise ValueError("the pilot's test has no standard error")
    shape = blocks.x.shape
    tables = blocks.tables(shape[1])
    regression = split_halves(*tables) if len(tables) == 2 else two_way(tables[0])
    x = regression.x_within.reshape(shape)
    residual = (regression.y_within - pilot.estimate * regression.x_within).reshape(shape)
    scores = (x * residual).sum(axis=(0, 2))
    n, total = shape[1], float((x**2).sum())
    implied = float(np.sqrt((scores**2).sum() * n / (n - 1))) / total
    return AssociationDeviations(
        doses=blocks.doses, x=x, y=residual * (pilot.standard_error / implied)
    )


def _drawn(
    spread: Spread, doses: tuple[float, ...], rng: np.random.Generator, seeds: int
) -> Floats:
    """Draw one measure, shape (halves, seeds, strengths)."""
    halves = 1 if spread.reliability is None else 2
    strengths = len(doses)
    # one row a seed, so that the first seeds of a larger study are those of a smaller one
    normal = rng.normal(size=(seeds, 1 + strengths * (1 + halves)))
    own = spread.slope_sd * normal[:, :1] * (np.asarray(doses) - np.mean(doses))
    shown = 1.0 if spread.reliability is None else spread.reliability
    common = own + spread.sd * np.sqrt(shown) * normal[:, 1 : 1 + strengths]
    apart = normal[:, 1 + strengths :].reshape(seeds, halves, strengths).swapaxes(0, 1)
    return common[None] + spread.sd * np.sqrt(1 - shown) * apart
