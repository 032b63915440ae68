"""Words and numbers of a comparison: what is alike, and what studies say together."""

from collections.abc import Sequence

from markupsafe import Markup

from analyze.comparison import Alike, Likeness, Member
from analyze.hypotheses import STRENGTH
from analyze.inference.meta_analysis import MetaAnalysis
from analyze.results import Interval
from reports.names import ATTENTION_MAPS, arm_word, capitalized, in_words, measure_title
from reports.numbers import Citations, decimals_for, fixed, level_text, p_clause
from store.vocabulary import AttentionMethod


def likeness_words(likeness: Likeness) -> str:
    """Say what the studies of one forest plot share."""
    about = "" if likeness.predictor == STRENGTH else f"on {measure_title(likeness.predictor)}"
    teachers = (
        f"ensembles of {in_words(likeness.teachers)}" if likeness.teachers > 1 else "one teacher"
    )
    parts = (
        about,
        arm_word(likeness.arm) if likeness.arm else "",
        teachers,
        f"strength: {likeness.dose}" if likeness.dose else "",
        f"attention: {ATTENTION_MAPS[AttentionMethod(likeness.attention)]}"
        if likeness.attention
        else "",
    )
    return capitalized("; ".join(part for part in parts if part))


def member_numbers(cite: Citations, member: Member) -> Markup:
    """Write one study's estimate, interval, seeds and weight."""
    digits = decimals_for(member.standard_error, member.estimate)
    text = Markup("<b>{}</b> {} <small><i>n</i> = {}{}</small>")
    weight = Markup("")
    if member.weight is not None:
        weight = Markup("; weight {}").format(cite.share(member, "weight"))
    return text.format(
        cite.plain(member, "estimate", digits),
        cite.interval(member.interval, digits),
        cite.count(member, "n"),
        weight,
    )


def summary_numbers(cite: Citations, summary: MetaAnalysis) -> Markup:
    """Write the mean over studies with its interval, and the prediction interval."""
    digits = decimals_for(summary.standard_error, summary.estimate)
    text = Markup("<b>{}</b> {}").format(
        cite.plain(summary, "estimate", digits), cite.interval(summary.interval, digits)
    )
    if summary.prediction is not None:
        text += Markup(" <small>new study {}</small>").format(
            cite.interval(summary.prediction, digits)
        )
    return text


def summary_sentence(
    cite: Citations, hypothesis: str, alike: Alike, summary: MetaAnalysis
) -> Markup:
    """Write a meta-analysis as a journal would print it."""
    digits = decimals_for(summary.standard_error, summary.estimate)
    start = Markup(
        "{}, random-effects mean of {} studies: slope of {} on {} = {} {}, {} CI {} (REML; "
        "Hartung, Knapp, Sidik and Jonkman, <i>t</i> with {} df, variance no smaller than the "
        "ordinary one)"
    ).format(
        hypothesis,
        cite.count(summary, "studies"),
        measure_title(alike.likeness.outcome),
        measure_title(alike.likeness.predictor),
        cite.plain(summary, "estimate", digits),
        alike.likeness.unit,
        level_text(summary.interval.level),
        cite.interval(summary.interval, digits),
        cite.count(summary, "df"),
    )
    return start + Markup("; {}.").format(_heterogeneity(cite, summary, digits))


def _heterogeneity(cite: Citations, summary: MetaAnalysis, digits: int) -> Markup:
    bounds = summary.tau2_interval
    parts = [
        Markup("between studies τ<sup>2</sup> = {} [{}, {}]").format(
            cite.plain(summary, "tau2", _variance_decimals(summary.tau2)),
            cite.plain(bounds, "low", _variance_decimals(bounds.low)),
            cite.plain(bounds, "high", _variance_decimals(bounds.high)),
        ),
        Markup("<i>I</i><sup>2</sup> = {}").format(cite.share(summary, "i2")),
        Markup("<i>Q</i>({}) = {}, {}").format(
            cite.count(summary, "q_df"),
            cite.plain(summary, "q", 2),
            p_clause(cite.p(summary, "q_p")),
        ),
    ]
    if summary.prediction is not None:
        parts.append(
            Markup("{} prediction interval of a new study’s own value {}").format(
                level_text(summary.prediction.level), cite.interval(summary.prediction, digits)
            )
        )
    return Markup(", ").join(parts)


def _variance_decimals(variance: float) -> int:
    """Return three significant digits; an exact 0 is written as that."""
    return decimals_for(None, variance) if variance else 0


def spoken_member(labels: Sequence[str], member: Member) -> str:
    """Say one study's line for those who do not see the drawing."""
    digits = decimals_for(member.standard_error, member.estimate)
    return f"{labels[member.study]}: {_spoken(member.estimate, member.interval, digits)}"


def spoken_summary(summary: MetaAnalysis) -> str:
    """Say the summary's line for those who do not see the drawing."""
    digits = decimals_for(summary.standard_error, summary.estimate)
    text = f"Mean over {summary.studies} studies: "
    text += _spoken(summary.estimate, summary.interval, digits)
    if summary.prediction is not None:
        low, high = (
            fixed(bound, digits) for bound in (summary.prediction.low, summary.prediction.high)
        )
        text += f"; a new study’s own value is predicted from {low} to {high}"
    return text


def _spoken(estimate: float, interval: Interval | None, digits: int) -> str:
    text = f"estimate {fixed(estimate, digits)}"
    if interval is None:
        return text
    low, high = fixed(interval.low, digits), fixed(interval.high, digits)
    return f"{text}, 95 % interval {low} to {high}"
