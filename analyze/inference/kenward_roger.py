"""Standard errors and degrees of freedom of mixed models, as Kenward and Roger correct them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from analyze.inference.crossed_reml import ComponentFit, MixedModel

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdjustedContrast:
    """One linear combination of coefficients; standard_error and df by Kenward and Roger.

    plain_standard_error: without their correction. A standard error or df of 0: none can be had.
    """

    estimate: float
    plain_standard_error: float
    standard_error: float
    df: float


def kenward_roger(model: MixedModel, fit: ComponentFit, contrast: Floats) -> AdjustedContrast:
    """Correct one contrast's standard error, and give it degrees of freedom.

    contrast: weights of the design's coefficients, shape (p,). The general formulas, as
    pbkrtest's ``vcovAdj`` and ``Lb_ddf`` have them: the covariance is linear in its variances,
    so there are no second derivatives, and for one contrast the F scaling is 1 and the df 2 / A.
    A variance estimated at 0 still counts: the df do not grow by it.
    Source: Kenward and Roger (1997); Halekoh and Hojsgaard (2014).
    """
    weights = linalg.solve_triangular(model.to_basis, contrast, trans=1)
    phi, fisher, p, q = _expected_information(model, fit.theta)
    spread = 2 * np.linalg.pinv(fisher, rcond=1e-12, hermitian=True)
    correction = np.einsum("rs,rsij->ij", spread, q)
    correction -= np.einsum("rs,rij,jk,skl->il", spread, p, phi, p)
    pulled = phi @ weights
    plain = float(weights @ pulled)
    corrected = plain + 2 * float(pulled @ correction @ pulled)
    shares = np.einsum("i,rij,j->r", pulled, p, pulled) / plain
    scatter = float(shares @ spread @ shares)
    sigma = fit.residual_variance**0.5
    return AdjustedContrast(
        estimate=float(contrast @ fit.coefficients),
        plain_standard_error=sigma * plain**0.5,
        standard_error=sigma * max(corrected, 0.0) ** 0.5,
        df=2 / scatter if scatter > 0 else 0.0,
    )


def _expected_information(
    model: MixedModel, theta: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the basis' covariance, twice the expected information, P and Q.

    At residual variance 1. P: shape (r, p, p); Q: shape (r, r, p, p), as in Kenward and Roger
    (1997), r variances, the residual's last. With A the inverse covariance,
    Z' A = (I + Z'Z D)^-1 Z' gives every trace in dimension q, without a difference of large
    numbers.
    """
    scale = theta[model.term]
    gram = model.effects.T @ model.effects
    turn = np.asarray(np.linalg.inv(np.eye(len(scale)) + gram * scale**2), dtype=np.float64)
    once, normal = _weighted(model, scale, turn, model.basis)
    twice, thrice = _weighted(model, scale, turn, once)
    inner, squared = turn @ gram, turn @ gram @ turn.T
    reached, again = model.effects.T @ once, model.effects.T @ twice
    members = [model.term == one for one in range(len(theta))]
    last, size = len(theta), model.basis.shape[1]
    p, q = np.zeros((last + 1, size, size)), np.zeros((last + 1, last + 1, size, size))
    traces = np.zeros((last + 1, last + 1))
    p[last], q[last, last] = -once.T @ once, thrice
    # on contrasts that random effects do not reach, the inverse covariance is the identity
    traces[last, last] = model.contrasts - len(scale) + float((turn * turn.T).sum())
    for one, mine in enumerate(members):
        p[one] = -reached[mine].T @ reached[mine]
        q[one, last] = reached[mine].T @ again[mine]
        q[last, one] = q[one, last].T
        traces[one, last] = traces[last, one] = float(np.trace(squared[np.ix_(mine, mine)]))
        for other, theirs in enumerate(members):
            block = inner[np.ix_(mine, theirs)]
            q[one, other] = reached[mine].T @ block @ reached[theirs]
            traces[one, other] = float((block**2).sum())
    phi = np.asarray(np.linalg.inv(normal), dtype=np.float64)
    share = phi @ p
    fisher = traces - 2 * np.einsum("ij,rsij->rs", phi, q) + np.einsum("rij,sji->rs", share, share)
    return phi, fisher, p, q


def _weighted(
    model: MixedModel, scale: Floats, turn: Floats, columns: Floats
) -> tuple[Floats, Floats]:
    """Return the inverse covariance times columns, and columns' product with that."""
    modes = scale[:, None] * (turn @ (model.effects.T @ columns))
    pulled = columns - model.effects @ (scale[:, None] * modes)
    return pulled, pulled.T @ pulled + modes.T @ modes
