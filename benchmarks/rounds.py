"""Ways of doing the same work, timed in turns: each in processes of its own, kept warm.

A round asks every way for one turn of its work, one way after the other, and each round begins
with another way: what else the machine does meets all of them alike, and ratios are taken within
rounds. Wall time counts from asking to the last process's answer; CPU time is that of the
processes and of all that they started.
"""

import os
import resource
import statistics
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Final, Self

_FORKED: Final = get_context("forkserver")
_FRESH: Final = get_context("spawn")
"""For ways with variables of their own, which are read when a process starts."""


@dataclass(frozen=True, slots=True)
class Done:
    """What one process did in one turn.

    units: images, or whatever the way counts. mark: what other ways' results are compared with,
    such as a hash of weights. peak_bytes: most memory held on a GPU.
    """

    units: float
    mark: str = ""
    peak_bytes: int = 0


Turn = Callable[[], Done]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way of doing the work.

    prepare: called once in each process with the process's number, from 0; must be importable.
    environment: variables that the processes start with, beside the machine's own.
    """

    name: str
    prepare: Callable[[int], Turn]
    processes: int = 1
    environment: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Taken:
    """What one turn of one way took, and what was done, over its processes."""

    seconds: float
    cpu_seconds: float
    units: float
    marks: tuple[str, ...]
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Timed:
    """All counted rounds: for each way its turns, in the order of the rounds."""

    turns: Mapping[str, tuple[Taken, ...]]

    def per_second(self, way: str) -> float:
        """Median units per second of wall time."""
        return statistics.median(turn.units / turn.seconds for turn in self.turns[way])

    def per_cpu_second(self, way: str) -> float:
        """Median units per second of CPU time."""
        return statistics.median(turn.units / turn.cpu_seconds for turn in self.turns[way])

    def ratio(self, way: str, base: str) -> float:
        """Median over rounds of how many times as many units per second a way does."""
        return statistics.median(
            (a.units / a.seconds) / (b.units / b.seconds) for a, b in self._pairs(way, base)
        )

    def cpu_ratio(self, way: str, base: str) -> float:
        """Median over rounds of how many times as many units per CPU second a way does."""
        return statistics.median(
            (a.units / a.cpu_seconds) / (b.units / b.cpu_seconds) for a, b in self._pairs(way, base)
        )

    def marks(self, way: str) -> set[str]:
        """Every mark that any process of a way gave in any round."""
        return {mark for turn in self.turns[way] for mark in turn.marks}

    def peak_bytes(self, way: str) -> int:
        """Most memory that a way's processes held together."""
        return max(turn.peak_bytes for turn in self.turns[way])

    def _pairs(self, way: str, base: str) -> list[tuple[Taken, Taken]]:
        return list(zip(self.turns[way], self.turns[base], strict=True))


def preload(*modules: str) -> None:
    """Import modules once for the processes of ways that have no variables of their own.

    To be called before the first way runs. The modules must start no threads.
    """
    _FORKED.set_forkserver_preload(list(modules))


def take_turns(ways: Sequence[Way], *, rounds: int, warm: int = 1) -> Timed:
    """Run every way ``rounds`` times in turns, after ``warm`` rounds that are not counted.

    Raises RuntimeError with the process's own traceback where a way fails.
    """
    turns: dict[str, list[Taken]] = {way.name: [] for way in ways}
    started: list[_Started] = []
    try:
        started.extend(_Started(way) for way in ways)
        for one in started:
            one.answers()  # prepared
        for number in range(-warm, rounds):
            shift = number % len(started)
            for one in started[shift:] + started[:shift]:
                taken = one.turn()
                if number >= 0:
                    turns[one.name].append(taken)
    finally:
        for one in started:
            one.end()
    return Timed({name: tuple(taken) for name, taken in turns.items()})


@dataclass(frozen=True, slots=True)
class _Answer:
    done: Done | None
    cpu_seconds: float = 0
    failure: str = ""


class _Started:
    """The processes of one way."""

    def __init__(self, way: Way) -> None:
        self.name = way.name
        self._connections: list[Connection] = []
        self._processes: list[BaseProcess] = []
        context = _FRESH if way.environment else _FORKED
        with _Environment(way.environment):
            for number in range(way.processes):
                here, there = context.Pipe()
                process = context.Process(target=_serve, args=(way.prepare, number, there))
                process.start()
                there.close()
                self._connections.append(here)
                self._processes.append(process)

    def turn(self) -> Taken:
        began = time.perf_counter()
        for connection in self._connections:
            connection.send("turn")
        answers = self.answers()
        seconds = time.perf_counter() - began
        done = [answer.done for answer in answers if answer.done]
        return Taken(
            seconds=seconds,
            cpu_seconds=sum(answer.cpu_seconds for answer in answers),
            units=sum(one.units for one in done),
            marks=tuple(one.mark for one in done),
            peak_bytes=sum(one.peak_bytes for one in done),
        )

    def answers(self) -> list[_Answer]:
        answers: list[_Answer] = []
        for connection in self._connections:
            try:
                answers.append(connection.recv())
            except EOFError:
                raise RuntimeError(f"{self.name}: a process ended without an answer") from None
        for answer in answers:
            if answer.failure:
                raise RuntimeError(f"{self.name}: {answer.failure}")
        return answers

    def end(self) -> None:
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            process.join(timeout=20)
            if process.is_alive():
                process.terminate()


class _Environment:
    """Variables that processes started within it begin with."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._before: dict[str, str | None] = {}

    def __enter__(self) -> Self:
        self._before = {name: os.environ.get(name) for name in self._variables}
        os.environ.update(self._variables)
        return self

    def __exit__(self, *failure: object) -> None:
        for name, value in self._before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(prepare: Callable[[int], Turn], number: int, connection: Connection) -> None:
    """Prepare, say so, then do one turn whenever asked, until the other end is closed."""
    try:
        turn = prepare(number)
        connection.send(_Answer(None))
        while True:
            connection.recv()
            began = cpu_seconds()
            done = turn()
            connection.send(_Answer(done, cpu_seconds() - began))
    except (EOFError, BrokenPipeError):
        pass
    except Exception:
        connection.send(_Answer(None, failure=traceback.format_exc()))


def cpu_seconds() -> float:
    """CPU time of this process and of those that it started and that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime
