"""Write docs/measures.md from the data dictionary: ``python -m analyze.metrics.dictionary``.

``--check`` writes nothing and fails when the file is not what would be written.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from store.errors import UserError
from store.measures import MEASURES, Engine, Measure

DEFAULT_FILE: Final = Path("docs") / "measures.md"

_OPENING: Final = """\
# Measures

<!-- Written by `python -m analyze.metrics.dictionary` from store/measures.py: change that file. -->

Every measure of a student, defined once: the columns of the views `measures` (all test images)
and `measures_by_half` (each half of them). The store's comments and the report's labels come
from the same definitions.

Notation: c_m is the predicted label and p_m the predicted probabilities of model m; T is a
teacher, E the ensemble of a student's teachers (the mean of their logits), S the student, y an
image's label, K the number of classes. Predictions are made in eval mode at the last epoch, and
on un-augmented images unless the definition says otherwise. Where the published study (Guo et
al. 2024) computed a measure in a way that can mislead, a second column whose name contains
`published` reproduces that computation, and the entry of the sound one says how they differ.

NULL means that there is no value, never 0. Measures of the engine `estimator` are in the table
`estimate` with the estimator used, the bias that was subtracted and, where there is no value,
the reason.
"""
_ENGINES: Final = {
    Engine.SQL: "a view of the store (SQL)",
    Engine.ESTIMATOR: "an estimator (`analyze.metrics`)",
}


class OutdatedError(UserError):
    """The written dictionary is not the one that the definitions give."""


def dictionary(measures: Sequence[Measure] = MEASURES) -> str:
    """Return the data dictionary as Markdown: an overview, then one entry per measure."""
    return "\n".join((_OPENING, *_overview(measures), *_entries(measures)))


def _overview(measures: Sequence[Measure]) -> Iterator[str]:
    yield "| measure | title | unit | range | engine |"
    yield "| --- | --- | --- | --- | --- |"
    for measure in measures:
        yield (
            f"| [{measure.name}](#{measure.name}) | {measure.title} | {measure.unit} "
            f"| {measure.range} | {measure.engine} |"
        )
    yield ""


def _entries(measures: Sequence[Measure]) -> Iterator[str]:
    for measure in measures:
        yield f"## {measure.name}\n"
        yield f"**{measure.title[:1].upper()}{measure.title[1:]}.** {measure.definition}\n"
        yield from (f"- {name}: {text}" for name, text in _facts(measure))
        yield ""


def _facts(measure: Measure) -> Iterator[tuple[str, str]]:
    yield "unit", measure.unit
    yield "range", measure.range
    yield "of", measure.subject
    yield "computed by", _ENGINES[measure.engine]
    yield "on each half of the test images", "yes" if measure.by_half else "no"
    if measure.source:
        yield "source", measure.source
    yield "NULL", measure.null
    if measure.published:
        yield "as published", f"[{measure.published}](#{measure.published})"
    if measure.differs:
        yield "difference", measure.differs


def write_dictionary(file: Path, *, check: bool) -> None:
    """Write the dictionary, or check that it stands there as it would be written.

    Raises OutdatedError when it is checked and differs.
    """
    expected = dictionary()
    if not check:
        file.write_text(expected, encoding="utf-8")
        return
    found = file.read_text(encoding="utf-8") if file.exists() else None
    if found != expected:
        raise OutdatedError(
            f"{file} is {'missing' if found is None else 'not what store/measures.py says'}; "
            "run python -m analyze.metrics.dictionary and commit it"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m analyze.metrics.dictionary",
        description="Write the data dictionary of all measures as Markdown.",
        epilog="example: python -m analyze.metrics.dictionary --check",
    )
    parser.add_argument("--check", action="store_true", help="fail if the file differs")
    parser.add_argument("--file", type=Path, default=DEFAULT_FILE, help=f"default: {DEFAULT_FILE}")
    chosen = parser.parse_args(arguments)
    try:
        write_dictionary(chosen.file, check=chosen.check)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
