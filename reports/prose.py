"""Words: verdicts, what was trained, what a test said. No number is made here."""

import re
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from analyze.hypotheses import HYPOTHESES, STRENGTH, Direction
from analyze.results import (
    Contrast,
    Evidence,
    Finding,
    OutcomeFinding,
    Rank,
    SequentialLook,
    SingleSeed,
    Verdict,
)
from reports.numbers import (
    Citations,
    decimals_for,
    fixed,
    interval_decimals,
    level_text,
    look_level_text,
    p_clause,
    whole,
)
from store.conditions import LEVELS, ConditionList, DoseResponse, Factorial
from store.design import Design
from store.images import DigitsData, ForeignData, PublishedData
from store.measures import BY_NAME
from store.networks import Networks
from store.sections import Foreign
from store.vocabulary import Arm, AttentionMethod, Form


@dataclass(frozen=True, slots=True)
class VerdictWords:
    """How a verdict reads: a word, what it means, and the name of its glyph."""

    word: str
    meaning: str
    glyph: str


VERDICTS: Final = {
    Verdict.SUPPORTED: VerdictWords(
        "Supported",
        "The interval that decides lies wholly on the claimed side of zero.",
        "supported",
    ),
    Verdict.CONTRADICTED: VerdictWords(
        "Contradicted",
        "The interval that decides lies wholly on the opposite side of zero.",
        "contradicted",
    ),
    Verdict.NEGLIGIBLE: VerdictWords(
        "Negligible",
        "The interval that decides lies inside the band of effects too small to matter.",
        "negligible",
    ),
    Verdict.UNDECIDED: VerdictWords(
        "Undecided",
        "The interval that decides excludes neither zero nor an effect that would matter.",
        "undecided",
    ),
    Verdict.DESCRIPTIVE: VerdictWords(
        "Described only", "Fewer than three seeds: no test is made.", "descriptive"
    ),
    Verdict.NO_DATA: VerdictWords("No data", "There is nothing to compute it from.", "no-data"),
}

