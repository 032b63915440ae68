"""``python -m collect``: train one pack of a study's seed blocks; its images, got or made up."""

import argparse
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from store.errors import STOPPING, explained


def main() -> int:
    """Run the command line; return the exit status."""
    words = sys.argv[1:]
    commands = {"stand-in": _stand_in, "download": _download}
    if words and words[0] in commands:
        return commands[words[0]](words[1:])
    return _collect(words)


def _collect(words: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m collect",
        description="Train one pack of seed blocks and record what the models said and looked at. "
        "Other commands: python -m collect download, python -m collect stand-in.",
        epilog="example: python -m collect config/digits.yaml --pack 0 --results results/digits",
    )
    parser.add_argument("study", type=Path, help="the study file")
    parser.add_argument("--pack", type=int, required=True, help="which pack, from 0")
    parser.add_argument("--results", type=Path, required=True, help="folder of the study's results")
    parser.add_argument("--log", type=Path, help="file that the log goes to")
    arguments = parser.parse_args(words)
    if arguments.log:
        arguments.log.parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=arguments.log,
        filemode="a",
        level=logging.INFO if arguments.log else logging.WARNING,
        format="%(asctime)s %(message)s",
    )

    def work() -> None:
        # torch takes seconds to import; --help and a wrong call should not wait for it
        from collect.job import collect_pack

        collect_pack(arguments.study, arguments.pack, arguments.results)

    return _done(work, log=arguments.log is not None)


def _stand_in(words: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m collect stand-in",
        description="Make a few images of no real thing in the layout of a study's data set, to "
        "try the study out where its images are not.",
        epilog="example: python -m collect stand-in config/cifar10-small.yaml --out made-up",
    )
    parser.add_argument("study", type=Path, help="the study file; its sizes say how many images")
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    arguments = parser.parse_args(words)

    def work() -> None:
        from collect.job import make_stand_in

        make_stand_in(arguments.study, arguments.out)
        print(f"made {arguments.out}; name it as root or path of the study's dataset")

    return _done(work)


def _download(words: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m collect download",
        description="Fetch the published images that a study's dataset names into its root.",
        epilog="example: python -m collect download config/mine.yaml",
    )
    parser.add_argument("study", type=Path, help="the study file")
    arguments = parser.parse_args(words)

    def work() -> None:
        from collect.job import download_images

        download_images(arguments.study)

    return _done(work)


def _done(work: Callable[[], None], *, log: bool = False) -> int:
    """Do some work; return the exit status, having said in one line what stopped it."""
    try:
        work()
    except KeyboardInterrupt:
        print("interrupted; finished models are kept", file=sys.stderr)
        return 130
    except STOPPING as error:
        if log:
            logging.getLogger(__name__).error("error: %s", explained(error))  # noqa: TRY400
        print(f"error: {explained(error)}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
