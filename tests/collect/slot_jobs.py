"""A head that starts jobs, each of which takes a GPU for a moment: real processes, no training.

    python slot_jobs.py RECORD [--gpus 0,1] [--jobs 67] [--at-once 12] [--seconds 0.01]

Without --gpus it asks the environment, as a job of the workflow does.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from collect.slots import given_by_slurm, gpu_slot, visible_gpus


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("record", type=Path)
    parser.add_argument("--gpus")
    parser.add_argument("--per-gpu", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.01)
    options = parser.parse_args()
    alive = failed = 0
    for _ in range(options.jobs):
        if alive == options.at_once:
            failed += bool(os.wait()[1])
            alive -= 1
        if os.fork() == 0:
            _job(options)
        alive += 1
    for _ in range(alive):
        failed += bool(os.wait()[1])
    return 1 if failed else 0


def _job(options: argparse.Namespace) -> None:
    """Do one job in this process and end it."""
    gpus = options.gpus.split(",") if options.gpus else visible_gpus(os.environ)
    exclusive = not options.gpus and given_by_slurm(os.environ)
    with gpu_slot(
        gpus, per_gpu=options.per_gpu, exclusive=exclusive, record=options.record
    ) as slot:
        assert slot is not None
        assert os.environ["CUDA_VISIBLE_DEVICES"] == slot.gpu
        time.sleep(options.seconds)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