ARMS: Final = {
    Arm.FIXED: "student’s own augmentation fixed",
    Arm.MATCHED: "student’s augmentation matched to its teachers’",
    Arm.CONTROL: "student without teachers, which learns from the labels alone",
}
_SMALL: Final = (
    "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve",
)  # fmt: skip
TESTS: Final = {
    "per_seed_slope_t": "Slope per seed, t",
    "mixed_model_slope": "Mixed model",
    "page_trend": "Page’s trend test",
    "sign_flip": "Sign-flip permutation",
    "wilcoxon_hodges_lehmann": "Signed ranks, Hodges–Lehmann",
    "polynomial_linear": "Linear contrast",
    "polynomial_quadratic": "Quadratic contrast",
    "polynomial_cubic": "Cubic contrast",
    "split_half_within_cr2": "Within, on opposite halves of the images",
    "two_way_within_cr2": "Within, on the same images",
    "split_half_reliability": "Split-half reliability",
    "two_way_within_ols": "Within, ordinary t",
    "wild_cluster_bootstrap": "Wild cluster bootstrap",
    "correlation_pooled": "Pooled",
    "correlation_between_condition": "Between strengths",
    "correlation_between_seed": "Between seeds",
    "correlation_within_seed": "Within seeds",
    "correlation_two_way_within": "Within seeds and strengths",
    "mundlak_within": "Mundlak: within",
    "mundlak_between_seed": "Mundlak: between seeds",
    "mundlak_between_strength": "Mundlak: between strengths",
    "mundlak_context": "Mundlak: between less within",
    "friedman": "Friedman’s test",
    "welch_anova": "Welch’s analysis of variance",
    "diagnostic_seed_trends": "Diagnostic: slopes that differ between seeds",
    "diagnostic_boundary_fit": "Diagnostic: boundary fit",
    "diagnostic_residual_normality": "Diagnostic: normal residuals",
    "diagnostic_residual_spread": "Diagnostic: equal spread of residuals",
    "seed_image_bootstrap": "Seeds and test images resampled",
    "contrast_t": "Contrast, t",
    "contrast_sign_flip": "Sign-flip permutation of contrasts",
    "contrast_wilcoxon": "Signed ranks of contrasts, Hodges–Lehmann",
    "contrast_tost": "Equivalence of a contrast (TOST)",
    "contrast_d_z": "Cohen’s d_z of a contrast",
    "contrast_hedges_g_av": "Hedges’ g_av of a contrast",
    "diagnostic_slope_normality": "Diagnostic: normal slopes",
    "diagnostic_curvature": "Diagnostic: curvature",
    "diagnostic_leave_one_seed_out": "Diagnostic: one seed left out",
    "diagnostic_brown_forsythe": "Diagnostic: equal spread (Brown–Forsythe)",
    "diagnostic_sphericity": "Diagnostic: sphericity",
    "mediation_joint": "Both paths jointly",
    "mediation_a": "Path a, strength to attention",
    "mediation_b": "Path b, attention to overfitting",
    "mediation_acme": "Indirect effect (ACME)",
    "mediation_ade": "Direct effect (ADE)",
    "mediation_total": "Total effect",
    "mediation_proportion": "Proportion mediated",
    "mediation_rho": "Confounding that would undo it (rho)",
}
_OF_STRENGTHS: Final = {
    "paired_t": "Paired t",
    "tost": "Equivalence (TOST)",
    "hedges_g_av": "Hedges’ g_av",
    "d_z": "Cohen’s d_z",
    "games_howell": "Games–Howell",
    "sign_flip": "Sign-flip permutation",
}
"""Tests that are made of one strength, or of one against another, which ends their name."""
_AT_STRENGTHS: Final = re.compile(
    rf"({'|'.join(_OF_STRENGTHS)})_(?:(teachers_at)_)?([\d.]+)(?:_against_([\d.]+))?"
)
_BAYES_FACTOR: Final = re.compile(r"jzs_bayes_factor_r([\d.]+)")
ATTENTION_MAPS: Final = {
    AttentionMethod.CAM_LABEL: "the class activation map of the image’s label",
    AttentionMethod.CAM_PREDICTED: "the class activation map of the predicted class",
    AttentionMethod.CAM_SUM: "the class activation map summed over all classes",
    AttentionMethod.GRADCAM: "Grad-CAM of the predicted class",
    AttentionMethod.ROLLOUT: "what the class token attends to through all layers (rollout)",
    AttentionMethod.CLASS_TOKEN: "what the class token attends to in the last layer",
}
FAILED_RULES: Final = {
    "exclude_block": "a block with a failed network is left out whole",
    "exclude_student": "a student that failed, or whose teacher failed, is left out",
}
_SIZED_ARM: Final = re.compile(r"(?P<student>weak|strong|[0-9.e+-]+)_of_(?P<teachers>[0-9])")
FORMS: Final = {Form.PLAIN: "sound measures", Form.PUBLISHED: "measures as published"}


def arm_label(arm: str) -> str:
    """Name an arm in words."""
    if arm in set(Arm):
        return ARMS[Arm(arm)]
    if _SIZED_ARM.fullmatch(arm):
        return f"only their teachers’ augmentation differs ({arm} in the store)"
    return "conditions as the study file lists them"


def arm_word(arm: str) -> str:
    """Name an arm in short."""
    sized = _SIZED_ARM.fullmatch(arm)
    if sized is None:
        return f"{arm} arm" if arm else "all students"
    student, teachers = sized["student"], _plural(int(sized["teachers"]), "teacher")
    if student in LEVELS:
        return f"{student} students of {teachers}"
    return f"students at {student} of {teachers}"


def students_of(arm: str) -> str:
    """Name an arm's students, to begin a title with."""
    return capitalized(arm_word(arm)) if _SIZED_ARM.fullmatch(arm) else f"Students, {arm_word(arm)}"


def ensembles_label(size: int) -> str:
    """Name the ensembles of one size."""
    return "single teachers" if size == 1 else f"ensembles of {in_words(size)}"


def form_label(form: str) -> str:
    """Name a form of measurement in words."""
    return FORMS[Form(form)] if form in set(Form) else form


def measure_title(name: str) -> str:
    """Name a measure, or the predictor strength, as a reader would."""
    if name == STRENGTH:
        return "teachers’ augmentation strength"
    title = BY_NAME[name].title if name in BY_NAME else name.replace("_", " ")
    return title.replace("'", "’")


