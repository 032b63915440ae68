"""What the tests of one part of a question say together, and how an estimate becomes evidence."""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from analyze.hypotheses import STRENGTH
from analyze.inference.diagnostics import Diagnostic
from analyze.inference.estimate import Estimate
from analyze.questions import Part, Question
from analyze.resample import Resample
from analyze.results import Evidence, FitLine, Rank
from store.measures import BY_NAME

_OF_OUTCOME: Final = ("difference", "contrast", "effect")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the tests say of one part of a question.

    primary: None where nothing can be computed; ``caveats`` then say why. resample: the primary
    test on resampled blocks, of which there are ``blocks``; None where there are too few.
    """

    part: Part
    primary: Estimate | None
    evidence: tuple[Evidence, ...] = ()
    fit: FitLine | None = None
    resample: Resample | None = None
    blocks: int = 0
    caveats: tuple[str, ...] = ()

    @property
    def seeds(self) -> int:
        """Seed blocks in the primary test."""
        return self.primary.n if self.primary else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What an estimate speaks of: claim, arm, form, and columns of ``measures``."""

    hypothesis: str
    arm: str
    form: str
    outcome: str
    predictor: str


def stream(study_seed: int, *names: str) -> np.random.Generator:
    """Return a generator for one purpose: the same names and study seed give the same numbers."""
    return np.random.default_rng((study_seed, zlib.crc32("/".join(names).encode())))


def about(question: Question, part: Part, *, predictor: str | None = None) -> About:
    """Say what an estimate of one part of a question speaks of.

    predictor: where it is not the part's own.
    """
    return About(
        hypothesis=question.hypothesis.id,
        arm=question.arm,
        form=question.form,
        outcome=part.outcome,
        predictor=predictor or part.predictor,
    )


def evidence_of(subject: About, estimates: Sequence[Estimate], rank: Rank) -> tuple[Evidence, ...]:
    """Tie estimates to the claim that they speak of."""
    return tuple(
        tied(
            subject,
            estimate,
            rank,
            unit=unit_of(estimate.value_name, subject.outcome, subject.predictor),
        )
        for estimate in estimates
    )


def tied(subject: About, estimate: Estimate, rank: Rank, *, unit: str) -> Evidence:
    """Tie one estimate, in ``unit``, to what it speaks of."""
    return Evidence(
        hypothesis=subject.hypothesis,
        arm=subject.arm,
        form=subject.form,
        outcome=subject.outcome,
        predictor=subject.predictor,
        test=estimate.test,
        rank=rank,
        method=estimate.method,
        value_name=estimate.value_name,
        estimate=number(estimate.estimate),
        unit=unit,
        standard_error=number(estimate.standard_error),
        statistic_name=estimate.statistic_name,
        statistic=number(estimate.statistic),
        df=number(estimate.df),
        p_value=number(estimate.p_value),
        smallest_p=number(estimate.smallest_p),
        interval=estimate.interval,
        n=estimate.n,
        rows=estimate.rows,
        caveats=estimate.caveats,
    )


def unit_of(value_name: str, outcome: str, predictor: str) -> str:
    """Return the unit of what a test estimates; empty where it is a pure number."""
    per = "unit of strength" if predictor == STRENGTH else _per(predictor)
    return unit_in(value_name, BY_NAME[outcome].unit, per)


def unit_in(value_name: str, unit: str, per: str) -> str:
    """Return the unit of what a test estimates, of an outcome in ``unit``.

    per: one unit of the predictor, in words.
    """
    if value_name.startswith("slope"):
        return f"{unit} per {per}"
    return unit if value_name.endswith(_OF_OUTCOME) else ""


def flagged(found: Sequence[Diagnostic]) -> tuple[str, ...]:
    """Words of the flags that bear on the primary test, as caveats."""
    return tuple(
        f"Diagnostic: {one.words}." for one in found if one.flag and one.bears_on == "primary"
    )


def number(value: float | None) -> float | None:
    """Return a plain float; None for what is not a number."""
    return None if value is None or math.isnan(value) else float(value)


def _per(predictor: str) -> str:
    """One unit of a predictor: bits and nats by name, indices and fractions by their title."""
    measure = BY_NAME[predictor]
    named = {"bits": "bit", "nats": "nat"}
    return named.get(measure.unit, f"unit of {measure.title}")
