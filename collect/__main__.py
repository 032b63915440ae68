"""``python -m collect``: train a pack of seed blocks; say how far a study is; its cost."""

import argparse
import logging
import math
import signal
import sys
from pathlib import Path
from typing import Final

from collect.ending import note_ending
from collect.stopping import LeaseLostError, TerminatedError, terminated_by_signal
from store.errors import STOPPING, explained

LEASE_LOST: Final = 3
"""Exit status of a process whose block another one trains now."""
TERMINATED: Final = 128 + signal.SIGTERM
"""Exit status of a process that was asked to end, as a shell has it."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parser().parse_args(arguments)
    log: Path | None = getattr(options, "log", None)
    if log:
        log.parent.mkdir(parents=True, exist_ok=True)
        # a full disk takes no log either; the terminal has one line then, not logging's traceback
        logging.raiseExceptions = False
    logging.basicConfig(
        filename=log,
        filemode="a",
        level=logging.INFO if log else logging.WARNING,
        format="%(asctime)s %(message)s",
    )
    if options.command == "ended":
        words = note_ending(options.status, options.log_of_job)
        if words is not None:
            print(f"error: {words}", file=sys.stderr)
        return options.status
    try:
        with terminated_by_signal():
            _run(options)
    except TerminatedError as error:
        if log:
            logging.getLogger(__name__).error("%s", error)  # noqa: TRY400
        print(error, file=sys.stderr)
        return TERMINATED
    except KeyboardInterrupt:
        if log:
            logging.getLogger(__name__).error("interrupted; finished models are kept")  # noqa: TRY400
        print("interrupted; finished models are kept", file=sys.stderr)
        return 130
    except STOPPING as error:
        if log:
            logging.getLogger(__name__).error("error: %s", explained(error))  # noqa: TRY400
        print(f"error: {explained(error)}", file=sys.stderr)
        return LEASE_LOST if isinstance(error, LeaseLostError) else 2
    return 0


def _run(options: argparse.Namespace) -> None:
    if options.command == "status":
        from collect.status import look
        from collect.status_text import status_json, status_text

        status = look(options.results, study=options.study)
        print(status_json(status) if options.json else status_text(status))
        return
    # torch takes seconds to import; --help and a wrong call should not wait for it
    from collect import job

    match options.command:
        case "pack":
            with job.own_gpu(options.study, options.results, per_gpu=options.per_gpu):
                job.collect_pack(options.study, options.pack, options.results)
        case "cost":
            print(
                job.estimate_cost(
                    options.study,
                    jobs=options.jobs,
                    seconds=options.seconds,
                    pack_minutes=options.pack_minutes,
                )
            )
        case "packing":
            decision = job.decide_packs(
                options.study, options.results, minutes=options.pack_minutes
            )
            print(
                f"packs: {decision.pack_size} blocks a job of {decision.pack_minutes:g} minutes; "
                f"a block takes {decision.block_seconds:.0f} s, says {decision.measured}"
            )
        case "download":
            job.download_images(options.study)
        case _:
            job.make_stand_in(options.study, options.out)
            print(f"made {options.out}; name it as root or path of the study's dataset")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m collect", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    pack = commands.add_parser(
        "pack",
        help="train one pack of seed blocks and record what the models said and looked at",
        epilog="example: python -m collect pack config/digits.yaml --pack 0 "
        "--results results/digits",
    )
    pack.add_argument("study", type=Path, help="the study file")
    pack.add_argument("--pack", type=int, required=True, help="which pack, from 0")
    pack.add_argument("--results", type=Path, required=True, help="folder of the study's results")
    pack.add_argument(
        "--per-gpu", type=int, default=1, help="processes that may share a GPU; default 1"
    )
    pack.add_argument("--log", type=Path, help="file that the log goes to")
    status = commands.add_parser(
        "status",
        help="say how far a study is, what runs where, and what failed and why; writes nothing",
        epilog="example: python -m collect status results/digits",
    )
    status.add_argument("results", type=Path, help="folder of the study's results")
    status.add_argument(
        "--study", type=Path, help="the study file; by default what the results themselves say"
    )
    status.add_argument("--json", action="store_true", help="print it as JSON")
    ended = commands.add_parser(
        "ended",
        help="add to a job's log which signal ended it; for the workflow's own use",
        epilog="example: python -m collect ended --status 137 --log results/digits/logs/x.log",
    )
    ended.add_argument("--status", type=int, required=True, help="exit status of the job")
    ended.add_argument("--log", dest="log_of_job", type=Path, required=True, help="its log")
    cost = commands.add_parser(
        "cost",
        help="print what a study would cost on this machine, from a short measurement",
        epilog="example: python -m collect cost config/digits.yaml --jobs 2",
    )
    cost.add_argument("study", type=Path, help="the study file")
    cost.add_argument("--jobs", type=int, default=1, help="jobs at a time; default 1")
    cost.add_argument(
        "--seconds", type=float, default=6, help="about how long to measure; default 6"
    )
    cost.add_argument(
        "--pack-minutes", type=_minutes, help="say how many blocks a job of so many minutes trains"
    )
    packing = commands.add_parser(
        "packing",
        help="decide how many blocks a job of so many minutes trains, and keep it with the results",
        epilog="example: python -m collect packing config/cifar10.yaml --results results/cifar10 "
        "--pack-minutes 30",
    )
    packing.add_argument("study", type=Path, help="the study file")
    packing.add_argument(
        "--results", type=Path, required=True, help="folder of the study's results"
    )
    packing.add_argument("--pack-minutes", type=_minutes, required=True, help="that a job takes")
    download = commands.add_parser(
        "download",
        help="fetch the published images that a study's dataset names into its root",
        epilog="example: python -m collect download config/mine.yaml",
    )
    download.add_argument("study", type=Path, help="the study file")
    stand_in = commands.add_parser(
        "stand-in",
        help="make a few images of no real thing in the layout of a study's data set, to try the "
        "study out where its images are not",
        epilog="example: python -m collect stand-in config/cifar10-cut.yaml --out made-up",
    )
    stand_in.add_argument("study", type=Path, help="the study file; its sizes say how many images")
    stand_in.add_argument("--out", type=Path, required=True, help="a new folder")
    return parser


def _minutes(text: str) -> float:
    minutes = float(text)
    if not 0 < minutes < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: not a number of minutes above 0")
    return minutes


if __name__ == "__main__":
    sys.exit(main())
