"""Commands: several studies on one page."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from store.importing import importing

with importing():
    from analyze.compare import compare
    from analyze.comparison import comparison_to_json
    from reports.compare import make_comparison_page, render_comparison
    from reports.submissions import read_submissions
    from store.atomic import write_text
    from store.errors import STOPPING, explained


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        write_comparison(
            options.studies, study_files=options.study, out=options.out, json=options.json
        )
    except STOPPING as error:
        sys.stderr.write(f"error: {explained(error)}\n")
        return 2
    return 0


def write_comparison(
    named: Sequence[str], *, study_files: Sequence[Path], out: Path, json: Path | None
) -> None:
    """Write one self-contained HTML file that compares studies, and its numbers as JSON.

    Raises UserError where a file is missing or wrong.
    """
    submissions = read_submissions(named, study_files=study_files)
    comparison = compare(submissions)
    page = make_comparison_page(comparison, submissions)
    if json is not None:
        write_text(json, comparison_to_json(comparison))
    write_text(out, render_comparison(page))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m reports", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    comparing = commands.add_parser(
        "compare",
        help="write one page that compares several studies",
        description="Write one page that compares several studies: every verdict, and the "
        "estimates put together where they mean the same thing.",
        epilog="example: python -m reports compare results/digits results/cifar10-cut "
        "'another lab=elsewhere/digits' --out compare.html",
    )
    comparing.add_argument(
        "studies",
        nargs="+",
        metavar="[LABEL=]RESULTS",
        help="results.json of a study, or its folder",
    )
    comparing.add_argument("--out", type=Path, required=True, help="HTML file to write")
    comparing.add_argument("--json", type=Path, help="also write the comparison as JSON")
    comparing.add_argument(
        "--study",
        type=Path,
        action="append",
        default=[],
        help="study file of results that have no store beside them; may be repeated",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
