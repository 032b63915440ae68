"""The words of the page that its readers may not know, with what they mean."""

from typing import Final

from analyze.results import Results
from reports.names import VERDICTS, capitalized, measure_title
from store.measures import BY_NAME

_TERMS: Final = (
    (
        "Sound measures, measures as published",
        "Sound: computed on clean test images and corrected for chance or bias; these decide. As "
        "published: computed on the networks of this study as the published study did it; not that "
        "study's own results.",
    ),
    (
        "Fixed arm, matched arm",
        "Students augmented always alike, whatever their teachers saw; students augmented as "
        "strongly as their teachers, as in the published study.",
    ),
    (
        "Per unit of strength",
        "Between strength 0 and strength 1.",
    ),
    (
        "Within association",
        "Of what is left when the means of each seed and of each strength are taken away, so that "
        "neither can be the common cause.",
    ),
    (
        "Coupled",
        "Two measures that share a part by construction, such as accuracy: they move together "
        "whatever is true, and decide nothing.",
    ),
)


def glossary(results: Results) -> tuple[tuple[str, str], ...]:
    """Return terms with their meanings: verdicts, arms and forms, and the claims' measures."""
    named = dict.fromkeys(
        name
        for finding in results.findings
        for outcome in finding.outcomes
        for name in (outcome.outcome, outcome.predictor)
        if name in BY_NAME
    )
    verdicts = [(words.word, words.meaning) for words in VERDICTS.values()]
    verdicts.append(
        (
            "A claim with two outcomes",
            "Needs both: where their verdicts differ it is undecided, however sure each is.",
        )
    )
    measures = [
        (capitalized(measure_title(name)), f"{BY_NAME[name].definition} ({BY_NAME[name].unit})")
        for name in named
    ]
    return (*verdicts, ("Interval that decides", _width(results)), *_TERMS, *measures)


def _width(results: Results) -> str:
    if results.sequential:
        return "As wide as the declared rule for adding seeds asks at this look."
    return (
        "As wide as the level asks that is left to a claim where several are tested: by Holm's "
        f"method {results.alpha:g} over the number of primary claims not yet decided."
    )
