"""``python -m tests.chaos``: inject faults, seeded, and say what survived.

Also ``--doctor``: every seeded corruption must be named, no healthy store suspected.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
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


def main() -> int:
    """Run the command line; return the exit status: 1 where anything was lost or unclear."""
    arguments = _parser().parse_args()
    if arguments.part:
        return _part(arguments)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        tallies = [] if arguments.doctor else _injected(arguments, Path(folder))
        trials = _doctor_trial(arguments, Path(folder)) if not arguments.faults_only else []
    report = _report(tallies, trials, seed=arguments.seed, seconds=time.monotonic() - started)
    print(report)
    if arguments.write:
        arguments.write.write_text(report + "\n", encoding="utf-8")
    return int(any(t["wrong"] or t["unclear"] for t in tallies) or any(trials))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Kill, fill, corrupt and race the store's jobs; compare with a quiet run.",
        epilog="example: python -m tests.chaos --faults 500 --seed 1",
    )
    parser.add_argument("--faults", type=int, default=500, help="faults to inject (default: 500)")
    parser.add_argument("--seed", type=int, default=1, help="what they are drawn from (default: 1)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2, help="at once")
    parser.add_argument("--doctor", action="store_true", help="the corruptions alone")
    parser.add_argument("--faults-only", action="store_true", help="no corruptions")
    parser.add_argument("--corruptions", type=int, default=50, help="and as many healthy stores")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the report there too")
    parser.add_argument("--part", choices=["drawn", "training", "workflow"], help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    return parser


def _injected(arguments: argparse.Namespace, folder: Path) -> list[dict]:
    """Run the parts as processes, so many at once; return what each counted."""
    workflow = arguments.faults // 25
    training = arguments.faults // 8
    drawn = arguments.faults - workflow - training
    halves = [drawn // 2, drawn - drawn // 2] if drawn > 40 else [drawn]
    parts = [("workflow", workflow), ("training", training), *(("drawn", n) for n in halves)]
    waiting = [(part, n, arguments.seed * 100 + i) for i, (part, n) in enumerate(parts) if n]
    running: list[tuple[subprocess.Popen[bytes], Path]] = []
    out: list[dict] = []
    while waiting or running:
        while waiting and len(running) < arguments.jobs:
            part, faults, seed = waiting.pop(0)
            place = folder / f"{part}-{seed}"
            place.mkdir()
            command = [sys.executable, "-m", "tests.chaos", "--part", part, "--out", str(place)]
            command += ["--faults", str(faults), "--seed", str(seed)]
            running.append((subprocess.Popen(command, cwd=TESTS.parent), place))
        time.sleep(0.2)
        for process, place in [r for r in running if r[0].poll() is not None]:
            running.remove((process, place))
            found = place / "tally.json"
            if process.returncode or not found.exists():
                out.append(
                    _nothing() | {"wrong": [f"{place.name}: ended with {process.returncode}"]}
                )
            else:
                out.append(json.loads(found.read_text()))
    return out


def _nothing() -> dict:
    return {
        "injected": {},
        "missed": {},
        "by_job": {},
        "lives": 0,
        "wrong": [],
        "unclear": [],
        "seen": {},
    }


def _part(arguments: argparse.Namespace) -> int:
    from chaos_study import Tally, disturb
    from chaos_training import disturb_training, disturb_workflow

    def news(tally: Tally) -> None:
        print(f"{arguments.part}: {tally.total} faults, {tally.lives} lives", flush=True)

    tally, folder = Tally(), arguments.out
    chosen = {"faults": arguments.faults, "seed": arguments.seed}
    if arguments.part == "drawn":
        tally = disturb(folder, **chosen, news=news)
    elif arguments.part == "training":
        disturb_training(folder, **chosen, tally=tally)
    else:
        disturb_workflow(folder, **chosen, tally=tally)
    text = json.dumps(
        {
            "injected": tally.injected,
            "missed": tally.missed,
            "by_job": tally.by_job,
            "lives": tally.lives,
            "wrong": tally.wrong,
            "unclear": tally.words.faults,
            "seen": tally.words.seen,
        }
    )
    (folder / "tally.json").write_text(text)
    news(tally)
    return 0


def _doctor_trial(arguments: argparse.Namespace, folder: Path) -> list[str]:
    """Corrupt so many copies of a study, and look at as many healthy ones; return what failed."""
    import trial
    from corruptions import CORRUPTIONS

    failed: list[str] = []
    (folder / "sound").mkdir()
    sound = trial.finished(folder / "sound", **trial.CORRUPTED)
    expected = trial.hashes(sound.store)
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
        if trained or trial.hashes(study.store) != expected:
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


def _report(tallies: list[dict], trials: list[str], *, seed: int, seconds: float) -> str:
    def summed(name: str) -> Counter[str]:
        return sum((Counter(tally[name]) for tally in tallies), Counter())

    injected = summed("injected")
    wrong = [text for tally in tallies for text in tally["wrong"]]
    unclear = [text for tally in tallies for text in tally["unclear"]]
    lives = sum(tally["lives"] for tally in tallies)
    lines = [
        f"seed {seed}, {seconds:.0f} s: {injected.total()} faults injected into {lives} studies",
        *(f"  {count:4d}  {kind}" for kind, count in injected.most_common()),
        "they hit:",
        *(f"  {count:4d}  {job}" for job, count in summed("by_job").most_common()),
        "drawn and not injected:",
        *(f"  {count:4d}  {kind}" for kind, count in summed("missed").most_common()),
        f"lost, doubled or corrupt: {len(wrong)}",
        *(f"  {text}" for text in wrong),
        f"messages that a user could not act on: {len(unclear)}",
        *(f"  {text}" for text in unclear),
        "what was said:",
        *(f"  {count:4d}  {text}" for text, count in summed("seen").most_common()),
        f"doctor: {len(trials)} failures",
        *(f"  {text}" for text in trials),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
