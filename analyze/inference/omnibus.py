# pyright: basic
"""Do the strengths differ at all? Friedman, Welch and Games-Howell.

The one adapter of the cell table to pingouin and pandas. Games-Howell is computed here: pingouin's
has no intervals, and its p waits for SciPy's studentized range (see ``studentized_range``).
"""

from typing import Any, Final

import numpy as np
import pandas as pd
import pingouin as pg

from analyze.inference.estimate import Estimate, Panel
from analyze.inference.sample import FEWEST_SEEDS, NO_SPREAD, TOO_FEW, has_spread
from analyze.inference.studentized_range import quantile, survival
from analyze.results import Interval
from store.errors import AnalysisError

FEW_FOR_CHI_SQUARE: Final = 15
MOST_COMPARED: Final = 10
"""Above this many strengths all pairs are many, and tell less than their trend."""
RESOLVED: Final = 1e-10
UNRESOLVED: Final = f"p is below {RESOLVED:g}, what the studentized range is computed to"
UNPAIRED: Final = "leaves out which seed a value is from: less power than the paired tests"
CONSTANT_CELL: Final = "a strength without variance over seeds: not tested"


def friedman(panel: Panel) -> Estimate:
    """Test whether any strength ranks higher within seeds; Q against chi-square, k - 1 df.

    The estimate is Kendall's W in [0, 1]. Source: Friedman (1937).
    """
    _strengths(panel)
    caveats: tuple[str, ...] = ()
    if len(panel.blocks) < FEWEST_SEEDS:
        caveats = (TOO_FEW,)
    elif not any(has_spread(block) for block in panel.values):
        caveats = (NO_SPREAD,)
    found = None
    if not caveats:
        answer = pg.friedman(_long(panel), dv="y", within="dose", subject="block")
        found = _rows(answer)[0]
        if len(panel.blocks) < FEW_FOR_CHI_SQUARE:
            caveats = (f"chi-square is rough below {FEW_FOR_CHI_SQUARE} seeds",)
    return Estimate(
        test="friedman",
        method="Friedman's test over seeds, chi-square approximation",
        value_name="kendall_w",
        estimate=None if found is None else float(found["W"]),
        n=len(panel.blocks),
        rows=panel.values.size,
        statistic_name="Q",
        statistic=None if found is None else float(found["Q"]),
        df=None if found is None else float(found["ddof1"]),
        p_value=None if found is None else _p_of(found),
        caveats=caveats,
    )


def welch_anova(panel: Panel) -> Estimate:
    """Test whether any strength's mean differs, variances unequal.

    The estimate is partial eta squared; df is the denominator's, the numerator's is k - 1.
    Takes cells as independent, which is conservative where seeds raise all alike. Source:
    Welch (1951).
    """
    _strengths(panel)
    refusal = _refusal(panel)
    found = None
    if refusal is None:
        found = _rows(pg.welch_anova(_long(panel), dv="y", between="dose"))[0]
    return Estimate(
        test="welch_anova",
        method="Welch's analysis of variance over strengths",
        value_name="partial_eta_squared",
        estimate=None if found is None else float(found["np2"]),
        n=len(panel.blocks),
        rows=panel.values.size,
        statistic_name="F",
        statistic=None if found is None else float(found["F"]),
        df=None if found is None else float(found["ddof2"]),
        p_value=None if found is None else _p_of(found),
        caveats=(UNPAIRED,) if refusal is None else (refusal,),
    )


def games_howell(panel: Panel, *, level: float = 0.95) -> tuple[Estimate, ...]:
    """Compare every two strengths, variances unequal, simultaneously over all pairs.

    Estimates are the higher strength's mean minus the lower's, pairs in ascending order; p
    and interval by the studentized range. Empty where ``welch_anova`` gives no test, and above
    10 strengths. Source: Games and Howell (1976).
    """
    _strengths(panel)
    k = len(panel.doses)
    if _refusal(panel) is not None or k > MOST_COMPARED:
        return ()
    pairs = ((low, high) for low in range(k) for high in range(low + 1, k))
    return tuple(_pair(panel, low, high, level) for low, high in pairs)


def _pair(panel: Panel, low: int, high: int, level: float) -> Estimate:
    """Compare the strengths at two places."""
    n, k = panel.values.shape
    variances = panel.values[:, [low, high]].var(axis=0, ddof=1) / n
    standard_error = float(np.sqrt(variances.sum()))
    df = float(variances.sum() ** 2 / (variances**2 / (n - 1)).sum())
    gap = float(panel.values[:, high].mean() - panel.values[:, low].mean())
    t = gap / standard_error
    p_value = survival(2**0.5 * abs(t), k, df)
    reach = quantile(level, k, df) * standard_error / 2**0.5
    more, less = panel.doses[high], panel.doses[low]
    return Estimate(
        test=f"games_howell_{more:g}_against_{less:g}",
        method=f"Games-Howell, strength {more:g} against {less:g}",
        value_name="difference",
        estimate=gap,
        n=n,
        rows=2 * n,
        standard_error=standard_error,
        statistic_name="t",
        statistic=t,
        df=df,
        p_value=max(p_value, RESOLVED),
        interval=Interval(low=gap - reach, high=gap + reach, level=level),
        caveats=(UNPAIRED, *((UNRESOLVED,) if p_value < RESOLVED else ())),
    )


def _strengths(panel: Panel) -> None:
    if len(panel.doses) < 2:
        raise AnalysisError(
            f"cells to compare need at least two strengths; there are {list(panel.doses)}"
        )


def _refusal(panel: Panel) -> str | None:
    if len(panel.blocks) < FEWEST_SEEDS:
        return TOO_FEW
    constant = not all(has_spread(cell) for cell in panel.values.T)
    return CONSTANT_CELL if constant else None


def _p_of(row: dict[str, Any]) -> float:
    # pingouin renames this column between versions
    return float(next(row[name] for name in ("p_unc", "p-unc", "pval", "p_val") if name in row))


def _rows(frame: Any) -> list[dict[str, Any]]:
    return [dict(zip(frame.columns, row, strict=True)) for row in frame.itertuples(index=False)]


def _long(panel: Panel) -> pd.DataFrame:
    n, k = panel.values.shape
    return pd.DataFrame(
        {
            "block": np.repeat(np.arange(n), k),
            "dose": np.tile(np.asarray(panel.doses), n),
            "y": panel.values.ravel(),
        }
    )
