"""What the jobs' own records say of their GPUs."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Use:
    """jobs: that took a slot and freed it. gpus: taken. most: at once, on one GPU, on one slot."""

    jobs: int
    gpus: frozenset[str]
    most_on_a_gpu: int
    most_on_a_slot: int


def use_of(record: Path) -> Use:
    """Count from when to when each process had which GPU."""
    events = [
        json.loads(line)
        for path in sorted(record.glob("*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    # of two at the same moment the freed one was first: it is written before the lock is let go
    events.sort(key=lambda event: (event["at"], event["event"] == "taken"))
    on_gpu: Counter[tuple[str, str]] = Counter()
    on_slot: Counter[tuple[str, str, int]] = Counter()
    most_on_a_gpu = most_on_a_slot = 0
    for event in events:
        gpu = (event["host"], event["gpu"])
        slot = (*gpu, event["share"])
        step = 1 if event["event"] == "taken" else -1
        on_gpu[gpu] += step
        on_slot[slot] += step
        most_on_a_gpu = max(most_on_a_gpu, on_gpu[gpu])
        most_on_a_slot = max(most_on_a_slot, on_slot[slot])
    counts = Counter((event["pid"], event["event"]) for event in events)
    pids = {pid for pid, _ in counts}
    assert all(counts[pid, "taken"] == counts[pid, "freed"] for pid in pids)
    return Use(
        jobs=sum(number for (_, event), number in counts.items() if event == "taken"),
        gpus=frozenset(gpu for _, gpu in on_gpu),
        most_on_a_gpu=most_on_a_gpu,
        most_on_a_slot=most_on_a_slot,
    )