_HYPHEN: Final = re.compile(r"(?<![\w.-])-(?=\d)")
_VALUES: Final = {
    "bayes_factor_10": "Bayes factor BF₁₀",
    "d_z": "d_z",
    "hedges_g_av": "Hedges’ g_av",
    "kendall_w": "Kendall’s W",
    "partial_eta_squared": "partial η²",
}


def value_title(evidence: Evidence) -> str:
    """Name what a test's estimate is: ``slope``, ``Hedges’ g_av``."""
    return _VALUES.get(evidence.value_name, evidence.value_name.replace("_", " "))


def test_name(test: str) -> str:
    """Name a test in a few words."""
    if scale := _BAYES_FACTOR.fullmatch(test):
        return f"JZS Bayes factor, scale {scale[1]}"
    found = _AT_STRENGTHS.fullmatch(test)
    if found is None:
        return TESTS.get(test, capitalized(test.replace("_", " ")))
    name, teachers, strength, other = found.groups()
    where = "teachers at " if teachers else ""
    against = "" if other is None else f" against {float(other):.3g}"
    return f"{_OF_STRENGTHS[name]}, {where}{float(strength):.3g}{against}"


def capitalized(text: str) -> str:
    """Return the text with its first letter as a capital."""
    return text[:1].upper() + text[1:]


def axis_title(name: str) -> str:
    """Name a measure with its unit, for an axis."""
    unit = BY_NAME[name].unit if name in BY_NAME else ""
    return measure_title(name) + (f" ({unit})" if unit not in {"", "index"} else "")


def verdict_word(finding: Finding) -> str:
    """Name a finding's verdict, with its reservation."""
    word = VERDICTS[finding.verdict].word
    judged = finding.verdict in {Verdict.SUPPORTED, Verdict.CONTRADICTED}
    if judged and any(outcome.size_uncertain for outcome in finding.outcomes):
        return f"{word}, size uncertain"
    return word


def short_statement(finding: Finding) -> str:
    """Return the claim in a few words."""
    claim = HYPOTHESES.get(finding.hypothesis)
    return claim.short if claim else finding.statement


def expectation(finding: Finding) -> str:
    """Say what the claim expects of the estimate."""
    claim = HYPOTHESES.get(finding.hypothesis)
    if claim is None:
        return ""
    if claim.direction is Direction.FALLS:
        return "The claim expects a negative slope."
    return "The claim expects a positive slope: both fall or rise together."


def study_sentence(design: Design) -> str:
    """Say in one sentence what was trained, how many times, and on what."""
    cells = design.design
    if design.foreign is not None:
        return _foreign_sentence(design, design.foreign)
    networks = design.own_training.networks
    if not isinstance(cells, DoseResponse):
        return _conditions_sentence(design, cells, networks)
    teacher, student = networks.teacher.title, networks.student.title
    kind = "of the same kind" if teacher == student else f"({student})"
    levels = _plural(len(cells.strengths), "augmentation strength")
    number = sum(bool(student.teachers) for student in design.plan().students)
    students = _plural(number, "student")
    was, were = ("was" if count == 1 else "were" for count in (cells.teachers, number))
    augmented = f"augmented {_arms(cells.arms, cells.fixed_strength)}{_controls(design)}"
    taught = f"{_plural(cells.teachers, 'teacher')} ({teacher}) {was} trained"
    if design.shared_teachers is not None:
        return (
            f"For each of {_plural(design.shared_teachers.pools, 'pool')}, {taught} at each of "
            f"{levels} on {_data(design)}; in each of {_plural(design.seeds, 'seed')}, {students} "
            f"{kind} {were} distilled from the teachers of one pool, {augmented}."
        )
    return (
        f"In each of {_plural(design.seeds, 'seed')}, {taught} afresh at each of {levels} on "
        f"{_data(design)}, and {students} {kind} {were} distilled from them, {augmented}."
    )


