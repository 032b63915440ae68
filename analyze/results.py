"""What an analysis says, as typed values: the contract between analysis and report.

``results.json`` is these values written out. Nothing here computes.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Verdict(StrEnum):
    """What the primary test says of a claim; see the analysis plan for the rule."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    NEGLIGIBLE = "negligible"
    UNDECIDED = "undecided"
    DESCRIPTIVE = "descriptive"  # fewer than 3 seeds: no test
    NO_DATA = "no data"  # nothing to compute it from


class Rank(StrEnum):
    """Whether a test decides the claim, stands beside it, or may not bear a verdict."""

    PRIMARY = "primary"
    BESIDE = "beside"
    COUPLED = "coupled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A confidence interval at ``level`` (for example .95); a bound may be infinite."""

    low: float
    high: float
    level: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What one fitted test says of one outcome of one claim.

    test: a stable identifier, e.g. ``per_seed_slope_t``. method: the same in words.
    estimate: in ``unit``; None where the test gives none. n: independent units (seeds; of
    teachers alone that seeds share, pools), never images. rows: students that went in.
    value_name: what ``estimate`` is (``slope``, ``correlation``, ``bayes_factor_10``, ...).
    smallest_p: of an exact test, the least p that this many seeds can give. q_value: of a
    secondary test, its p adjusted over all of them (Benjamini and Hochberg 1995).
    """

    hypothesis: str
    arm: str
    form: str
    outcome: str
    predictor: str
    test: str
    rank: Rank
    method: str
    value_name: str
    estimate: float | None
    unit: str
    standard_error: float | None = None
    statistic_name: str | None = None
    statistic: float | None = None
    df: float | None = None
    p_value: float | None = None
    smallest_p: float | None = None
    q_value: float | None = None
    interval: Interval | None = None
    n: int
    rows: int
    caveats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeFinding:
    """One outcome's verdict by its primary test.

    verdict_interval: at 1 - alpha; equivalence_interval: at 1 - 2 alpha; alpha: the claim's
    Holm level. sesoi: in the estimate's unit, positive. size_uncertain: the interval
    reaches below the SESOI although it excludes 0.
    """

    outcome: str
    predictor: str
    verdict: Verdict
    estimate: float | None
    unit: str
    p_value: float | None
    alpha: float
    sesoi: float
    interval_95: Interval | None
    verdict_interval: Interval | None
    equivalence_interval: Interval | None
    size_uncertain: bool
    seeds_to_decide: int | None
    caveats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleSeed:
    """What a study of one run per condition would have shown, over all ways to pick runs.

    Fractions of picks in the claimed and in the opposite direction. picks: how many were
    counted; exact: all there are, else a seeded sample.
    """

    claimed: float
    opposite: float
    picks: int
    exact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One claim in one arm and one form (plain or published): verdict and all evidence.

    as_published: True for the one finding per claim that the published study would have read:
    its own computations, in its own arm (``matched`` where the study has it).
    deciding: True for the one finding per claim that enters the Holm family; the others
    are read at the same level beside it. p_holm: Holm-adjusted p of the claim (of a claim
    with two outcomes, from the larger p; of a secondary claim, outside the family, its own
    p); None where seeds are added by a declared rule, whose levels (alpha; 0 between looks) are
    not Holm's. single_seed: what a study of one run per condition would have shown.
    """

    hypothesis: str
    statement: str
    arm: str
    form: str
    deciding: bool
    as_published: bool
    verdict: Verdict
    sentence: str
    n: int
    alpha: float
    p_holm: float | None
    outcomes: tuple[OutcomeFinding, ...]
    evidence: tuple[Evidence, ...]
    single_seed: SingleSeed | None = None
    caveats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One measure's mean over seeds in one condition of one arm.

    strength: of the teachers, their mean where they differ; teacher_strengths: of each, in slot
    order. values: one per seed, in the order of ``blocks``; interval: 95 % t over seeds, None below
    3 seeds. Where seeds share teachers, mean and interval are those of the pools' means.
    """

    measure: str
    arm: str
    condition_id: int
    strength: float
    teacher_strengths: tuple[float, ...]
    blocks: tuple[int, ...]
    values: tuple[float, ...]
    mean: float
    interval: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FitPoint:
    """One replicate on a claim's figure, in the axes of its ``FitLine``.

    Of a within association measured on halves of the test images, each replicate gives two:
    predictor on half a with outcome on half b, and swapped.
    """

    block: int
    strength: float
    x: float
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FitLine:
    """The fitted line that a claim's figure draws, with its 95 % band.

    Points of equal length: predictor values x, fitted y, and the band's bounds; no
    band below 3 seeds. For a within association, x and y are deviations from seed and
    strength means. points: the replicates that the line is fitted to, in the same axes.
    """

    hypothesis: str
    arm: str
    form: str
    outcome: str
    predictor: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] | None
    high: tuple[float, ...] | None
    points: tuple[FitPoint, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mediation:
    """Whether augmentation acts on overfitting through attention diversity (M), in one arm.

    No verdict of its own: ``holds`` where H1 and H2b are both supported; None where the study
    does not test both or is descriptive. evidence: joint significance of both paths, the
    indirect, direct and total effects, the proportion and the sensitivity to confounding.
    """

    statement: str
    arm: str
    form: str
    deciding: bool
    holds: bool | None
    sentence: str
    n: int
    evidence: tuple[Evidence, ...]
    caveats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """One contrast of the conditions of a factorial study, of one outcome.

    name: ``t1`` to ``t3``, ``teachers``, ``mixed``, ``student``, or one of these ``_by_student``.
    teachers: size of the ensembles. conditions, weights: what is weighed, weights summing to 0.
    interaction: a difference of differences. sesoi: in ``unit``; None where no claim declares one.
    n: complete seed blocks, or the pools of teachers that they share. evidence: ``contrast_t``
    first, with its ``q_value`` over all contrasts; empty where no block is complete.
    """

    name: str
    teachers: int
    outcome: str
    unit: str
    interaction: bool
    conditions: tuple[int, ...]
    weights: tuple[float, ...]
    sesoi: float | None
    n: int
    evidence: tuple[Evidence, ...]
    caveats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillationEffect:
    """What distillation itself does to one outcome, in one arm: distilled minus control students.

    teacher_strength: of the students compared; None: the mean over all within each seed.
    differences: one per seed, in the order of ``blocks`` and in ``unit``; where seeds share
    teachers one per pool, the mean of its seeds, and ``blocks`` are pools. control, distilled:
    means over these seeds. d_z: mean over SD of the differences; hedges_g_av: over the average SD
    of both kinds of student, corrected for few seeds. evidence: Student's t over seeds, whose
    q_value is adjusted over all secondary tests, and the sign-flip test.
    """

    arm: str
    outcome: str
    unit: str
    teacher_strength: float | None
    blocks: tuple[int, ...] = ()
    differences: tuple[float, ...] = ()
    control: float | None = None
    distilled: float | None = None
    d_z: float | None = None
    hedges_g_av: float | None = None
    evidence: tuple[Evidence, ...] = ()
    caveats: tuple[str, ...] = ()


class Standing(StrEnum):
    """Whether a specification counts in a curve's summary, or is only shown beside."""

    COUNTED = "counted"
    PUBLISHED = "as published"  # computed as in the published study: mechanically moved
    COUPLED = "coupled"  # shares accuracy with the outcome by construction


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecificationOption:
    """One option of a choice, and what the counted specifications that take it say.

    specifications: how many those are. claimed, significant: their shares with the claimed sign,
    and with it at p < .05. median: of their standardized effects. None where there are none, or
    fewer than 3 seeds.
    """

    name: str
    title: str
    standing: Standing
    specifications: int
    claimed: float | None
    significant: float | None
    median: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecificationChoice:
    """One choice that an analyst has to make, with its options."""

    name: str
    title: str
    options: tuple[SpecificationOption, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Specification:
    """A claim's primary test with one option of every choice.

    options: names, in the order of the curve's choices. outcome, predictor: measures that the
    options are variants of. deciding: this is (for one outcome) the test that the verdict rests
    on. estimate, standard_error, interval (95 %): in ``unit``. standardized: estimate over
    sqrt(n) standard errors, which for a trend is mean over SD of the seeds' slopes; positive in the
    claimed direction, as its interval; None below 3 seeds. significant: p < .05. n: seeds.
    """

    options: tuple[str, ...]
    outcome: str
    predictor: str
    standing: Standing
    deciding: bool
    test: str
    estimate: float | None
    unit: str
    standard_error: float | None
    statistic: float | None
    df: float | None
    p_value: float | None
    significant: bool
    interval: Interval | None
    standardized: float | None
    standardized_interval: Interval | None
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JointTest:
    """Whether all counted specifications could look so together if there were nothing to find.

    test: ``joint_median``, of the standardized effects, two-sided; or ``joint_significant``, how
    many have the claimed sign at p < .05, equal counts told apart by the median. observed: on the
    seeds that every specification has, of which there are n. draws: sets of signs that the seeds
    were given, the observed one included; exact: all there are. smallest_p: least p that these
    can give.
    """

    test: str
    method: str
    observed: float
    p_value: float
    smallest_p: float
    draws: int
    exact: bool
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecificationCurve:
    """Every defensible way to test one claim, in the deciding arm. It changes no verdict.

    specifications: by standardized effect, ascending; those without one last. counted: how many
    enter the summary; claimed, opposite: shares of them with the claimed and the opposite sign;
    significant, significant_opposite: the same at p < .05; median: of their standardized
    effects. None below 3 seeds, or where nothing is counted. Source: Simonsohn, Simmons and
    Nelson (2020).
    """

    hypothesis: str
    arm: str
    choices: tuple[SpecificationChoice, ...]
    specifications: tuple[Specification, ...]
    counted: int
    claimed: float | None
    opposite: float | None
    significant: float | None
    significant_opposite: float | None
    median: float | None
    joint: tuple[JointTest, ...]
    caveats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingCount:
    """How many values of a measure are NULL, and why."""

    measure: str
    reason: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MutualInformation:
    """What the plan prints of mutual information, per condition.

    estimate: mean over seeds in bits, with its 95 % t interval; ceiling: log2 of the number of
    classes; entropies: of the ensemble's and the student's predicted labels, in bits; bias: mean
    estimated bias in bits that was subtracted.
    """

    arm: str
    condition_id: int
    strength: float
    teacher_strengths: tuple[float, ...]
    estimate: float
    interval: Interval | None
    ceiling: float
    teacher_entropy: float
    student_entropy: float
    estimator: str
    images: int
    classes: int
    bias: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicateCounts:
    """Seed blocks and models declared, present, failed and analyzed.

    teacher_pools: pools that teach the seeds analyzed; None where every seed has teachers of its
    own.
    """

    seeds_declared: int
    seeds_stored: int
    seeds_analyzed: int
    models_stored: int
    models_failed: int
    failed_rule: str
    failures: tuple[str, ...]
    excluded: tuple[str, ...]
    teacher_pools: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SequentialLook:
    """Where a study stands whose seeds are added by a declared rule.

    looks: numbers of seeds collected at which the data may be looked at; the last is the cap.
    seeds: collected. look: which look that is, from 1; None where it is none: nothing is read.
    next_look: number of seeds of the next one; None after the last. analyzed: seeds that can be
    analyzed at each look that is reached. family: primary claims that share the error rate.
    levels: two-sided p-levels of a primary claim at every look, those to come as if no block will
    fail. level: at this look; secondary_level: of a claim outside the family.
    """

    rule: Literal["group_sequential"]
    looks: tuple[int, ...]
    seeds: int
    look: int | None
    next_look: int | None
    analyzed: tuple[int, ...]
    family: int
    levels: tuple[float, ...]
    level: float | None
    secondary_level: float | None


class Departure(StrEnum):
    """In what a study departs from what was declared."""

    SEEDS = "seeds"
    LOOK = "look"  # the data were tested before, by no declared rule
    SESOI = "sesoi"
    ARM = "arm"  # another arm decided
    CLAIM = "claim"
    TOLD = "told"  # by the study file, in words


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """One thing that was done otherwise than declared, in words; ``meaning``: what it does.

    declared: empty where the study file tells it in ``done``. Found by comparing the study file,
    the store and earlier analyses of the study that the store remembers.
    """

    departure: Departure
    declared: str
    done: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibratedCase:
    """How often a test erred in simulated studies of one kind.

    truth: what the studies were like. seeds: of each; of a rule for adding seeds, at its last look.
    studies: how many. rejected, rejected_strict: share in which it found at level .05, and .0125,
    what was not there; covered: share in which its 95 % interval held the truth. None where it was
    not asked. reading: where a share is more than three Monte Carlo standard errors from nominal.
    """

    truth: str
    seeds: int
    studies: int
    rejected: float | None
    rejected_strict: float | None
    covered: float | None
    reading: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What simulation says of one test that reads claims of this study.

    test: its identifier; ``group_sequential`` of a rule for adding seeds over all its looks.
    decides: the claims whose deciding finding rests on it. least, most: of ``rejected``,
    ``rejected_strict`` and ``covered`` over ``cases``. kinds: of studies (``truth``) that they are;
    failing: of these, in how many it rejects too often or covers too seldom. No cases: the test was
    not simulated.
    """

    test: str
    decides: tuple[str, ...]
    cases: tuple[CalibratedCase, ...]
    kinds: int
    failing: int
    least_rejected: float | None
    most_rejected: float | None
    most_rejected_strict: float | None
    least_covered: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """A whole analysis: what ``results.json`` holds.

    kind: ``descriptive`` below 3 seeds, where no p-value exists. secondary: the trends of
    measures that no primary claim is about, without verdicts. sequential: None where the number
    of seeds is fixed. contrasts: of a factorial study, without verdicts. distillation: empty where
    the study has no control students. deviations: what was done otherwise than declared.
    calibration: error rates, by simulation, of the tests that read the claims, those that decide
    first.
    """

    format_version: Literal[1]
    study: str
    title: str
    study_hash: str
    kind: Literal["inferential", "descriptive"]
    alpha: float
    counts: ReplicateCounts
    findings: tuple[Finding, ...]
    series: tuple[Series, ...]
    fits: tuple[FitLine, ...]
    mutual_information: tuple[MutualInformation, ...]
    missing: tuple[MissingCount, ...]
    caveats: tuple[str, ...]
    mediation: tuple[Mediation, ...] = ()
    secondary: tuple[Evidence, ...] = ()
    sequential: SequentialLook | None = None
    multiverse: tuple[SpecificationCurve, ...] = ()
    contrasts: tuple[Contrast, ...] = ()
    distillation: tuple[DistillationEffect, ...] = ()
    deviations: tuple[Deviation, ...] = ()
    calibration: tuple[Calibration, ...] = ()
