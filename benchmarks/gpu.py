"""How fast one GPU trains: one replicate, several at once, precisions, augmentation.

    python -m benchmarks.gpu

Needs nothing but torch, torchvision and numpy beside this project's own code. Prints Markdown
with the hardware's name, in less than eight minutes: what the time does not reach is said. With
--device cpu --quick it shows that it runs; ways that need CUDA then say so.
"""

import argparse
import hashlib
import importlib.util
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import torch
from torch import Tensor

from benchmarks.gpu_ways import (
    ALONE,
    WAYS,
    Packing,
    Precision,
    Replicate,
    Running,
    Trial,
    alone,
    compiled,
    graded,
    graphs_on_streams,
    grouped,
    streams,
    strong,
    vmapped,
)
from benchmarks.pages import machine, table
from benchmarks.rounds import Done, Timed, Turn, Way, preload, take_turns

CHECKED_STEPS: Final = 5
"""Steps after which the weights of packed replicates are compared with those trained alone."""
LIMIT_SECONDS: Final = 420
"""No further table row is begun after this."""
ROUNDS: Final = 5


def prepare(run: Callable[[Trial, int], Running], trial: Trial, inside: int, number: int) -> Turn:
    """Set the device up, take the steps after which weights are compared; then steps by turns.

    inside: replicates in this process.
    """
    settle(trial)
    running = run(trial, number)
    for _ in range(CHECKED_STEPS):
        running.step()
    synchronize(trial)
    mark = " ".join(_hash(weights) for weights in running.weights())

    def turn() -> Done:
        for _ in range(trial.steps):
            running.step()
        synchronize(trial)
        peak = torch.cuda.max_memory_allocated() if trial.device == "cuda" else 0
        return Done(trial.images * inside, mark, peak)

    return turn


def settle(trial: Trial) -> None:
    """One thread, deterministic algorithms, TF32 only where asked: as in the project's engine."""
    torch.set_num_threads(1)
    if trial.device == "cuda":
        torch.use_deterministic_algorithms(mode=True)
        torch.backends.cudnn.benchmark = False
        torch.backends.cuda.matmul.allow_tf32 = trial.precision == "tf32"
        torch.backends.cudnn.allow_tf32 = trial.precision == "tf32"


def synchronize(trial: Trial) -> None:
    """Wait until the device has done what it was asked."""
    if trial.device == "cuda":
        torch.cuda.synchronize()


def _hash(weights: Sequence[Tensor]) -> str:
    digest = hashlib.sha256()
    for value in weights:
        digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _way(name: str, run: Callable[[Trial, int], Running], trial: Trial, *, processes: int) -> Way:
    inside = trial.replicates if run in (streams, graphs_on_streams, grouped, vmapped) else 1
    return Way(
        name=name,
        prepare=partial(prepare, run, trial, inside),
        processes=processes,
    )


class Clock:
    """How long the benchmark may still begin something new."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self._end


def packings(trial: Trial, *, rounds: int, quick: bool, clock: Clock) -> str:
    """Every way beside one replicate alone: speed, memory, and whether weights are the same."""
    rows: list[list[str]] = []
    references = _references(trial)
    for way in WAYS:
        name = f"{trial.kind}, {way.name}" + (f" x {trial.replicates}" if way.packed else "")
        if way.needs_cuda and trial.device != "cuda":
            rows.append([name, "needs CUDA", "", "", ""])
        elif way.run is compiled and quick:
            rows.append([name, "left out of a quick run", "", "", ""])
        elif clock.over:
            rows.append([name, "not reached in time", "", "", ""])
        else:
            rows.append([name, *_measured(way, trial, rounds, references)])
    return table(
        ["bf16, channels_last", "images/s", "times one alone", "GPU memory, GiB", "same weights"],
        rows,
    )


def _measured(way: Packing, trial: Trial, rounds: int, references: Sequence[str]) -> list[str]:
    ways = [
        _way(ALONE, alone, trial, processes=1),
        _way(way.name, way.run, trial, processes=trial.replicates if way.processes else 1),
    ]
    try:
        timed = take_turns(ways, rounds=rounds)
    except RuntimeError as error:
        # what an unknown GPU or version refuses is part of the answer; the rest still runs
        return [f"failed: {str(error).strip().splitlines()[-1][:120]}", "", "", ""]
    return [
        f"{timed.per_second(way.name):,.0f}",
        f"{timed.ratio(way.name, ALONE):.2f}",
        _memory(timed, way.name),
        _agreement(timed, way.name, references),
    ]


def _references(trial: Trial) -> list[str]:
    """Hash of each replicate's weights when it is trained alone."""
    settle(trial)
    found: list[str] = []
    for seed in range(trial.replicates):
        replicate = Replicate(trial, seed)
        for _ in range(CHECKED_STEPS):
            replicate.step()
        found.append(_hash(replicate.weights()))
    return found


