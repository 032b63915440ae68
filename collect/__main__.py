"""``python -m collect``: train one pack of a study's seed blocks."""

import argparse
import logging
import sys
from pathlib import Path

from store.errors import STOPPING, explained


def main() -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m collect",
        description="Train one pack of seed blocks and record what the models said and looked at.",
        epilog="example: python -m collect config/digits.yaml --pack 0 --results results/digits",
    )
    parser.add_argument("study", type=Path, help="the study file")
    parser.add_argument("--pack", type=int, required=True, help="which pack, from 0")
    parser.add_argument("--results", type=Path, required=True, help="folder of the study's results")
    parser.add_argument("--log", type=Path, help="file that the log goes to")
    arguments = parser.parse_args()
    if arguments.log:
        arguments.log.parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=arguments.log,
        filemode="a",
        level=logging.INFO if arguments.log else logging.WARNING,
        format="%(asctime)s %(message)s",
    )
    # torch takes seconds to import; --help and a wrong call should not wait for it
    from collect.job import collect_pack

    try:
        collect_pack(arguments.study, arguments.pack, arguments.results)
    except KeyboardInterrupt:
        print("interrupted; finished models are kept", file=sys.stderr)
        return 130
    except STOPPING as error:
        if arguments.log:
            logging.getLogger(__name__).error("error: %s", explained(error))  # noqa: TRY400
        print(f"error: {explained(error)}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
