"""A drawn study that grows to its end while faults happen to it, step by step."""

import re
import shutil
import signal
import time
from collections.abc import Callable, Container, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import numpy as np
from chaos_jobs import Ended, Job
from chaos_log import Log, Tally
from chaos_place import Place
from synthetic import write_shards
from synthetic_study import write_study

from store.contents import table_hashes
from store.database import open_reader
from store.doctor import examine
from store.packing import declared_packing
from store.shard import read_manifest
from store.study_file import load_design

SHAPE = {"strengths": (0, 1), "test_images": 24, "train_images": 20}
STAGES = (2, 4, 6)
DISK = 64 * 2**20
_TAKES = {"draw": 0.5, "store": 0.8, "analyze": 3.0, "command": 1.0}
"""Seconds that a job takes, until it is known better."""

KINDS = {
    "kill -9": 34,
    "interrupt (SIGINT)": 5,
    "terminate (SIGTERM)": 5,
    "full disk": 13,
    "file size limit": 5,
    "read-only file system": 7,
    "flipped bit": 8,
    "file cut short": 6,
    "file deleted": 5,
    "two at once": 6,
    "reader during a write": 6,
}


class Undisturbed:
    """What the study comes to when nothing happens. Written once, in a folder of its own."""

    def __init__(self, folder: Path, stages: Sequence[int]) -> None:
        self.studies: list[Path] = []
        for seeds in stages:
            place = folder / f"seeds-{seeds}"
            place.mkdir(parents=True)
            design, path = write_study(place, seeds=seeds, **SHAPE)
            self.studies.append(path)
        self.shards = folder / "shards"
        write_shards(design, self.shards, failed=[(1, 2)], not_finite=[(2, 5)])
        self.hashes: dict[str, str] = {}
        self.contents: dict[str, str] = {}