def _agreement(timed: Timed, way: str, references: Sequence[str]) -> str:
    marks = " ".join(timed.turns[way][0].marks).split()
    same = sum(a == b for a, b in zip(marks, references, strict=False))
    return f"{same} of {len(marks)}"


def _memory(timed: Timed, way: str) -> str:
    peak = timed.peak_bytes(way)
    return f"{peak / 2**30:.2f}" if peak else "-"


def precisions(trial: Trial, *, rounds: int) -> str:
    """One replicate in each precision and memory format."""
    kinds: list[tuple[Precision, bool]] = [("fp32", False), ("fp32", True), ("bf16", True)]
    if trial.device == "cuda":
        kinds.insert(2, ("tf32", True))
    trials = {
        f"{precision}, {'channels_last' if last else 'NCHW'}": replace(
            trial, precision=precision, channels_last=last
        )
        for precision, last in kinds
    }
    ways = [_way(name, alone, one, processes=1) for name, one in trials.items()]
    timed = take_turns(ways, rounds=rounds)
    base = ways[0].name
    rows = [
        [
            f"{trial.kind}, {way.name}",
            f"{timed.per_second(way.name):,.0f}",
            f"{timed.ratio(way.name, base):.2f}",
            _memory(timed, way.name),
        ]
        for way in ways
    ]
    return table(["one replicate", "images/s", "times", "GPU memory, GiB"], rows)


def augmentation(trial: Trial, *, rounds: int) -> str:
    """What the strongest augmentation of every image takes of a step, its draws included."""
    policies = {"graded": graded}
    if importlib.util.find_spec("pydantic"):
        policies["published strong"] = strong
    ways = [
        _way(ALONE, alone, trial, processes=1),
        *(_way(name, run, trial, processes=1) for name, run in policies.items()),
    ]
    timed = take_turns(ways, rounds=rounds)
    rows = [
        [
            f"{trial.kind}, {name}",
            f"{timed.per_second(ALONE):,.0f}",
            f"{timed.per_second(name):,.0f}",
            f"{100 * (1 - timed.ratio(name, ALONE)):.1f} %",
        ]
        for name in policies
    ]
    if "published strong" not in policies:
        rows.append([f"{trial.kind}, published strong", "needs pydantic", "", ""])
    columns = ["one replicate", "images/s", "augmented, images/s", "augmentation's share of a step"]
    return table(columns, rows)


def hardware(device: str) -> str:
    """Name the GPU and what it is used with, or the processor."""
    if device != "cuda":
        return f"{machine()} (no GPU: shows that it runs, not how fast)"
    found = torch.cuda.get_device_properties(0)
    return (
        f"{found.name}, {found.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}, "
        f"cuDNN {torch.backends.cudnn.version()}; {machine()}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description="Speed of training on one GPU, as tables.",
        epilog="example: python -m benchmarks.gpu > gpu.md",
    )
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run at all?")
    chosen = parser.parse_args()
    if chosen.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no GPU; --device cpu --quick shows that the benchmark runs")
    # cuBLAS reads this when it starts, in the processes that do the work
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    preload("benchmarks.packing")
    clock = Clock(LIMIT_SECONDS)
    rounds = 1 if chosen.quick else ROUNDS
    print(f"{hardware(chosen.device)}; medians of {rounds} rounds in turns.\n", flush=True)
    for trial in _trials(chosen.device, quick=chosen.quick):
        print(packings(trial, rounds=rounds, quick=chosen.quick, clock=clock), "\n", flush=True)
        for part in (precisions, augmentation):
            if clock.over:
                print(f"{trial.kind}, {part.__name__}: not reached in time\n")
            else:
                print(part(trial, rounds=rounds), "\n", flush=True)


def _trials(device: str, *, quick: bool) -> list[Trial]:
    if quick:
        return [
            Trial(kind="ResNet-20", device=device, width=2, side=8, batch=4, steps=1, replicates=2)
        ]
    return [
        Trial(kind="ResNet-18", device=device, width=64, batch=512, steps=60, replicates=4),
        Trial(kind="ResNet-20", device=device, width=16, batch=512, steps=100, replicates=8),
    ]


if __name__ == "__main__":
    main()
