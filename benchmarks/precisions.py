"""Does the engine change what a study finds? One study collected twice, compared.

    python -m benchmarks.precisions FIRST SECOND --write docs/benchmarks.md

FIRST and SECOND are folders of results (results/STUDY) of the same study, seeds and images
under two engines. Rounding is a partial reseed: single students differ, and what is to stay are
the findings. So students are compared pair by pair, and the deciding findings side by side.
"""

import argparse
import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from scipy import stats

from benchmarks.pages import machine, table, write_between
from store.database import open_reader

MEASURES: Final = (
    "test_accuracy",
    "generalization_gap",
    "agreement",
    "conditional_mutual_information_bits",
    "attention_iou_adjusted",
)
_KEY: Final = ("block", "condition_id")


def main() -> None:
    """Compare two folders of results; print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--write", type=Path, help="page to write the tables into")
    arguments = parser.parse_args()
    folders = (arguments.first, arguments.second)
    names = [_engine(folder) for folder in folders]
    text = "\n\n".join(
        (
            f"{machine()}. {names[0]} and {names[1]}.",
            _findings(folders, names),
            _students(folders),
        )
    )
    print(text)
    if arguments.write:
        write_between(arguments.write, "precisions", text)


def _engine(folder: Path) -> str:
    with open_reader(folder / "store.duckdb") as reader:
        found = reader.frame("SELECT DISTINCT precision, capability FROM environment")
    if found.height != 1:
        raise SystemExit(f"{folder} was collected by {found.height} engines; one is needed")
    return f"{found['precision'][0]} ({found['capability'][0]})"


def _findings(folders: tuple[Path, Path], names: list[str]) -> str:
    """Deciding findings, one row per outcome: verdict, estimate and interval of both."""
    outcomes: list[dict[tuple[str, str], Any]] = []
    for folder in folders:
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        outcomes.append(
            {
                (finding["hypothesis"], outcome["outcome"]): outcome
                for finding in results["findings"]
                if finding["deciding"]
                for outcome in finding["outcomes"]
            }
        )
    rows = [
        (f"{claim}, {measure.replace('_', ' ')}", _said(found), _said(outcomes[1][claim, measure]))
        for (claim, measure), found in outcomes[0].items()
    ]
    return table(("claim and outcome", *(name.split(" ")[0] for name in names)), rows)


def _said(outcome: Any) -> str:
    interval = outcome["interval_95"]
    return (
        f"{outcome['verdict']}: {outcome['estimate']:.3f} "
        f"({interval['low']:.3f} to {interval['high']:.3f})"
    )


def _students(folders: tuple[Path, Path]) -> str:
    """Students of one seed and condition under both engines, and of two seeds under one."""
    pair = [_measures(folder) for folder in folders]
    joined = pair[0].join(pair[1], on=_KEY, suffix="_second")
    if not joined.height == pair[0].height == pair[1].height:
        raise SystemExit("the two folders do not hold the same students")
    rows = [_row(joined, measure) for measure in MEASURES]
    return table(
        (
            "measure of students",
            "SD between seeds",
            "SD between engines, same seed",
            "mean difference (95 % interval over seeds)",
        ),
        rows,
    )


def _row(joined: pl.DataFrame, measure: str) -> tuple[str, ...]:
    difference = joined.with_columns(change=pl.col(f"{measure}_second") - pl.col(measure))
    # seeds are the replicates: one mean difference each
    means = difference.group_by("block").agg(pl.col("change").mean())["change"].to_numpy()
    half = stats.t.ppf(0.975, len(means) - 1) * means.std(ddof=1) / np.sqrt(len(means))
    spread = joined.group_by("condition_id").agg(pl.col(measure).var())[measure].to_numpy()
    # of one engine, as for seeds: the difference of two has twice the variance
    rounding = np.sqrt((difference["change"].to_numpy() ** 2).mean() / 2)
    return (
        measure.replace("_", " "),
        f"{np.sqrt(spread.mean()):.4f}",
        f"{rounding:.4f}",
        f"{means.mean():+.4f} ({means.mean() - half:+.4f} to {means.mean() + half:+.4f})",
    )


def _measures(folder: Path) -> pl.DataFrame:
    with open_reader(folder / "store.duckdb") as reader:
        return reader.frame("SELECT * FROM measures").select(*_KEY, *MEASURES)


if __name__ == "__main__":
    main()
