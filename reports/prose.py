"""Sentences: what a test said, what a claim expects, when data are looked at again.

No number is made here.
"""

from markupsafe import Markup

from analyze.hypotheses import HYPOTHESES, Direction
from analyze.results import (
    Contrast,
    Evidence,
    Finding,
    OutcomeFinding,
    Rank,
    SequentialLook,
    SingleSeed,
)
from reports.names import (
    arm_word,
    contrast_title,
    ensembles_label,
    form_label,
    measure_title,
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


def expectation(finding: Finding) -> str:
    """Say what the claim expects of the estimate."""
    claim = HYPOTHESES.get(finding.hypothesis)
    if claim is None:
        return ""
    if claim.direction is Direction.FALLS:
        return "The claim expects a negative slope."
    return "The claim expects a positive slope: both fall or rise together."


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


def single_seed_words(cite: Citations, check: SingleSeed, *, outcomes: int) -> Markup:
    """Say what a study of one run per condition was worth. outcomes: that the claim needs."""
    how = "all" if check.exact else "a seeded sample of"
    return Markup(
        "Had each condition been run once, {} of the possible studies would have shown the "
        "claimed direction and {} the opposite{} ({} {} ways to pick one seed per condition)."
    ).format(
        cite.share(check, "claimed"),
        cite.share(check, "opposite"),
        ", in the others the outcomes going different ways" if outcomes > 1 else "",
        how,
        cite.count(check, "picks"),
    )


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
    """Return how many decimals a test's estimate deserves: as its outcome's, by its interval."""
    if evidence.interval is not None and evidence.interval.level == 0.95:
        return interval_decimals(evidence.interval, evidence.estimate)
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
