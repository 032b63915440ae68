"""Fit a linear mixed model with any random terms by restricted maximum likelihood.

Terms may be crossed, nested in each other and unbalanced: y = X b + sum of Z_j u_j + e, one
variance a term. All is computed in the dimension q of the random effects (Woodbury): no matrix
of rows by rows is ever made, and an evaluation costs of order q^3 + rows x q.

``reml`` stays beside it. With one grouping factor the likelihood is a sum over seeds, whose
cost grows with their number and not with its cube: 1,000 seeds, 2,000 random effects, take it
as little time as 100 seeds take here; and it takes correlated terms. Where both apply they agree
(see the tests).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from analyze.inference.factors import Factors

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_EVEN: Final = (1.0, 4.0, 0.25)
"""Where searches start: relative standard deviations, all terms alike."""
_LEAD: Final = 4.0
_TRAIL: Final = 0.1
"""And one search a term, which leads the others: with few rows the likelihood can have several
optima."""
_LARGEST: Final = 1e5
"""A larger relative standard deviation is no optimum: the residual is gone."""
_NUDGE: Final = 1e-3
_ROUGH: Final = 1e-2
"""A gradient that shows which optimum a search leads to."""
_FLATTEST: Final = 1e-9
_STEPS: Final = 100
_HALVINGS: Final = 30
_LONGEST: Final = 2.0
"""A step moves an element by at most this often its size and 1."""
_CURVED: Final = 1e-10
_FLAT: Final = 1e-6
"""A gradient of the criterion below this is an optimum; the criterion is of order N."""
_FAR: Final = 10.0
"""A face that starts this far above the best criterion is not worth a search."""
_TIE: Final = 1e-8
"""A boundary within this of the best criterion is preferred: the simpler model."""
_DEPENDENT: Final = 1e-8
"""Share of a term's covariance that the terms before it must leave for it to be told apart."""
_EXACT: Final = 1e-10
"""Residuals below this share of the outcome's spread are rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomTerm:
    """Effects of one grouping factor, independent and of one variance.

    groups: of each row, from 0, shape (rows,). slope: the column that a group's effect is
    multiplied by, shape (rows,); None: an intercept.
    """

    name: str
    groups: Ints
    slope: Floats | None = None

    @property
    def size(self) -> int:
        """Number of groups."""
        return int(self.groups.max(initial=-1)) + 1

    def columns(self) -> Floats:
        """One column a group, shape (rows, size)."""
        written = np.zeros((len(self.groups), self.size))
        written[np.arange(len(self.groups)), self.groups] = 1 if self.slope is None else self.slope
        return written


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedModel:
    """A model's rows, ready to fit; as ``mixed_model`` builds it.

    basis: orthonormal, of the design, shape (rows, p); to_basis: design = basis @ to_basis.
    start: the outcome's least-squares coefficients of the basis. outcome: what they leave, over
    ``unit``, its root mean square. effects: the terms' columns, each term over its size in
    ``units``, its root mean square a row, shape (rows, q); term: of each column. contrasts: rows
    less the rank of what was absorbed. rounding: below this ``outcome`` is nothing.
    """

    names: tuple[str, ...]
    basis: Floats
    to_basis: Floats
    start: Floats
    outcome: Floats
    unit: float
    effects: Floats
    term: Ints
    units: Floats
    contrasts: int
    rounding: float

    @property
    def error_contrasts(self) -> int:
        """What is left for the variances: n - p of the restricted likelihood."""
        return self.contrasts - self.basis.shape[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentFit:
    """The REML estimates, in the data's units.

    coefficients: of the design, shape (p,). variances: of the terms, shape (k,), in outcome units
    squared (per unit of its slope squared). criterion: -2 log restricted likelihood, as lme4
    counts it (absorbed factors shift it by a constant). theta: the terms' standard deviations
    over the residual's, in the model's own units. boundary: a variance is 0. converged: the
    criterion is flat there, and falls towards no variance that is 0.
    """

    coefficients: Floats
    variances: Floats
    residual_variance: float
    criterion: float
    theta: Floats
    boundary: bool
    converged: bool


@dataclass(frozen=True, slots=True)
class _Profile:
    """The criterion at one theta; gradient and hessian by theta, tilt: gradient by theta^2."""

    criterion: float
    gradient: Floats
    tilt: Floats
    hessian: Floats
    coefficients: Floats
    residual_variance: float


def mixed_model(
    design: Floats, outcome: Floats, terms: Sequence[RandomTerm], *, absorbed: Factors | None = None
) -> MixedModel:
    """Lay out y = design b + terms + residual.

    design: shape (rows, p), of full rank, its constant written out unless it is absorbed.
    absorbed: fixed factors that no coefficient is wanted of. They are projected out of
    everything, which leaves the restricted likelihood of the rest, and Kenward and Roger's
    correction, as they are: both are functions of the contrasts free of fixed effects.
    Raises ValueError where the design's columns depend on one another.
    """
    effects = [term.columns() for term in terms]
    lengths, outcome_given = np.linalg.norm(design, axis=0), outcome
    if absorbed is not None:
        design, outcome = absorbed.residual(design), absorbed.residual(outcome)
        effects = [absorbed.residual(columns) for columns in effects]
    basis, to_basis = np.linalg.qr(design)
    if len(design) < design.shape[1] or (np.abs(np.diag(to_basis)) <= _EXACT * lengths).any():
        raise ValueError("the design's columns depend on one another or on what is absorbed")
    start = basis.T @ outcome
    left = outcome - basis @ start
    size = float(np.abs(outcome_given).max(initial=0.0))
    unit = _root_mean_square(left)
    if unit <= _EXACT * size:
        left, unit = np.zeros_like(left), size or 1.0
    units = np.array([_root_mean_square(np.linalg.norm(one, axis=1)) for one in effects])
    scaled = [one / (size or 1.0) for one, size in zip(effects, units, strict=True)]
    return MixedModel(
        names=tuple(term.name for term in terms),
        basis=basis,
        to_basis=to_basis,
        start=start,
        outcome=left / unit,
        unit=unit,
        effects=np.concatenate([np.zeros((len(outcome), 0)), *scaled], axis=1),
        term=np.repeat(np.arange(len(effects)), [term.size for term in terms]).astype(np.int64),
        units=units,
        contrasts=len(outcome) - (0 if absorbed is None else absorbed.rank),
        rounding=_EXACT * max(1.0, size / unit),
    )


def told_apart(model: MixedModel) -> NDArray[np.bool_]:
    """Say of each term whether its variance differs from the residual's and the earlier terms'.

    Two terms are the same where their covariances of the error contrasts are proportional, or
    one is a sum of others: then the likelihood is a ridge. Shape (k,).
    """
    free = model.effects - model.basis @ (model.basis.T @ model.effects)
    inner = free.T @ free
    count = len(model.names)
    overlaps = np.zeros((count + 1, count + 1))
    overlaps[0, 0] = model.error_contrasts
    for one in range(count):
        mine = model.term == one
        overlaps[0, one + 1] = overlaps[one + 1, 0] = np.trace(inner[np.ix_(mine, mine)])
        for other in range(count):
            block = inner[np.ix_(mine, model.term == other)]
            overlaps[one + 1, other + 1] = float((block**2).sum())
    kept = [0]
    for one in range(1, count + 1):
        before = overlaps[np.ix_(kept, kept)]
        shared = overlaps[kept, one]
        own = overlaps[one, one] - shared @ np.linalg.solve(before, shared)
        if own > _DEPENDENT * overlaps[one, one] > 0:
            kept.append(one)
    return np.isin(np.arange(1, count + 1), kept)


def residual_df(model: MixedModel) -> int:
    """Count the contrasts that neither design nor random effects can move; 0: no residual.

    0 too where those contrasts are rounding alone: the outcome lies in the model's span.
    """
    span = np.concatenate([model.basis, model.effects], axis=1)
    left, singular, _ = np.linalg.svd(span, full_matrices=False)
    inside = left[:, singular > _EXACT * singular.max(initial=1.0)]
    df = model.contrasts - inside.shape[1]
    remainder = model.outcome - inside @ (inside.T @ model.outcome)
    return df if df > 0 and float(np.abs(remainder).max()) > model.rounding else 0


def fit_components(model: MixedModel) -> ComponentFit:
    """Maximize the restricted likelihood.

    The caller sees to it that the terms can be told apart and a residual is there.
    """
    search = _Search(model)
    theta, profile = search.best()
    free = theta > 0
    steep = float(np.abs(profile.gradient[free]).max(initial=0.0))
    inward = float(-profile.tilt[~free].min(initial=0.0))
    residual_variance = model.unit**2 * profile.residual_variance
    df = model.error_contrasts
    constant = df * (1 + np.log(2 * np.pi * model.unit**2))
    constant += 2 * float(np.log(np.abs(np.diag(model.to_basis))).sum())
    coefficients = model.start + model.unit * profile.coefficients
    return ComponentFit(
        coefficients=np.asarray(linalg.solve_triangular(model.to_basis, coefficients)),
        variances=residual_variance * (theta / model.units) ** 2,
        residual_variance=residual_variance,
        criterion=profile.criterion + float(constant),
        theta=theta,
        boundary=not bool(free.all()),
        converged=steep < _FLAT and inward < _FLAT,
    )


class _Search:
    """The criterion of one model over theta, and how its least value is found.

    Only products of columns enter it, so a triangle of q + p + 1 rows stands for all rows.
    """

    def __init__(self, model: MixedModel) -> None:
        self.model = model
        every = np.column_stack([model.effects, model.basis, model.outcome])
        triangle = np.linalg.qr(every, mode="r")
        self.effects, self.columns = np.split(triangle, [model.effects.shape[1]], axis=1)
        self.gram = self.effects.T @ self.effects
        self.products = self.effects.T @ triangle
        self.member = np.eye(len(model.names))[model.term]

    def best(self) -> tuple[Floats, _Profile]:
        """Search from every start, then on every face of the boundary; keep the least."""
        count = len(self.model.names)
        starts = [np.full(count, size) for size in _EVEN]
        leads = np.full((count, count), _TRAIL) + (_LEAD - _TRAIL) * np.eye(count)
        starts += list(leads) if count > 1 else []
        found = [self.descend(start, flat=_ROUGH) for start in starts]
        theta, profile = min(found, key=lambda one: one[1].criterion)
        theta, profile = self.descend(theta)
        theta, profile = self._drop_zeros(theta, profile)
        for _ in range(count):
            inside = self._leave_boundary(theta, profile)
            if inside is None:
                break
            theta, profile = inside
        return theta, profile

    def _drop_zeros(self, theta: Floats, profile: _Profile) -> tuple[Floats, _Profile]:
        """Set terms to 0, the smallest first, where the criterion is no worse for it."""
        for index in np.argsort(theta, kind="stable"):
            if theta[index] == 0:
                continue
            face = theta.copy()
            face[index] = 0.0
            if self.profile(face).criterion > profile.criterion + _FAR:
                continue
            dropped = self.descend(face)
            if dropped[1].criterion <= profile.criterion + _TIE:
                theta, profile = dropped
        return theta, profile

    def _leave_boundary(self, theta: Floats, profile: _Profile) -> tuple[Floats, _Profile] | None:
        """Search from just inside where a variance of 0 should be positive; None: nowhere.

        By theta the gradient vanishes at 0 either way; by its square it does not.
        """
        pushed = (theta == 0) & (profile.tilt < 0)
        if not pushed.any():
            return None
        found = self.descend(np.where(pushed, _NUDGE, theta))
        return found if found[1].criterion < profile.criterion - _TIE else None

    def descend(self, start: Floats, *, flat: float = _FLATTEST) -> tuple[Floats, _Profile]:
        """Minimize from ``start`` until the gradient is ``flat``; an element of 0 stays there.

        Newton's steps, with the curvature's sign turned where it is negative and halved until
        they descend. The criterion is even in theta, so no bound is needed: a step across 0 is
        one to its mirror.
        """
        theta = start
        profile = self.profile(theta)
        for _ in range(_STEPS):
            free = theta > 0
            slope = profile.gradient[free]
            if not free.any() or float(np.abs(slope).max()) < flat:
                break
            step = np.zeros_like(theta)
            step[free] = _newton_step(profile.hessian[np.ix_(free, free)], slope)
            step /= max(1.0, float((np.abs(step) / (_LONGEST * (1 + theta))).max()))
            moved = self._moved(theta, profile, step)
            if moved is None:
                break
            theta, profile = moved
        return theta, profile

    def _moved(
        self, theta: Floats, profile: _Profile, step: Floats
    ) -> tuple[Floats, _Profile] | None:
        """Take as much of a step as lowers the criterion; None where none does.

        Near the optimum the criterion is too flat to tell: there the gradient decides.
        """
        promised = float(profile.gradient @ step)
        steepest = float(np.abs(profile.gradient).max())
        for halvings in range(_HALVINGS):
            share = 0.5**halvings
            at = np.minimum(np.abs(theta - share * step), _LARGEST)
            found = self.profile(at)
            lower = found.criterion <= profile.criterion - 1e-4 * share * promised
            as_low = found.criterion <= profile.criterion + _TIE
            if lower or (as_low and float(np.abs(found.gradient).max()) < 0.5 * steepest):
                return at, found
        return None

    def profile(self, theta: Floats) -> _Profile:
        """Profile coefficients and residual variance out of the restricted likelihood."""
        scale = theta[self.model.term]
        effects = len(scale)
        covariance = np.eye(effects) + scale[:, None] * self.gram * scale
        root = linalg.cholesky(covariance, lower=True, check_finite=False)
        turned = linalg.solve_triangular(
            root, scale[:, None] * self.products, lower=True, check_finite=False
        )
        modes = linalg.solve_triangular(
            root, turned[:, effects:], lower=True, trans=1, check_finite=False
        )
        pulled = self.columns - self.effects @ (scale[:, None] * modes)
        # sums of squares: no difference of large numbers where a variance is large
        moments = pulled.T @ pulled + modes.T @ modes
        normal, cross = moments[:-1, :-1], moments[:-1, -1]
        coefficients = np.linalg.solve(normal, cross)
        df = self.model.error_contrasts
        variance = float(moments[-1, -1] - cross @ coefficients) / df
        reached = self.effects.T @ pulled
        inner = self.gram - turned[:, :effects].T @ turned[:, :effects]
        inner -= reached[:, :-1] @ np.linalg.solve(normal, reached[:, :-1].T)
        scores = (reached[:, -1] - reached[:, :-1] @ coefficients) / variance**0.5
        tilt, bend = self._derivatives(inner, scores)
        return _Profile(
            criterion=2 * float(np.log(np.diag(root)).sum())
            + float(np.linalg.slogdet(normal)[1])
            + df * float(np.log(variance)),
            gradient=2 * theta * tilt,
            tilt=tilt,
            hessian=4 * bend * np.outer(theta, theta) + 2 * np.diag(tilt),
            coefficients=coefficients,
            residual_variance=variance,
        )

    def _derivatives(self, inner: Floats, scores: Floats) -> tuple[Floats, Floats]:
        """Differentiate the criterion by every theta^2, once and twice.

        inner: Z' P Z, scores: Z' P y over the residual's SD, P the inverse covariance free of
        fixed effects.
        """
        member, df = self.member, self.model.error_contrasts
        squares = member.T @ scores**2
        tilt = member.T @ np.diag(inner) - squares
        bend = 2 * member.T @ (scores[:, None] * inner * scores) @ member
        bend -= member.T @ inner**2 @ member + np.outer(squares, squares) / df
        return tilt, bend


def _newton_step(hessian: Floats, slope: Floats) -> Floats:
    """Solve hessian step = slope with the eigenvalues' sizes in place of their signs."""
    values, vectors = np.linalg.eigh(hessian)
    sizes = np.maximum(np.abs(values), _CURVED * max(1.0, float(np.abs(values).max())))
    return np.asarray(vectors @ ((vectors.T @ slope) / sizes), dtype=np.float64)


def _root_mean_square(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))