def _conditions_sentence(
    design: Design, cells: Factorial | ConditionList, networks: Networks
) -> str:
    """Say what was trained where teachers of one ensemble may differ in their augmentation."""
    teacher, student = networks.teacher.title, networks.student.title
    plan = design.plan()
    start = (
        f"In each of {_plural(design.seeds, 'seed')}, "
        f"{_plural(len(plan.teachers), 'teacher')} ({teacher}) were trained afresh on "
        f"{_data(design)}"
    )
    kind = "of the same kind" if teacher == student else f"({student})"
    students = f"{_plural(len(plan.students), 'student')} {kind}"
    if isinstance(cells, ConditionList):
        return (
            f"{start}, and {students} were distilled from ensembles of them, one for each "
            "condition that the study lists."
        )
    sizes = [in_words(size) for size in cells.teachers]
    joined = " and ".join([", ".join(sizes[:-1]), sizes[-1]]) if len(sizes) > 1 else sizes[0]
    one = "teacher" if cells.teachers == (1,) else "teachers"
    return (
        f"{start}, each slot of the ensemble once weakly augmented (strength {cells.weak:g}) and "
        f"once strongly ({cells.strong:g}), and {students} were distilled from them: one for every "
        f"way to make {joined} {one} and the student weak or strong."
    )


def _controls(design: Design) -> str:
    """Say how many students had no teachers, where there are such."""
    number = sum(not student.teachers for student in design.plan().students)
    return f"; {in_words(number)} more learned from the labels alone" if number else ""


def _foreign_sentence(design: Design, foreign: Foreign) -> str:
    """Say what another software trained, in the words of the study file."""
    cells = design.design
    if not isinstance(cells, DoseResponse):
        plan = design.plan()
        return (
            f"In each of {_plural(design.seeds, 'seed')}, "
            f"{_plural(len(plan.teachers), 'teacher')} ({foreign.teacher}) were trained afresh by "
            f"{foreign.trainer} at strengths of {foreign.strength} on {_data(design)}, and "
            f"{_plural(len(plan.students), 'student')} ({foreign.student}) were distilled from "
            "ensembles of them."
        )
    teachers = _plural(cells.teachers, "teacher")
    number = sum(bool(student.teachers) for student in design.plan().students)
    students = _plural(number, "student")
    was, were = ("was" if n == 1 else "were" for n in (cells.teachers, number))
    return (
        f"In each of {_plural(design.seeds, 'seed')}, {teachers} ({foreign.teacher}) {was} trained "
        f"afresh by {foreign.trainer} at each of {_plural(len(cells.strengths), 'strength')} "
        f"({foreign.strength}) on {_data(design)}, and {students} ({foreign.student}) {were} "
        f"distilled from them, {_arms(cells.arms, cells.fixed_strength)}{_controls(design)}."
    )


def adding_seeds_words(cite: Citations, look: SequentialLook | None) -> Markup:
    """Say by which rule seeds may be added, and at which look the study is."""
    if look is None:
        return Markup("Adding seeds: no rule is declared, so their number is fixed.")
    looks = Markup(", ").join(
        cite.number(look, "looks", whole(count), index) for index, count in enumerate(look.looks)
    )
    rule = Markup(
        "Adding seeds: by group-sequential looks at {} seeds, with Lan-DeMets spending of "
        "O’Brien-Fleming type, shared equally over {} primary claims. "
    ).format(looks, cite.count(look, "family"))
    if look.look is None:
        stands = Markup("{} seeds are none of these looks: nothing is read. ").format(
            cite.count(look, "seeds")
        )
    else:
        levels = Markup(", ").join(
            cite.number(look, "levels", look_level_text(level), index)
            for index, level in enumerate(look.levels)
        )
        stands = Markup("This is look {}; the looks’ levels are {}. ").format(
            cite.count(look, "look"), levels
        )
    return rule + stands + next_look_words(cite, look)


def next_look_words(cite: Citations, look: SequentialLook) -> Markup:
    """Say at which number of seeds the next look is."""
    if look.next_look is None:
        return Markup("No look follows.")
    return Markup("The next look is at {} seeds.").format(cite.count(look, "next_look"))


def _arms(arms: tuple[Arm, ...], fixed_strength: float) -> str:
    words = {
        Arm.FIXED: f"always at strength {fixed_strength:g}",
        Arm.MATCHED: "as strongly as their teachers",
    }
    return " or ".join(words[arm] for arm in arms)


