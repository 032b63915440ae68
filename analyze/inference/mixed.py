"""The slope of a linear mixed model, with Kenward and Roger's standard error and df.

Wald's z rejects far too often at few seeds; Kenward and Roger (1997) correct both the
standard error and the reference distribution. Balanced, the model with random slopes gives
the t over the seeds' slopes; this one also takes seeds with missing doses.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from analyze.inference.estimate import Estimate, Panel, Table
from analyze.inference.factors import codes_of, sums_by, without_means
from analyze.inference.reml import Floats, RandomTerms, RemlFit, Seeds, fit_reml
from analyze.inference.sample import FEWEST_SEEDS, NO_SPREAD, TOO_FEW, t_interval
from analyze.inference.student_t import two_sided_p
from store.errors import AnalysisError

BOUNDARY: Final = "a variance component is estimated at 0, or a correlation at 1: boundary fit"
SLOPES_ALIKE: Final = (
    "takes the seeds' true slopes to be alike: rejects too often where they differ"
)
NO_RESIDUAL: Final = "each seed's outcomes lie on its own line: no residual to fit"
NOT_CONVERGED: Final = "the restricted likelihood has no clear maximum: not tested"
MOST_SEEDS: Final = 1000
"""Above this the restricted likelihood takes minutes."""
MANY: Final = f"more than {MOST_SEEDS} seeds: not fitted; least squares within seeds"
UNIDENTIFIED: Final = (
    "no seed has more strengths than random terms: random intercept only, as slopes cannot "
    "be told from residuals"
)

_WORDS: Final[dict[RandomTerms, str]] = {
    "intercept": "random intercept",
    "slope": "uncorrelated random intercept and slope",
    "correlated_slope": "correlated random intercept and slope",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedFit:
    """A mixed model of outcome on dose, by seed, in the data's units.

    intercept: at the mean dose. standard_error, df: of the slope, by Kenward and Roger;
    plain_standard_error: without their correction. random_covariance: of the seeds'
    intercepts (at the mean dose) and slopes, shape (1, 1) or (2, 2).
    """

    random: RandomTerms
    intercept: float
    slope: float
    standard_error: float
    plain_standard_error: float
    df: float
    random_covariance: Floats
    residual_variance: float
    boundary: bool
    converged: bool


def mixed_slope(
    data: Table | Panel, *, random: RandomTerms = "slope", level: float = 0.95
) -> Estimate:
    """Test the slope of outcome ``y`` on ``dose`` by a mixed model with Kenward-Roger df.

    random: which terms vary by seed. A random intercept alone is anticonservative where
    slopes differ between seeds, which a caveat says. Below 3 seeds, above 1,000, or without
    residual variance, the least-squares slope within seeds and a caveat. Raises AnalysisError when
    there are no rows or one dose only.
    """
    if not 0 < level < 1:
        raise ValueError(f"level {level} is not in (0, 1); write .95 for 95 %")
    block, dose, outcome = _columns(data)
    if len(np.unique(block)) > MOST_SEEDS:
        return _described(block, dose, outcome, random, (MANY,))
    terms, caveats = _identified(block, dose, random)
    if terms == "intercept":
        caveats = (*caveats, SLOPES_ALIKE)
    refusal = _refusal(block, dose, outcome, terms)
    if refusal is not None:
        return _described(block, dose, outcome, terms, (refusal,))
    try:
        fit = _fit(block, dose, outcome, terms)
    except np.linalg.LinAlgError:
        # doses that differ by many orders of magnitude leave no likelihood to invert
        return _described(block, dose, outcome, terms, (NOT_CONVERGED,))
    if not fit.converged:
        return _described(block, dose, outcome, terms, (NOT_CONVERGED,))
    if fit.boundary:
        caveats = (*caveats, BOUNDARY)
    t = fit.slope / fit.standard_error
    return Estimate(
        test=f"mixed_model_{terms}",
        method=_method(terms),
        value_name="slope",
        estimate=fit.slope,
        n=len(np.unique(block)),
        rows=len(block),
        standard_error=fit.standard_error,
        statistic_name="t",
        statistic=t,
        df=fit.df,
        p_value=two_sided_p(t, fit.df),
        interval=t_interval(fit.slope, fit.standard_error, fit.df, level=level),
        caveats=caveats,
    )


def fit_mixed(data: Table | Panel, *, random: RandomTerms = "slope") -> MixedFit:
    """Fit the mixed model and Kenward and Roger's correction of its slope.

    Raises AnalysisError where ``mixed_slope`` gives no test.
    """
    block, dose, outcome = _columns(data)
    terms, _ = _identified(block, dose, random)
    refusal = _refusal(block, dose, outcome, terms)
    if refusal is not None:
        raise AnalysisError(f"no mixed model can be fitted: {refusal}")
    return _fit(block, dose, outcome, terms)


def _columns(data: Table | Panel) -> tuple[Floats, Floats, Floats]:
    """Return block, dose and outcome per row, sorted by block and dose."""
    if isinstance(data, Panel):
        block = np.repeat(np.arange(float(len(data.blocks))), len(data.doses))
        dose = np.tile(np.asarray(data.doses, dtype=np.float64), len(data.blocks))
        outcome = data.values.ravel()
    else:
        block, dose, outcome = data.block.astype(np.float64), data.dose, data.y
    if len(block) == 0:
        raise AnalysisError("no replicates to analyze; collect at least one seed block")
    if float(np.ptp(dose)) == 0:
        raise AnalysisError(
            f"a trend needs at least two strengths; these replicates have {[float(dose[0])]}"
        )
    order = np.lexsort((dose, block))
    return block[order], dose[order], outcome[order]


def _identified(
    block: Floats, dose: Floats, random: RandomTerms
) -> tuple[RandomTerms, tuple[str, ...]]:
    """Fall back to a random intercept where random slopes cannot be told from residuals."""
    if random == "intercept" or _spare(block, dose) > 0:
        return random, ()
    return "intercept", (UNIDENTIFIED,)


def _spare(block: Floats, dose: Floats) -> int:
    """Count the rows beyond what each seed's own line takes."""
    lines = sum(min(2, len(np.unique(dose[block == seed]))) for seed in np.unique(block))
    return len(block) - lines


