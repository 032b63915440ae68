"""Jobs of the workflow as processes that can be killed: forked from one that has imported all.

Importing torch, polars and DuckDB takes seconds; a job forked from a process that has them starts
at once, so that a fault hits the job's work. Everything else is as in ``python -m``.
"""

import json
import multiprocessing
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["chaos_preload"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a job ended. code: its exit status, or minus the signal that ended it."""

    name: str
    code: int
    seconds: float
    out: str
    err: str


class Job:
    """A job at work. file_limit: bytes that no file may grow beyond."""

    def __init__(
        self, name: str, arguments: Sequence[str], said: Path, *, file_limit: int | None = None
    ) -> None:
        self.name = name
        self._said = said
        self._started = time.monotonic()
        said.mkdir(parents=True, exist_ok=True)
        self._process: ForkServerProcess = _CONTEXT.Process(
            target=_work, args=(name, list(arguments), str(said), file_limit)
        )
        self._process.start()

    def send(self, number: signal.Signals) -> None:
        if self._process.pid is not None and self._process.is_alive():
            os.kill(self._process.pid, number)

    def ended_within(self, seconds: float) -> bool:
        self._process.join(seconds)
        return self._process.exitcode is not None

    def wait(self, limit: float = 300) -> Ended:
        """Wait for its end. Raises TimeoutError after so many seconds: a job hangs."""
        if not self.ended_within(limit):
            self._process.kill()
            self._process.join()
            raise TimeoutError(f"{self.name} did not end within {limit} s")
        code = self._process.exitcode
        assert code is not None
        return Ended(
            name=self.name,
            code=code,
            seconds=time.monotonic() - self._started,
            out=_text(self._said / "out"),
            err=_text(self._said / "err"),
        )


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def _work(name: str, arguments: list[str], said: str, file_limit: int | None) -> None:
    """Run a job's main function in this process, its words into files."""
    for number, stream in ((1, "out"), (2, "err")):
        opened = os.open(f"{said}/{stream}", os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        os.dup2(opened, number)
    # a forked process would share Python's handlers with its parent
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    if file_limit is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    sys.argv = [name, *arguments]
    try:
        code = _MAINS[name]()
    except SystemExit as stopped:
        code = stopped.code if isinstance(stopped.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 70
    sys.stdout.flush()
    os._exit(code)


def _collect() -> int:
    from collect.__main__ import main

    return main(["pack", *sys.argv[1:]])


def _draw() -> int:
    """Collect with all that publishes a shard as it is; only training is replaced by drawing."""
    import synthetic

    import collect.job
    from collect.__main__ import main
    from store.frames import SHARD_FRAMES
    from store.shard import read_table, shard_name

    pristine = Path(sys.argv.pop())

    class Drawn:
        def __init__(
            self, design, data, block, *, runtime, scratch, pools, finished, may_go_on, leases
        ):
            self._shard = pristine / shard_name(block, design.shard_key(block))
            self._finished = finished
            self._models = design.plan().size
            self._scratch = scratch

        def collect(self):
            self._scratch.mkdir(parents=True, exist_ok=True)
            for ordinal in range(self._models):
                (self._scratch / f"model-{ordinal}").write_bytes(b"weights")
                self._finished(ordinal)
            return {frame.name: read_table(self._shard, frame) for frame in SHARD_FRAMES}

    class NoData:
        mean = std = np.zeros(1, dtype=np.float32)

    block = iter(range(10**6))
    collect.job.Block = Drawn
    collect.job.load = lambda design: NoData()
    collect.job.image_table = lambda data, seed: synthetic.draw_images(_design())
    collect.job.observe_environment = lambda *_, **__: synthetic.environment(next(block) % 2)
    return main(["pack", *sys.argv[1:]])


def _design():
    from store.study_file import load_design

    return load_design(Path(sys.argv[1]))


def _store() -> int:
    from store.job import main

    return main()


def _analyze() -> int:
    from analyze.job import main

    return main(sys.argv[1:])


def _command() -> int:
    from store.__main__ import main

    return main()


def _read() -> int:
    """Read a store again and again until a file says enough; every answer must be of one state."""
    from store.database import open_reader
    from store.errors import StoreError

    store, enough = Path(sys.argv[1]), Path(sys.argv[2])
    states = set()
    while True:
        last = enough.exists()
        if store.exists():
            try:
                with open_reader(store) as reader:
                    states.add(reader.frame(_STATE).row(0))
            except StoreError as error:
                sys.stderr.write(f"error: {error}\n")
                return 2
        if last:
            sys.stdout.write(json.dumps(sorted(states)) + "\n")
            return 0


_STATE = (
    "SELECT (SELECT count(*) FROM shard), (SELECT sum(prediction_rows)::BIGINT FROM shard), "
    "(SELECT count(*) FROM prediction), (SELECT count(*) FROM attention), "
    "(SELECT sum(attention_rows)::BIGINT FROM shard), "
    "(SELECT count(DISTINCT block) FROM model)"
)

_MAINS: dict[str, Callable[[], int]] = {
    "collect": _collect,
    "draw": _draw,
    "store": _store,
    "analyze": _analyze,
    "command": _command,
    "read": _read,
}
