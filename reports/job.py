"""Write a study's report: ``python -m reports.job STUDY.yaml --store ... --results ... --out``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from store.importing import importing

with importing():
    from analyze.serialize import load_results
    from reports.markdown import render_markdown
    from reports.page import make_page, render
    from store.atomic import write_text
    from store.database import open_reader
    from store.errors import STOPPING, explained
    from store.study_file import load_design


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page whole or not at all; return the exit status."""
    chosen = _parser().parse_args(arguments)
    try:
        write_report(chosen.study, store=chosen.store, results=chosen.results, out=chosen.out)
    except STOPPING as error:
        sys.stderr.write(f"error: {explained(error)}\n")
        return 2
    return 0


def write_report(study: Path, *, store: Path, results: Path, out: Path) -> None:
    """Write one self-contained HTML file from a study's results and store, and its text beside it.

    The text, in Markdown, has the same name with the ending .md. Raises UserError where the study
    file, the results or the store is missing or wrong.
    """
    design = load_design(study)
    found = load_results(results)
    with open_reader(store) as reader:
        page = make_page(found, design, reader, study)
    # both texts before either file: no new one stands beside an old one
    html, text = render(page), render_markdown(page)
    write_text(out.with_suffix(".md"), text)
    write_text(out, html)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m reports.job",
        description="Write a study's report as one HTML file that needs no network, and its text "
        "as Markdown beside it.",
        epilog="example: python -m reports.job config/digits.yaml --store "
        "results/digits/store.duckdb --results results/digits/results.json --out "
        "results/digits/report.html",
    )
    parser.add_argument("study", type=Path, help="study file")
    parser.add_argument("--store", type=Path, required=True, help="the study's store.duckdb")
    parser.add_argument("--results", type=Path, required=True, help="the study's results.json")
    parser.add_argument("--out", type=Path, required=True, help="HTML file to write")
    return parser


if __name__ == "__main__":
    sys.exit(main())