class Life:
    """One growth of the study from nothing to its end; ``disturb`` decides what happens."""

    def __init__(
        self,
        undisturbed: Undisturbed,
        place: Place,
        said: Path,
        tally: Tally,
        generator: np.random.Generator,
        *,
        faults: int = 0,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._undisturbed = undisturbed
        self._place = place
        self._said = said
        self._tally = tally
        self._generator = generator
        self._left = faults
        self._stop = stop
        self._study = undisturbed.studies[0]
        self._results = place.folder / "results"
        self._store = self._results / "store.duckdb"
        self._ledger = self._results / "ledger.json"
        self._jobs = 0

    def live(self) -> None:
        """Grow the study; raise AssertionError where it does not come to its end."""
        if self._results.exists():
            shutil.rmtree(self._results)
        for study in self._undisturbed.studies:
            self._study = study
            self._step("store")
            if self._generator.random() < 0.3:
                self._step("compact")
        self._step("analyze")

    def check(self) -> None:
        """Compare with the undisturbed study, once what faults left is cleared away."""
        self._run(self._doctor_arguments(repair=True))
        self._go_on("analyze")
        found = _hashes(self._store)
        for name, digest in self._undisturbed.hashes.items():
            if found[name] != digest:
                self._tally.wrong.append(f"at the end: table {name} differs")
        if shard_contents(self._results / "shards") != self._undisturbed.contents:
            self._tally.wrong.append("at the end: shards differ")
        for fault in examine(self._store, self._results / "shards", load_design(self._study)):
            self._tally.wrong.append(f"at the end: {fault.what}")

    def record(self) -> None:
        """Keep this life, to which nothing happened, as what others must come to."""
        self._undisturbed.hashes = _hashes(self._store)
        self._undisturbed.contents = shard_contents(self._results / "shards")

    def _step(self, name: str) -> None:
        """Take a step, with faults while there are some left for it, then to its end."""
        while self._left > 0 and self._generator.random() < 0.75 and not self._stop():
            kinds, weights = list(KINDS), np.array(list(KINDS.values()), dtype=float)
            kind = kinds[int(self._generator.choice(len(kinds), p=weights / weights.sum()))]
            self._left -= 1
            self._disturb(kind, self._pick(name))
        self._go_on(name)

    def _pick(self, name: str) -> list[str]:
        """Return the job that a fault happens to: the next one, or looking after the store."""
        packs = [pack for pack in self._packs() if not self._pack(pack).exists()]
        if packs:
            return self._draw_arguments(packs[0])
        if self._store.exists() and self._generator.random() < 0.15:
            return self._doctor_arguments(repair=True)
        return self._arguments(name)

    def _disturb(self, kind: str, job: list[str]) -> None:
        if kind in ("kill -9", "interrupt (SIGINT)", "terminate (SIGTERM)"):
            self._signal(kind, job)
        elif kind == "full disk" and self._place.mounted:
            with self._place.full(int(self._generator.integers(2 * 2**20))):
                self._run(job)
            self._tally.count(kind, job[0])
        elif kind in ("full disk", "file size limit"):
            self._run(job, file_limit=int(self._generator.integers(2 * 2**20)))
            self._tally.count("file size limit", job[0])
        elif kind == "read-only file system":
            self._read_only(kind, job)
        elif kind == "two at once":
            self._two(kind, job)
        elif kind == "reader during a write":
            self._reader(kind, job)
        else:
            self._harm(kind, job)

    def _signal(self, kind: str, job: list[str]) -> None:
        number = {
            "kill -9": signal.SIGKILL,
            "interrupt (SIGINT)": signal.SIGINT,
            "terminate (SIGTERM)": signal.SIGTERM,
        }[kind]
        running = self._start(job)
        early = running.ended_within(float(self._generator.uniform(0, 1.1 * _TAKES[job[0]])))
        running.send(number)
        self._hear(running.wait())
        if early:
            self._tally.missed[f"{kind}: the job had ended"] += 1
        else:
            self._tally.count(kind, job[0])

    def _read_only(self, kind: str, job: list[str]) -> None:
        if not self._place.can_be_read_only:
            self._tally.missed[f"{kind}: root is not stopped here"] += 1
            return
        self._results.mkdir(exist_ok=True)
        with self._place.read_only():
            self._run(job)
        self._tally.count(kind, job[0])

    def _two(self, kind: str, job: list[str]) -> None:
        one = self._start(job)
        time.sleep(float(self._generator.uniform(0, 0.3)))
        other = self._start(job)
        ends = [one.wait(), other.wait()]
        for ended in ends:
            self._hear(ended)
        if all(ended.code == 2 for ended in ends):
            self._tally.wrong.append(f"two at once: both gave up: {ends[0].err} {ends[1].err}")
        self._tally.count(kind, job[0])

    def _reader(self, kind: str, job: list[str]) -> None:
        enough = self._said / "enough"
        enough.unlink(missing_ok=True)
        reader = self._start(["read", str(self._store), str(enough)])
        self._run(job)
        enough.touch()
        ended = reader.wait()
        self._hear(ended)
        for state in re.findall(r"\[([\d, ]+)\]", ended.out):
            blocks, answers, found_answers, maps, found_maps, models = map(int, state.split(","))
            if (blocks, answers, maps) != (models, found_answers, found_maps):
                self._tally.wrong.append(f"a reader saw a state between two: {state}")
        self._tally.count(kind, job[0])

    def _harm(self, kind: str, job: list[str]) -> None:
        """Harm one file; run the next job on it; then do what a user is told to do."""
        files = sorted(
            path
            for path in self._results.rglob("*")
            if path.is_file() and path.stat().st_size and self._is_data(path)
        )
        if not files:
            self._tally.missed[f"{kind}: no file yet"] += 1
            return
        path = files[int(self._generator.integers(len(files)))]
        content = path.read_bytes()
        place = int(self._generator.integers(len(content)))
        if kind == "flipped bit":
            harmed = bytearray(content)
            harmed[place] ^= 1 << int(self._generator.integers(8))
            path.write_bytes(harmed)
        elif kind == "file cut short":
            path.write_bytes(content[:place])
        else:
            path.unlink()
        self._tally.count(kind, path.name if path.suffix != ".json" else path.parent.name)
        ended = self._run(job)
        if ended.code == 2 and self._generator.random() < 0.5:
            self._obey(ended.err)
        if self._store.exists():
            self._notice(path)
        self._run(self._doctor_arguments(repair=True))

    def _notice(self, path: Path) -> None:
        """Have doctor look; harm that it does not name must be none to what the store holds."""
        ended = self._run(self._doctor_arguments(repair=False))
        if ended.code == 0 and path.exists() and path != self._store:
            design = load_design(self._study)
            if examine(self._store, self._results / "shards", design):
                self._tally.wrong.append(f"doctor's command did not name harm to {path.name}")

    def _is_data(self, path: Path) -> bool:
        if "quarantine" in path.parts or path.suffix == ".lock" or path.name == ".lock":
            return False
        return path.suffix in (".parquet", ".duckdb", ".json", ".next") and (
            path.name != "results.json"
        )

    def _obey(self, message: str) -> None:
        """Delete what a message says is to be deleted."""
        told = re.search(r"Delete (\S+?\.json|\S+?)(?: and (\S+\.json))?(?:,| and run)", message)
        for name in told.groups() if told else ():
            if name and Path(name).is_relative_to(self._results):
                path = Path(name)
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)

    def _go_on(self, name: str) -> None:
        """Do what snakemake does: what is missing, then the step. The same command goes on."""
        for attempt in range(4):
            ends = [self._run(job) for job in self._missing(name)]
            if all(ended.code == 0 for ended in ends):
                return
            if attempt == 1:
                self._run(self._doctor_arguments(repair=True))
        raise AssertionError(f"{name} came to no end: {ends[-1].err or ends[-1].out}")

    def _missing(self, name: str) -> list[list[str]]:
        jobs = [self._draw_arguments(p) for p in self._packs() if not self._pack(p).exists()]
        jobs.append(self._arguments("store"))
        if name != "store":
            jobs.append(self._arguments(name))
        return jobs

    def _packs(self) -> range:
        return range(declared_packing(load_design(self._study)).packs)

    def _pack(self, pack: int) -> Path:
        return self._results / "packs" / f"{pack:05d}.json"

    def _draw_arguments(self, pack: int) -> list[str]:
        return [
            *("draw", str(self._study), "--pack", str(pack)),
            *("--results", str(self._results), str(self._undisturbed.shards)),
        ]

    def _doctor_arguments(self, *, repair: bool) -> list[str]:
        return [
            *("command", "doctor", str(self._store), "--study", str(self._study)),
            *("--shards", str(self._results / "shards")),
            *(["--repair"] if repair else []),
        ]

    def _arguments(self, name: str) -> list[str]:
        common = ["--store", str(self._store), "--ledger", str(self._ledger)]
        if name == "store":
            packs = [str(self._pack(pack)) for pack in self._packs()]
            return ["store", str(self._study), "--packs", *packs, *common]
        if name == "compact":
            return ["command", "compact", str(self._store)]
        out = str(self._results / "results.json")
        log = str(self._results / "logs" / "analyze.log")
        return ["analyze", str(self._study), *common, "--out", out, "--log", log]

    def _start(self, job: list[str], *, file_limit: int | None = None) -> Job:
        self._jobs += 1
        return Job(job[0], job[1:], self._said / f"{self._jobs}", file_limit=file_limit)

    def _run(self, job: list[str], *, file_limit: int | None = None) -> Ended:
        ended = self._start(job, file_limit=file_limit).wait()
        self._hear(ended)
        if ended.code == 0 and file_limit is None:
            _TAKES[job[0]] = 0.7 * _TAKES.get(job[0], ended.seconds) + 0.3 * ended.seconds
        return ended

    def _hear(self, ended: Ended) -> None:
        if ended.name == "read" and "no such store" in ended.err:
            return
        self._tally.words.hear(ended)


