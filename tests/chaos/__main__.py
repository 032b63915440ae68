"""``python -m tests.chaos``: inject faults, seeded, and say what survived.

Also ``--doctor``: every seeded corruption must be named, no healthy store suspected.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PATHS = [TESTS.parent, TESTS, TESTS / "store", TESTS / "workflow", TESTS / "chaos"]
sys.path[:0] = map(str, PATHS)
# jobs are forked from one process: none of what they share may have started threads
os.environ |= {
    "PYTHONPATH": os.pathsep.join(map(str, PATHS)),
    "OMP_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
}

from chaos_log import Account, Log, account  # noqa: E402

SHARES = {"workflow": 0.25, "training": 0.25, "drawn": 0.5}
"""Of the time that is left when a part begins, where parts run one after another."""


def main() -> int:
    """Run the command line; return the exit status: 1 where anything was lost or unclear."""
    arguments = _parser().parse_args()
    if arguments.part:
        return _part(arguments)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        log = arguments.log or Path(folder) / "chaos.jsonl"
        failures: list[str] = []
        trials: list[str] = []
        try:
            if not arguments.doctor:
                failures = _injected(arguments, Path(folder), log)
            if not arguments.faults_only:
                trials = _doctor_trial(arguments, Path(folder))
        except KeyboardInterrupt:
            failures.append("interrupted")
        found = account(log, _seeds(arguments.seed))
    report = _report(
        found, [*failures, *trials], seed=arguments.seed, seconds=time.monotonic() - started
    )
    print(report)
    if arguments.write:
        arguments.write.write_text(report + "\n", encoding="utf-8")
    return int(bool(found.compared.wrong or found.compared.words.faults or failures or trials))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Kill, fill, corrupt and race the store's jobs; compare with a quiet run.",
        epilog="example: python -m tests.chaos --faults 500 --minutes 60 --log build/chaos.jsonl",
    )
    parser.add_argument("--faults", type=int, default=500, help="faults to inject (default: 500)")
    parser.add_argument("--seed", type=int, default=1, help="what they are drawn from (default: 1)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2, help="at once")
    parser.add_argument("--minutes", type=float, help="inject none after so long (default: all)")
    parser.add_argument(
        "--log",
        type=Path,
        metavar="FILE",
        help="write JSON lines there as it goes; faults that a former run of the same code and "
        "seed has injected are not injected again, and count",
    )
    parser.add_argument("--doctor", action="store_true", help="the corruptions alone")
    parser.add_argument("--faults-only", action="store_true", help="no corruptions")
    parser.add_argument("--corruptions", type=int, default=50, help="and as many healthy stores")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the report there too")
    parser.add_argument("--part", choices=list(SHARES), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    return parser


def _parts(faults: int, seed: int) -> list[tuple[str, int, int]]:
    """Return the parts that run on their own: name, faults, seed."""
    workflow, training = faults // 25, faults // 8
    drawn = faults - workflow - training
    halves = [drawn // 2, drawn - drawn // 2] if drawn > 40 else [drawn]
    parts = [("workflow", workflow), ("training", training), *(("drawn", n) for n in halves)]
    return [(part, n, seed * 100 + place) for place, (part, n) in enumerate(parts)]


def _seeds(seed: int) -> set[int]:
    return set(range(seed * 100, seed * 100 + 100))


def _injected(arguments: argparse.Namespace, folder: Path, log: Path) -> list[str]:
    """Run the parts as processes, so many at once; return which came to no end."""
    by_part = account(log, _seeds(arguments.seed)).by_part
    waiting = [
        (part, n - by_part[part, seed], seed)
        for part, n, seed in _parts(arguments.faults, arguments.seed)
        if n > by_part[part, seed]
    ]
    end = None if arguments.minutes is None else time.monotonic() + 60 * arguments.minutes
    running: list[tuple[subprocess.Popen[bytes], str]] = []
    failed: list[str] = []
    try:
        while waiting or running:
            if end is not None and time.monotonic() > end:
                waiting.clear()
            while waiting and len(running) < arguments.jobs:
                part, faults, seed = waiting.pop(0)
                name = f"{part}-{seed}"
                (folder / name).mkdir()
                command = [sys.executable, "-m", "tests.chaos", "--part", part, "--log", str(log)]
                command += ["--out", str(folder / name), "--faults", str(faults)]
                command += ["--seed", str(seed)]
                if end is not None:
                    later = sum(SHARES[other] for other, _, _ in waiting)
                    share = 1.0 if not waiting else SHARES[part] / (SHARES[part] + later)
                    left = max(0.0, end - time.monotonic()) / 60
                    command += ["--minutes", f"{left * share:.2f}"]
                running.append((subprocess.Popen(command, cwd=TESTS.parent), name))
            time.sleep(0.2)
            for process, name in [r for r in running if r[0].poll() is not None]:
                running.remove((process, name))
                if process.returncode:
                    failed.append(f"{name}: ended with {process.returncode}")
    finally:
        for process, _ in running:
            process.terminate()
    return failed


def _part(arguments: argparse.Namespace) -> int:
    from chaos_study import disturb
    from chaos_training import disturb_training, disturb_workflow

    end = None if arguments.minutes is None else time.monotonic() + 60 * arguments.minutes
    disturbing = {"drawn": disturb, "training": disturb_training, "workflow": disturb_workflow}
    done = account(arguments.log, {arguments.seed}).done
    tally = disturbing[arguments.part](
        arguments.out,
        faults=arguments.faults,
        seed=arguments.seed,
        log=Log(arguments.log, part=arguments.part, seed=arguments.seed),
        done=done.get((arguments.part, arguments.seed), set()),
        stop=lambda: end is not None and time.monotonic() > end,
    )
    print(f"{arguments.part}: {tally.total} faults, {tally.lives} lives", flush=True)
    return int(bool(tally.wrong))


def _doctor_trial(arguments: argparse.Namespace, folder: Path) -> list[str]:
    """Corrupt so many copies of a study, and look at as many healthy ones; return what failed."""
    import trial
    from corruptions import CORRUPTIONS
    from store_file import hashes

    failed: list[str] = []
    (folder / "sound").mkdir()
    sound = trial.finished(folder / "sound", **trial.CORRUPTED)
    expected = hashes(sound.store)
    for number in range(max(arguments.corruptions, len(CORRUPTIONS))):
        corruption = CORRUPTIONS[number % len(CORRUPTIONS)]
        place = folder / f"corrupted-{number}"
        place.mkdir()
        seed = 1000 * arguments.seed + number
        study, faults = trial.corrupt(sound, corruption, place, seed)
        if not any(re.search(corruption.named, fault.what) for fault in faults):
            failed.append(f"{corruption.name} (seed {seed}): not named: {[f.what for f in faults]}")
        trial.mended(study)
        trained = trial.train_what_is_missing(study, sound)
        if trained or hashes(study.store) != expected:
            failed.append(f"{corruption.name} (seed {seed}): not mended; trained {trained} again")
        failed += [
            f"{corruption.name} (seed {seed}): left: {fault.what}"
            for fault in trial.examine(study.store, study.shards, study.design)
        ]
    for number in range(arguments.corruptions):
        place = folder / f"healthy-{number}"
        place.mkdir()
        study = trial.healthy(place, number)
        faults = trial.examine(study.store, study.shards, study.design)
        failed += [f"healthy store {number}: {fault.what}" for fault in faults]
    print(
        f"doctor: {max(arguments.corruptions, len(CORRUPTIONS))} corruptions of "
        f"{len(CORRUPTIONS)} kinds, {arguments.corruptions} healthy stores, {len(failed)} failures"
    )
    return failed


def _report(found: Account, failures: list[str], *, seed: int, seconds: float) -> str:
    tally = found.compared
    lines = [
        f"seed {seed}, {seconds:.0f} s, and former runs of the same code: {tally.total} faults "
        f"injected into {tally.lives} studies that came to their end and were compared",
        *(f"  {count:4d}  {kind}" for kind, count in tally.injected.most_common()),
        "they hit:",
        *(f"  {count:4d}  {job}" for job, count in tally.by_job.most_common()),
        f"injected besides into studies that were cut off: {found.cut.total()}",
        *(f"  {count:4d}  {kind}" for kind, count in found.cut.most_common()),
        "drawn and not injected:",
        *(f"  {count:4d}  {kind}" for kind, count in tally.missed.most_common()),
        f"lost, doubled or corrupt: {len(tally.wrong)}",
        *(f"  {text}" for text in tally.wrong),
        f"messages that a user could not act on: {len(tally.words.faults)}",
        *(f"  {text}" for text in tally.words.faults),
        "what was said:",
        *(f"  {count:4d}  {text}" for text, count in tally.words.seen.most_common()),
        f"failures of doctor, and parts that came to no end: {len(failures)}",
        *(f"  {text}" for text in failures),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