def _data(design: Design) -> str:
    dataset = design.dataset
    subset = dataset.train_subset
    images = "all training images" if subset is None else f"{whole(subset.size)} images"
    if isinstance(dataset, ForeignData):
        return f"{images} ({dataset.description})"
    tail = "" if dataset.imbalance is None else f", long-tailed (imbalance {dataset.imbalance:g})"
    if isinstance(dataset, DigitsData):
        return f"{'all' if subset is None else whole(subset.size)} handwritten digits{tail}"
    if isinstance(dataset, PublishedData):
        return f"{images} of {dataset.published.title}{tail}"
    return f"{images} of {_plural(dataset.classes, 'class', 'classes')}{tail}"


def in_words(count: int) -> str:
    """Write a count, in words up to twelve."""
    return _SMALL[count] if count < len(_SMALL) else whole(count)


def _plural(count: int, one: str, many: str | None = None) -> str:
    return f"{in_words(count)} {one if count == 1 else many or one + 's'}"


def single_seed_words(cite: Citations, check: SingleSeed) -> Markup:
    """Say what a study of one run per condition was worth."""
    how = "all" if check.exact else "a seeded sample of"
    return Markup(
        "Had each condition been run once, {} of the possible studies would have shown the "
        "claimed direction and {} the opposite ({} {} ways to pick one seed per condition)."
    ).format(cite.share(check, "claimed"), cite.share(check, "opposite"), how,
             cite.count(check, "picks"))  # fmt: skip


def primary_evidence(finding: Finding, outcome: OutcomeFinding) -> Evidence | None:
    """Return the test that decides an outcome."""
    for evidence in finding.evidence:
        if evidence.rank is Rank.PRIMARY and evidence.outcome == outcome.outcome:
            return evidence
    return None


def replicate_word(finding: Finding, *, shared: bool) -> str:
    """Name what a finding counts. shared: whether seeds share teachers.

    Of teachers alone it then counts their pools.
    """
    claim = HYPOTHESES.get(finding.hypothesis)
    return "teacher pool" if shared and claim and not claim.needs_students else "seed"


def reporting_sentence(
    cite: Citations, finding: Finding, outcome: OutcomeFinding, *, shared: bool = False
) -> Markup:
    """Write one outcome's primary test as a journal would print it."""
    evidence = primary_evidence(finding, outcome)
    start = Markup("{}, {}, {}: ").format(
        finding.hypothesis, arm_word(finding.arm), form_label(finding.form)
    )
    if evidence is None or evidence.estimate is None:
        return start + "no estimate could be made."
    digits = evidence_decimals(evidence)
    parts = [
        Markup("{} of {} on {} = {} {}").format(
            evidence.value_name.replace("_", " "),
            measure_title(evidence.outcome),
            measure_title(evidence.predictor),
            cite.plain(evidence, "estimate", digits),
            evidence.unit,
        )
    ]
    if evidence.standard_error is not None:
        parts.append(Markup("SE = {}").format(cite.plain(evidence, "standard_error", digits)))
    if evidence.interval is not None:
        level = level_text(evidence.interval.level)
        parts.append(Markup("{} CI {}").format(level, cite.interval(evidence.interval, digits)))
    if evidence.statistic is not None:
        parts.append(_statistic(cite, evidence))
    if evidence.p_value is not None:
        parts.append(p_clause(cite.p(evidence)))
    if finding.p_holm is not None and is_primary(finding):
        parts.append(Markup("Holm-adjusted {}").format(p_clause(cite.p(finding, "p_holm"))))
    counted = replicate_word(finding, shared=shared)
    parts.append(Markup("<i>N</i> = {} {}s").format(cite.count(evidence, "n"), counted))
    return start + Markup(", ").join(parts) + "."


def is_primary(finding: Finding) -> bool:
    """Whether a finding is in the family whose levels Holm's method sets."""
    claim = HYPOTHESES.get(finding.hypothesis)
    return finding.deciding and (claim is None or claim.primary)