def _hashes(store: Path) -> dict[str, str]:
    with open_reader(store) as reader:
        return table_hashes(reader)


def shard_contents(shards: Path) -> dict[str, str]:
    return {path.name: read_manifest(path).content for path in sorted(shards.glob("block-*"))}


def never() -> bool:
    """Whether it is time to stop, where there is no limit."""
    return False


def disturb(
    folder: Path,
    *,
    faults: int,
    seed: int,
    log: Log,
    done: Container[int] = (),
    stages: Sequence[int] = STAGES,
    in_one_life: tuple[int, int] = (8, 25),
    stop: Callable[[], bool] = never,
) -> Tally:
    """Inject so many faults into lives of a drawn study; check each life at its end.

    done: numbers of lives that there is no need to live again. stages: numbers of seeds that the
    study has in turn. in_one_life: least number of faults in one life, and the number that it
    stays below. stop: asked before every fault; lives then come to their end without more.
    """
    whole = Tally()
    undisturbed = Undisturbed(folder / "undisturbed", stages)
    place = Place(folder / "disk", DISK)
    with ExitStack() as stack:
        stack.callback(place.close)
        first = Life(undisturbed, place, folder / "said", Tally(), np.random.default_rng(0))
        first.live()
        first.record()
        for number in count(1):
            if whole.total >= faults or stop():
                break
            if number in done:
                continue
            generator = np.random.default_rng([2026, seed, number])
            left = min(faults - whole.total, int(generator.integers(*in_one_life)))
            tally = log.life(number)
            life = Life(
                *(undisturbed, place, folder / "said", tally, generator), faults=left, stop=stop
            )
            try:
                life.live()
                life.check()
            except (AssertionError, TimeoutError) as error:
                tally.wrong.append(f"life {number} of seed {seed}: {error}")
            log.ended(number, tally, compared=True)
            whole.add(tally)
    return whole
