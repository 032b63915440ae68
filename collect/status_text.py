"""How far a study is, for a person to read, and as JSON for a program."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from collect.progress import duration
from collect.status import Failed, Running, Status


def status_json(status: Status) -> str:
    """Return everything as JSON; times are UTC, durations seconds, sizes bytes."""
    content = asdict(status) | {"seconds_left": status.seconds_left, "disk_full": status.full}
    return json.dumps(content, indent=2, default=str)


def status_text(status: Status) -> str:
    """Say it in a few lines; then a table of what runs, and what failed with the next step."""
    parts = ["\n".join([_models(status), _packs(status), *_warnings(status)])]
    if status.running:
        parts.append("\n".join(_table(status.running)))
    parts.extend(_failure(failed) for failed in status.failed)
    return "\n\n".join(parts)


def _models(status: Status) -> str:
    text = f"{status.study}: {status.finished} of {status.models} models"
    if status.finished == status.models:
        return f"{text}, all trained"
    if not status.running:
        return f"{text}; nothing runs now"
    if status.rate is None or status.seconds_left is None:
        return text
    return f"{text}, {60 * status.rate:.0f} per minute, {duration(status.seconds_left)} left"


def _packs(status: Status) -> str:
    running = len({process.pack for process in status.running})
    return (
        f"packs: {status.done} of {status.packs} done, {running} running, {status.waiting} "
        f"waiting, {len(status.failed)} failed"
    )


def _warnings(status: Status) -> list[str]:
    lines: list[str] = []
    twice = status.trained_twice
    if twice:
        unequal = [record for record in twice if not record.equal]
        what = "1 block" if len(twice) == 1 else f"{len(twice)} blocks"
        lines.append(f"trained twice: {what}, {len(unequal)} of them with unequal content")
        lines.extend(
            f"  block {record.block}: {record.published} stays, {record.other} was the other; two "
            "machines round differently, or one is faulty"
            for record in unequal
        )
    if status.full:
        lines.append(
            f"disk full: {status.free / 2**20:.0f} MiB free where {status.results} lies; free some "
            "space there, then run the same command again"
        )
    return lines


def _table(running: Sequence[Running]) -> list[str]:
    rows = [("pack", "block", "models", "since (UTC)", "heartbeat", "process")]
    rows.extend(
        (
            str(process.pack),
            "" if process.block is None else str(process.block),
            f"{process.models}/{process.of}",
            "" if process.since is None else f"{process.since:%Y-%m-%d %H:%M}",
            "" if process.heartbeat is None else f"{process.heartbeat:.0f} s ago",
            process.process if process.block is not None else f"{process.process}, {process.doing}",
        )
        for process in running
    )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _failure(failed: Failed) -> str:
    lines = [
        f"pack {failed.pack} failed: {failed.cause}: {failed.reason}",
        f"  next: {failed.next_step}",
        f"  log:  {failed.log}" + ("" if failed.lines else " (nothing in it)"),
    ]
    return "\n".join([*lines, *(f"        {line}" for line in failed.lines)])
