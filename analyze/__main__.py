"""Commands: verdicts, the schema of results.json, tests of any table, what seeds can show."""

import argparse
import sys
from pathlib import Path

from store.importing import importing

with importing():
    from analyze.detectable import detectable, detectable_text
    from analyze.power_command import run_power
    from analyze.power_options import add_power_parser
    from analyze.serialize import load_results, results_schema
    from analyze.table_command import add_table_parser, run_table
    from analyze.verdicts import verdict_lines
    from store.errors import STOPPING, explained
    from store.study_file import load_design


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "schema":
            sys.stdout.write(results_schema())
        elif options.command == "table":
            run_table(options)
        elif options.command == "power":
            run_power(options)
        elif options.command == "plan":
            design = load_design(options.study)
            print(detectable_text(design, detectable(design)))
        else:
            print("\n".join(verdict_lines(load_results(options.results))))
    except BrokenPipeError:
        # the reader of our output, such as head, has enough; nothing is left to flush to it
        sys.stdout = None
    except STOPPING as error:
        print(f"error: {explained(error)}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m analyze", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    verdicts = commands.add_parser(
        "verdicts",
        help="print what an analysis says of every claim",
        epilog="example: python -m analyze verdicts results/digits/results.json",
    )
    verdicts.add_argument("results", type=Path, help="results.json of a study")
    commands.add_parser(
        "schema",
        help="print the JSON Schema of results.json",
        epilog="example: python -m analyze schema > docs/results.schema.json",
    )
    plan = commands.add_parser(
        "plan",
        help="print the smallest effects that a study's seeds can find",
        epilog="example: python -m analyze plan config/digits.yaml",
    )
    plan.add_argument("study", type=Path, help="the study file")
    add_table_parser(commands)
    add_power_parser(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
