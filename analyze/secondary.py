"""Measures that no primary claim is about: which of them move with strength, if any.

Looked at together, some would seem to move by chance alone: Benjamini and Hochberg's adjusted
p bounds the share of false finds among those called. No verdict: no claim was made beforehand.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from scipy import stats

from analyze.answers import About, evidence_of
from analyze.distillation import p_values, with_q_values
from analyze.hypotheses import STRENGTH
from analyze.inference.estimate import Estimate
from analyze.inference.trends import slope_t
from analyze.questions import Question, main_arm
from analyze.replicates import Replicates, panel_of
from analyze.results import DistillationEffect, Evidence, Rank
from analyze.shared_teachers import shared_slope, teachers_alone
from store.design import Design
from store.measures import BY_NAME, MEASURES
from store.vocabulary import Form

SECONDARY: Final = "secondary"
"""Stands where other evidence names its claim."""


def secondary_of(
    questions: Sequence[Question], replicates: Replicates, design: Design
) -> tuple[Evidence, ...]:
    """Test the trend of every secondary measure, in the arm that decides for students.

    Secondary is every measure in its sound form that is no outcome of a primary trend. A measure
    without a complete seed block has its reason as caveat, and no estimate.
    """
    arm = main_arm(design)
    return tuple(_trend(measure, arm, replicates) for measure in _measures(questions))


def adjusted_together(
    trends: Sequence[Evidence], effects: Sequence[DistillationEffect]
) -> tuple[tuple[Evidence, ...], tuple[DistillationEffect, ...]]:
    """Give every secondary test its q: trends and effects of distillation are one family.

    The Benjamini-Hochberg adjusted p over those with a p.
    """
    every = [*(one.p_value for one in trends), *p_values(effects)]
    adjusted = iter(adjusted_for_false_discoveries([p for p in every if p is not None]))
    q_values = [None if p is None else next(adjusted) for p in every]
    return (
        tuple(replace(one, q_value=q) for one, q in zip(trends, q_values, strict=False)),
        with_q_values(effects, q_values[len(trends) :]),
    )


def adjusted_for_false_discoveries(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return each p adjusted so that calling those below q keeps false finds below q of them.

    In the order given. Holds for independent tests and for positive dependence. Source:
    Benjamini and Hochberg (1995).
    """
    if not p_values:
        return ()
    return tuple(float(q) for q in stats.false_discovery_control(p_values, method="bh"))


def _measures(questions: Sequence[Question]) -> tuple[str, ...]:
    """Name every measure in its sound form that no primary trend is about."""
    published = {measure.published for measure in MEASURES}
    primary = {
        part.outcome
        for question in questions
        if question.hypothesis.primary and question.is_trend and question.form is Form.PLAIN
        for part in question.parts
    }
    return tuple(m.name for m in MEASURES if m.name not in published | primary)


def _trend(measure: str, arm: str, replicates: Replicates) -> Evidence:
    own = replicates.of_teachers() if BY_NAME[measure].of_teachers else replicates
    chosen = panel_of(own.students, arm=arm, outcome=measure)
    subject = About(
        hypothesis=SECONDARY, arm=arm, form=Form.PLAIN, outcome=measure, predictor=STRENGTH
    )
    alone = teachers_alone(replicates.counts) if own is not replicates else ()
    if chosen.panel is None:
        estimate = Estimate(
            test="per_seed_slope_t",
            method="no test",
            value_name="slope",
            estimate=None,
            n=0,
            rows=0,
            caveats=chosen.caveats,
        )
    else:
        shared = own.pools
        estimate = slope_t(chosen.panel) if shared is None else shared_slope(chosen.panel, shared)
        estimate = replace(estimate, caveats=(*alone, *chosen.caveats, *estimate.caveats))
    return evidence_of(subject, [estimate], Rank.BESIDE)[0]
