"""Faults that happen to real training: to one pack's process, and to the whole workflow."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Container
from itertools import count
from pathlib import Path

import numpy as np
import polars as pl
import running
from chaos_jobs import Job
from chaos_log import Log, Tally
from chaos_place import Place
from chaos_study import never, shard_contents

from store.packing import declared_packing
from store.study_file import load_design

_SIGNALS = {
    "kill -9": (signal.SIGKILL, 0.7),
    "interrupt (SIGINT)": (signal.SIGINT, 0.15),
    "terminate (SIGTERM)": (signal.SIGTERM, 0.15),
}
DISK = 64 * 2**20


def prepare(folder: Path) -> Path:
    """Put a study into a folder that trains 2 blocks of 8 networks in seconds."""
    running.prepare(folder, seeds="2")
    study = folder / "tiny.yaml"
    text = study.read_text(encoding="utf-8").replace("epochs: 6", "epochs: 3")
    study.write_text(text.replace("strengths: [0, 0.5, 1]", "strengths: [0, 1]"), encoding="utf-8")
    return study


def disturb_training(
    folder: Path,
    *,
    faults: int,
    seed: int,
    log: Log,
    done: Container[int] = (),
    stop: Callable[[], bool] = never,
) -> Tally:
    """Stop one pack's training at many moments; its shards must come out as if undisturbed.

    done, stop: as for ``chaos_study.disturb``.
    """
    whole = Tally()
    study = prepare(folder / "study")
    alone = folder / "alone"
    for pack in range(declared_packing(load_design(study)).packs):
        whole.words.hear(_collect(study, pack, alone, folder / "said").wait())
    expected, took = shard_contents(alone / "shards"), 4.0
    place = Place(folder / "disk", DISK)
    results = place.folder / "results"
    try:
        for number in count(1):
            if whole.total >= faults or stop():
                break
            if number in done:
                continue
            generator = np.random.default_rng([2027, seed, number])
            left, tally = faults - whole.total, log.life(number)
            shutil.rmtree(results, ignore_errors=True)
            for pack in range(declared_packing(load_design(study)).packs):
                while tally.total < left and not _packed(results, pack) and not stop():
                    _disturb(study, pack, results, place, folder / "said", tally, generator, took)
                while not _packed(results, pack):
                    tally.words.hear(_collect(study, pack, results, folder / "said").wait())
            if shard_contents(results / "shards") != expected:
                tally.wrong.append(f"training, life {number} of seed {seed}: shards differ")
            if list((results / "shards").glob(".*")):
                # of jobs killed while they published; doctor clears them away
                tally.missed["note: unfinished shards left in training, named by doctor"] += 1
            log.ended(number, tally, compared=True)
            whole.add(tally)
    finally:
        place.close()
    return whole


def _packed(results: Path, pack: int) -> bool:
    return (results / "packs" / f"{pack:05d}.json").exists()


def _collect(study: Path, pack: int, results: Path, said: Path) -> Job:
    arguments = [str(study), "--pack", str(pack), "--results", str(results)]
    return Job("collect", arguments, said / "training")


def _disturb(
    study: Path,
    pack: int,
    results: Path,
    place: Place,
    said: Path,
    tally: Tally,
    generator: np.random.Generator,
    took: float,
) -> None:
    drawn = generator.random()
    if drawn < 0.12 and place.mounted:
        with place.full(int(generator.integers(2**19))):
            tally.words.hear(_collect(study, pack, results, said).wait())
        tally.count("full disk", "collect")
    elif drawn < 0.18 and place.can_be_read_only:
        results.mkdir(parents=True, exist_ok=True)
        with place.read_only():
            tally.words.hear(_collect(study, pack, results, said).wait())
        tally.count("read-only file system", "collect")
    else:
        kind = _drawn_signal(generator)
        job = _collect(study, pack, results, said)
        early = job.ended_within(float(generator.uniform(0, took)))
        job.send(_SIGNALS[kind][0])
        tally.words.hear(job.wait())
        if early:
            tally.missed[f"{kind}: the job had ended"] += 1
        else:
            tally.count(kind, "collect")


def _drawn_signal(generator: np.random.Generator) -> str:
    kinds = list(_SIGNALS)
    return kinds[int(generator.choice(len(kinds), p=[share for _, share in _SIGNALS.values()]))]


def disturb_workflow(
    folder: Path,
    *,
    faults: int,
    seed: int,
    log: Log,
    done: Container[int] = (),
    stop: Callable[[], bool] = never,
) -> Tally:
    """Stop Snakemake, or its head alone, at many moments; the same command must go on.

    done, stop: as for ``chaos_study.disturb``.
    """
    whole = Tally()
    undisturbed = folder / "undisturbed"
    prepare(undisturbed)
    started = time.monotonic()
    first = running.run(undisturbed)
    took = time.monotonic() - started
    if first.returncode:
        whole.wrong.append(f"workflow: the undisturbed run failed: {first.stdout[-500:]}")
        return whole
    expected = running.content(undisturbed)
    for number in count(1):
        if whole.total >= faults or stop():
            break
        if number in done:
            continue
        tally = log.life(number)
        _live(folder / f"life-{number}", number, seed, tally, expected, took, stop, faults)
        log.ended(number, tally, compared=True)
        whole.add(tally)
    return whole


def _live(
    life: Path,
    number: int,
    seed: int,
    tally: Tally,
    expected: dict[str, pl.DataFrame],
    took: float,
    stop: Callable[[], bool],
    faults: int,
) -> None:
    """Stop one run of the workflow a few times, then have it come to its end."""
    generator = np.random.default_rng([2028, seed, number])
    prepare(life)
    for _ in range(int(generator.integers(3, 8))):
        # a workflow that has ended has nothing left to be stopped
        if tally.total >= faults or (life / "results/tiny/report.html").exists() or stop():
            break
        _stop_workflow(life, tally, generator, took)
    last = _finish_workflow(life)
    if last.returncode:
        tally.wrong.append(f"workflow, life {number} of seed {seed}: {last.stdout[-500:]}")
        return
    found = running.content(life)
    differ = [name for name in expected if not found[name].equals(expected[name])]
    if differ or list(found) != list(expected):
        tally.wrong.append(f"workflow, life {number} of seed {seed}: {', '.join(differ)} differ")
    shutil.rmtree(life)


def _finish_workflow(life: Path) -> subprocess.CompletedProcess[str]:
    """Run it as a user does: again, where processes of a killed head are still at work."""
    for _ in range(5):
        done = running.run(life)
        if done.returncode == 0 or "another" not in done.stdout:
            break
        time.sleep(2)
    return done


def _stop_workflow(life: Path, tally: Tally, generator: np.random.Generator, took: float) -> None:
    kind = _drawn_signal(generator)
    said = life / "terminal.txt"
    with said.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            running.command(life),
            stdout=stream,
            stderr=subprocess.STDOUT,
            cwd=life,
            start_new_session=True,
        )
        try:
            process.wait(float(generator.uniform(0, 0.6 * took)))
            tally.missed[f"{kind}: the workflow had ended"] += 1
        except subprocess.TimeoutExpired:
            number = _SIGNALS[kind][0]
            if number == signal.SIGKILL and generator.random() < 0.3:
                process.send_signal(number)
                tally.count(kind, "snakemake's head alone")
            else:
                os.killpg(process.pid, number)
                tally.count(kind, "snakemake and its jobs")
            process.wait(timeout=120)
    text = said.read_text(encoding="utf-8", errors="replace")
    if "Traceback" in text:
        tally.words.faults.append(f"workflow ({kind}): a traceback: {text[-600:]}")