def _refusal(block: Floats, dose: Floats, outcome: Floats, random: RandomTerms) -> str | None:
    """Say why these rows allow no test, or None."""
    if len(np.unique(block)) < FEWEST_SEEDS:
        return TOO_FEW
    own_slopes = random != "intercept"
    residual, df = _within_residual(block, dose, outcome, own_slopes=own_slopes)
    if df > 0 and residual > 1e-10 * float(np.abs(outcome).max()):
        return None
    return NO_RESIDUAL if own_slopes else NO_SPREAD


def _within_residual(
    block: Floats, dose: Floats, outcome: Floats, *, own_slopes: bool
) -> tuple[float, int]:
    """Return the largest residual and its df with seed terms fixed: the likelihood's floor."""
    seeds = codes_of(block)
    x, y = without_means(seeds, dose), without_means(seeds, outcome)
    lines = seeds if own_slopes else np.zeros_like(seeds)
    squares, products = sums_by(lines, x * x), sums_by(lines, x * y)
    slopes = np.divide(products, squares, out=np.zeros_like(squares), where=squares > 0)
    df = _spare(block, dose) if own_slopes else len(y) - len(np.unique(block)) - bool(x.any())
    return float(np.abs(y - slopes[lines] * x).max()), df


def _described(
    block: Floats,
    dose: Floats,
    outcome: Floats,
    random: RandomTerms,
    caveats: tuple[str, ...],
) -> Estimate:
    """Return the least-squares slope within seeds, untested."""
    seeds = codes_of(block)
    x, y = without_means(seeds, dose), without_means(seeds, outcome)
    squares = float(x @ x)
    if squares == 0:
        caveats = (*caveats, "no seed has two strengths: no slope within seeds")
    return Estimate(
        test=f"mixed_model_{random}",
        method=_method(random),
        value_name="slope",
        estimate=float(x @ y) / squares if squares else None,
        n=len(np.unique(block)),
        rows=len(block),
        caveats=caveats,
    )


def _method(random: RandomTerms) -> str:
    return f"linear mixed model, {_WORDS[random]} by seed, REML, Kenward-Roger"