def _statistic(cite: Citations, evidence: Evidence) -> Markup:
    name = evidence.statistic_name or "statistic"
    statistic = cite.plain(evidence, "statistic", 2)
    if evidence.df is None:
        return Markup("<i>{}</i> = {}").format(name, statistic)
    df = cite.plain(evidence, "df", df_decimals(evidence.df))
    return Markup("<i>{}</i>({}) = {}").format(name, df, statistic)


def df_decimals(df: float) -> int:
    """Return 0 decimals for whole degrees of freedom, else 1."""
    return 0 if df == int(df) else 1


def evidence_decimals(evidence: Evidence) -> int:
    """Return how many decimals a test's estimate deserves."""
    if evidence.standard_error:
        return decimals_for(evidence.standard_error, evidence.estimate)
    return interval_decimals(evidence.interval, evidence.estimate)


def outcome_decimals(outcome: OutcomeFinding) -> int:
    """Return how many decimals an outcome's estimate deserves."""
    return interval_decimals(outcome.interval_95, outcome.estimate)


def spoken_interval(outcome: OutcomeFinding) -> str:
    """Say an outcome's estimate, interval and SESOI for those who do not see the drawing."""
    if outcome.estimate is None:
        return f"{measure_title(outcome.outcome)}: no estimate"
    digits = outcome_decimals(outcome)
    text = f"{measure_title(outcome.outcome)}: estimate {fixed(outcome.estimate, digits)}"
    if outcome.interval_95 is not None:
        low, high = outcome.interval_95.low, outcome.interval_95.high
        text += f", 95 % interval {fixed(low, digits)} to {fixed(high, digits)}"
    return text + f"; effects within ±{outcome.sesoi:g} are too small to matter"


def contrast_title(name: str) -> str:
    """Name a factorial contrast."""
    effect, crossed, _ = name.partition("_by_student")
    titles = {
        "teachers": "All teachers" if crossed else "All teachers strong against all weak",
        "mixed": "Mixture" if crossed else "Mixed against equal ensembles",
        "student": "Student strong against weak",
    }
    slot = effect.upper() if crossed else f"{effect.upper()} strong against weak"
    return f"{titles.get(effect, slot)} × student" if crossed else titles.get(effect, slot)


def spoken_contrast(contrast: Contrast) -> str:
    """Say a contrast's estimate, interval and SESOI for those who do not see the drawing."""
    found = contrast.evidence[0]
    if found.estimate is None:
        return f"{contrast_title(contrast.name)}: no estimate"
    digits = evidence_decimals(found)
    text = f"{contrast_title(contrast.name)}: {fixed(found.estimate, digits)}"
    if found.interval is not None:
        low, high = (fixed(bound, digits) for bound in (found.interval.low, found.interval.high))
        text += f", 95 % interval {low} to {high}"
    if contrast.sesoi is not None:
        text += f"; differences within ±{contrast.sesoi:.3g} are too small to matter"
    return text


def contrast_sentence(cite: Citations, contrast: Contrast) -> Markup:
    """Write one contrast's t test as a journal would print it."""
    found = contrast.evidence[0]
    start = Markup("{}, {}, {}: ").format(
        contrast_title(contrast.name), ensembles_label(contrast.teachers),
        measure_title(contrast.outcome),
    )  # fmt: skip
    if found.estimate is None:
        return start + "no estimate could be made."
    digits = evidence_decimals(found)
    parts = [
        Markup("difference{} = {} {}").format(
            " of differences" if contrast.interaction else "",
            cite.plain(found, "estimate", digits),
            found.unit,
        )
    ]
    if found.interval is not None:
        parts.append(Markup("95 % CI {}").format(cite.interval(found.interval, digits)))
    if found.statistic is not None:
        parts.append(_statistic(cite, found))
    if found.p_value is not None:
        parts.append(p_clause(cite.p(found)))
    if found.q_value is not None:
        q = cite.p(found, "q_value")
        joint = "" if str(q).startswith(("<", ">")) else "= "
        parts.append(Markup("<i>q</i> {}{}").format(joint, q))
    parts.append(Markup("<i>N</i> = {} seeds").format(cite.count(found, "n")))
    return start + Markup(", ").join(parts) + "."


def typeset(text: str) -> str:
    """Write apostrophes and minus signs as print does."""
    return _HYPHEN.sub("\N{MINUS SIGN}", text.replace("'", "’"))
