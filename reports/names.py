"""Names in words: of verdicts, arms, measures, tests. No number is made here."""

import re
from dataclasses import dataclass
from typing import Final

from analyze.hypotheses import HYPOTHESES, STRENGTH
from analyze.results import (
    Evidence,
    Finding,
    Verdict,
)
from reports.numbers import (
    whole,
)
from store.conditions import LEVELS
from store.measures import BY_NAME
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
        "The interval of an equivalence test lies inside the band of effects too small to matter; "
        "of an association, the interval without its predictor’s noise.",
        "negligible",
    ),
    Verdict.UNDECIDED: VerdictWords(
        "Undecided",
        "Neither zero nor an effect that would matter is excluded.",
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
    "negligible_trend": "Negligible, of a slope per seed",
    "negligible_association": "Negligible, within on opposite halves",
    "group_sequential": "Rule for adding seeds, over all its looks",
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
    student, teachers = sized["student"], plural(int(sized["teachers"]), "teacher")
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


def verdict_meaning(finding: Finding) -> str:
    """Say what a verdict rests on; of a claim with several outcomes that differ, each one's."""
    verdicts = {outcome.verdict for outcome in finding.outcomes}
    if len(verdicts) < 2:
        return VERDICTS[finding.verdict].meaning
    each = "; ".join(
        f"{measure_title(outcome.outcome)}: {VERDICTS[outcome.verdict].word.lower()}"
        for outcome in finding.outcomes
    )
    return f"The claim needs all of its outcomes, and they differ. {capitalized(each)}."


def short_statement(finding: Finding) -> str:
    """Return the claim in a few words."""
    claim = HYPOTHESES.get(finding.hypothesis)
    return claim.short if claim else finding.statement


def in_words(count: int) -> str:
    """Write a count, in words up to twelve."""
    return _SMALL[count] if count < len(_SMALL) else whole(count)


def plural(count: int, one: str, many: str | None = None) -> str:
    """Write a count with its noun: ``one seed``, ``twelve seeds``."""
    return f"{in_words(count)} {one if count == 1 else many or one + 's'}"


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


def typeset(text: str) -> str:
    """Write apostrophes and minus signs as print does."""
    return _HYPHEN.sub("\N{MINUS SIGN}", text.replace("'", "’"))