def _fit(block: Floats, dose: Floats, outcome: Floats, random: RandomTerms) -> MixedFit:
    """Fit in units of the data's own spread, so that the search meets numbers of order 1."""
    x_unit, y_unit = float(dose.std()), float(outcome.std())
    middle = float(outcome.mean())
    seeds = _seeds(block, (dose - dose.mean()) / x_unit, (outcome - middle) / y_unit)
    fit = fit_reml(seeds, random)
    plain, corrected, df = kenward_roger(seeds, fit, random)
    units = np.array([y_unit, y_unit / x_unit])[: len(fit.relative)]
    unit = y_unit / x_unit
    return MixedFit(
        random=random,
        intercept=middle + y_unit * float(fit.coefficients[0]),
        slope=unit * float(fit.coefficients[1]),
        standard_error=unit * corrected,
        plain_standard_error=unit * plain,
        df=df,
        random_covariance=fit.residual_variance * fit.relative * np.outer(units, units),
        residual_variance=y_unit**2 * fit.residual_variance,
        boundary=fit.boundary,
        converged=fit.converged,
    )


def _seeds(block: Floats, x: Floats, y: Floats) -> Seeds:
    """Lay the rows, sorted by block, out by seed."""
    _, first, inverse = np.unique(block, return_index=True, return_inverse=True)
    place = np.arange(len(block)) - first[inverse]
    shape = (len(first), int(place.max()) + 1)
    design, outcomes, observed = np.zeros((*shape, 2)), np.zeros(shape), np.zeros(shape)
    design[inverse, place] = np.column_stack([np.ones(len(x)), x])
    outcomes[inverse, place] = y
    observed[inverse, place] = 1.0
    return Seeds(design, outcomes, observed)


def kenward_roger(seeds: Seeds, fit: RemlFit, random: RandomTerms) -> tuple[float, float, float]:
    """Return the slope's plain and corrected standard error, and its df.

    The covariance is linear in its parameters, so the correction has no second derivatives.
    For one coefficient Kenward and Roger's F scaling is 1 and their df is 2 / A. Source:
    Kenward and Roger (1997); Halekoh and Hojsgaard (2014).
    """
    phi, fisher, p, q = _expected_information(seeds, fit, random)
    spread = 2 * np.linalg.pinv(fisher, rcond=1e-12, hermitian=True)
    correction = np.zeros((2, 2))
    for r in range(len(p)):
        for s in range(len(p)):
            correction += spread[r, s] * (q[r, s] - p[r] @ phi @ p[s])
    corrected = phi + 2 * phi @ correction @ phi
    shares = (phi @ p @ phi)[:, 1, 1] / phi[1, 1]
    return (
        float(np.sqrt(phi[1, 1])),
        float(np.sqrt(corrected[1, 1])),
        2 / float(shares @ spread @ shares),
    )


def _expected_information(
    seeds: Seeds, fit: RemlFit, random: RandomTerms
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the coefficients' covariance, twice the expected information, P and Q.

    P: shape (r, 2, 2); Q: shape (r, r, 2, 2), as in Kenward and Roger (1997), r covariance
    parameters, the residual variance last.
    """
    z = seeds.design[:, :, : len(fit.relative)]
    covariance = fit.residual_variance * (np.eye(z.shape[1]) + z @ fit.relative @ z.mT)
    inverse = np.asarray(np.linalg.inv(covariance), dtype=np.float64)
    residual = seeds.observed[:, :, np.newaxis] * np.eye(z.shape[1])
    derivatives = np.array([*(z @ one @ z.mT for one in _directions(random)), residual])
    weighted = inverse @ seeds.design
    pushed = derivatives @ weighted
    phi = np.asarray(np.linalg.inv((seeds.design.mT @ weighted).sum(axis=0)), dtype=np.float64)
    p = -(weighted.mT @ pushed).sum(axis=1)
    q = np.einsum("rnki,snkj->rsij", pushed, inverse @ pushed)
    turned = inverse @ derivatives
    share = phi @ p
    fisher = (
        np.einsum("rnkl,snlk->rs", turned, turned)
        - 2 * np.einsum("ij,rsij->rs", phi, q)
        + np.einsum("rij,sji->rs", share, share)
    )
    return phi, fisher, p, q


def _directions(random: RandomTerms) -> tuple[Floats, ...]:
    """Return the derivative of the random terms' covariance by each of its parameters."""
    if random == "intercept":
        return (np.ones((1, 1)),)
    first, second = np.diag([1.0, 0.0]), np.diag([0.0, 1.0])
    if random == "slope":
        return (first, second)
    return (first, np.ones((2, 2)) - np.eye(2), second)
