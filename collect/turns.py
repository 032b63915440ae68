"""Work that several processes share: first what is free, then what others have begun."""

import logging
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from collect.lease import Holder, Lease, Leases

_log = logging.getLogger(__name__)

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(Generic[_Result]):
    """One thing to be done once. name: of its lease. words: what a person calls it.

    found: returns what was done already, None where it was not; asked before the lease is taken
    and again when it is held. work: does it, under the lease.
    """

    name: str
    words: str
    block: int
    found: Callable[[], _Result | None]
    work: Callable[[Lease], _Result]


def in_turn(
    tasks: Iterable[Task[_Result]],
    leases: Leases,
    *,
    while_waiting: Callable[[], None] | None = None,
) -> list[_Result]:
    """Do every task that is free, wait for those that others do; return results in order.

    while_waiting: called before every pause. Raises what the tasks raise.
    """
    waiting = list(enumerate(tasks))
    results: dict[int, _Result] = {}
    told: set[int] = set()
    while waiting:
        held: list[tuple[int, Task[_Result], Holder | None]] = []
        for number, task in waiting:
            found = task.found()
            if found is None:
                claimed = leases.claim(task.name, block=task.block)
                if not isinstance(claimed, Lease):
                    held.append((number, task, claimed))
                    continue
                try:
                    found = task.found()
                    results[number] = task.work(claimed) if found is None else found
                finally:
                    leases.give_back(claimed)
            else:
                results[number] = found
        if len(held) == len(waiting):
            for number, task, holder in held:
                if number not in told:
                    told.add(number)
                    _tell(task.words, holder, leases)
            if while_waiting is not None:
                while_waiting()
            leases.wait()
        waiting = [(number, task) for number, task, _ in held]
    return [results[number] for number in sorted(results)]


def _tell(words: str, holder: Holder | None, leases: Leases) -> None:
    """Say once, on the terminal and in the log, what is waited for."""
    text = (
        f"{words} is being trained by {holder.process.words if holder else 'another process'}; "
        f"waiting (its lease ends {leases.timing.patience:.0f} s after it stops)"
    )
    _log.info("%s", text)
    sys.stderr.write(f"note: {text}\n")
    sys.stderr.flush()
