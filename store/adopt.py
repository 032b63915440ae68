"""Take in runs that other software trained: check them against the contract, write their shards.

After that the store, the analysis and the report are those of any study.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from store.design import TRAINING_PROTOCOL, Design
from store.errors import DataError
from store.foreign import (
    EPOCHS,
    IMAGES,
    MAPS,
    PAIRS,
    PREDICTIONS,
    collected,
    keyed,
    scan,
)
from store.foreign_runs import ForeignRuns, members_of, opened
from store.frame import Frame
from store.frames import ATTENTION, EPOCH, IMAGE, MODEL, MODEL_PAIR, PREDICTION
from store.packing import packing_of
from store.plan import Student, model_id, planned_row
from store.shard import Environment, Manifest, write_images, write_pack, write_shard
from store.vocabulary import (
    CLEAN_VIEW,
    Half,
    Role,
    Split,
    Status,
)

_UNTOLD: Final = "not told"


@dataclass(frozen=True, slots=True)
class Adopted:
    """What was taken in. manifests: of every shard, by block. seen: models and answers."""

    manifests: tuple[Manifest, ...]
    models: int
    answers: int


def adopt(folder: Path, design: Design, results: Path) -> Adopted:
    """Write shards and packs of a study of the runs in a folder.

    results: the study's results folder. Shards that are there already are left alone.

    Raises DataError where the runs are not of the contract or not those that the study declares;
    nothing is written then.
    """
    runs = opened(folder, design)
    # the first pass finds what is wrong, so that nothing is written of half a study
    answers = sum(_tables(runs, block)[PREDICTION.name].height for block in range(design.seeds))
    images = write_images(results / "shards", _image_rows(runs))
    manifests = tuple(
        write_shard(
            results / "shards",
            study=design.study,
            block=block,
            key=design.shard_key(block),
            protocol=TRAINING_PROTOCOL,
            images=images,
            tables=_tables(runs, block),
            environment=_environment(runs, block),
        )
        for block in range(design.seeds)
    )
    packing = packing_of(design, results)
    for pack in range(packing.packs):
        write_pack(results, pack, [manifests[block] for block in packing.blocks_of(pack)])
    return Adopted(manifests=manifests, models=runs.models.height, answers=answers)


def check(folder: Path, design: Design) -> Adopted:
    """Check runs as ``adopt`` does, and write nothing."""
    runs = opened(folder, design)
    answers = sum(_tables(runs, block)[PREDICTION.name].height for block in range(design.seeds))
    return Adopted(manifests=(), models=runs.models.height, answers=answers)


def _tables(runs: ForeignRuns, block: int) -> dict[str, pl.DataFrame]:
    """Read one block as a shard's tables."""
    members = members_of(runs, block)
    ids = pl.DataFrame(
        {
            "model": [row["model"] for row in members.values()],
            "model_id": [model_id(block, ordinal) for ordinal in members],
        },
        schema={"model": pl.String(), "model_id": pl.Int32()},
    )
    return {
        MODEL.name: _model_rows(runs, block, members),
        MODEL_PAIR.name: _pair_rows(runs, block, ids),
        PREDICTION.name: _prediction_rows(runs, block, members, ids),
        ATTENTION.name: _attention_rows(runs, ids),
        EPOCH.name: _of_block(runs, EPOCHS, ids).select(EPOCH.schema.names()),
    }


def _of_block(runs: ForeignRuns, frame: Frame, ids: pl.DataFrame) -> pl.DataFrame:
    """Rows of a block's models, with model_id; none where there is no such file."""
    if not runs.has(frame):
        schema = {**frame.schema, "model_id": pl.Int32()}
        return pl.DataFrame(schema=schema)
    rows = scan(runs.folder, frame).filter(pl.col("model").is_in(ids["model"].implode()))
    return collected(rows, runs.path(frame), frame).join(ids, on="model")


def _model_rows(runs: ForeignRuns, block: int, members: dict[int, dict[str, Any]]) -> pl.DataFrame:
    plan = runs.design.plan()
    rows: list[dict[str, object]] = []
    for planned in (*plan.teachers, *plan.students):
        row = members[planned.ordinal]
        own = isinstance(planned, Student)
        rows.append(
            {
                **planned_row(block, planned, view=runs.design.level(planned.strength)),
                "network": runs.foreign.student if own else runs.foreign.teacher,
                "parameters": row["parameters"],
                "epochs": row["epochs"],
                "status": str(Status.COMPLETE if row["failure"] is None else Status.FAILED),
                "reason": row["failure"],
                "weights_hash": row["weights_hash"],
                "train_seconds": row["train_seconds"],
                "finished_at": row["finished_at"],
            }
        )
    return pl.DataFrame(rows, schema=MODEL.schema)


def _pair_rows(runs: ForeignRuns, block: int, ids: pl.DataFrame) -> pl.DataFrame:
    """Rows of the planned pairs, with the similarity of those that the runs tell."""
    kinds, first = runs.design.plan().pairs(), model_id(block, 0)
    alike: dict[tuple[int, int], float | None] = {}
    if runs.has(PAIRS):
        rows = collected(scan(runs.folder, PAIRS), runs.path(PAIRS), PAIRS)
        place = dict(ids.iter_rows())
        for one, other, cka in rows.iter_rows():
            if one in place and other in place:
                alike[place[one] - first, place[other] - first] = cka
        stray = sorted(set(alike) - set(kinds))
        if stray:
            names = dict(zip(ids["model_id"], ids["model"], strict=True))
            one, other = (names[first + ordinal] for ordinal in stray[0])
            raise DataError(
                f"{runs.path(PAIRS)}: model_a {one} and model_b {other} are no teacher and another "
                "of its ensemble, or a student of it"
            )
    return pl.DataFrame(
        [(first + a, first + b, str(kind), alike.get((a, b))) for (a, b), kind in kinds.items()],
        schema=MODEL_PAIR.schema,
        orient="row",
    )


def _prediction_rows(
    runs: ForeignRuns, block: int, members: dict[int, dict[str, Any]], ids: pl.DataFrame
) -> pl.DataFrame:
    path = runs.path(PREDICTIONS)
    rows = _of_block(runs, PREDICTIONS, ids)
    _check_places(runs, PREDICTIONS, rows, runs.images["image_id"])
    wrong = rows.filter(pl.col("logits").list.len() != runs.data.classes)
    if wrong.height:
        raise DataError(
            f"{path}: {wrong['logits'].list.len()[0]} logits with {keyed(wrong, PREDICTIONS)}; "
            f"the study declares dataset.classes {runs.data.classes}"
        )
    trained: dict[str, pl.Series] = {}
    for member in members.values():
        name = member["model"]
        clean = rows.filter((pl.col("model") == name) & (pl.col("view") == CLEAN_VIEW))["image_id"]
        if member["failure"] is not None:
            if (rows["model"] == name).any():
                raise DataError(f"{path}: model {name} failed and has predictions; it has none")
            continue
        missing = set(runs.test) - set(clean)
        if missing:
            raise DataError(
                f"{path}: model {name} lacks the clean view of {len(missing)} test images, the "
                f"first with image_id {min(missing)}"
            )
        trained[name] = clean.filter(clean.is_in(runs.train.implode())).sort()
    _check_trained(runs, block, trained)
    return _with_classes(rows)


def _check_trained(runs: ForeignRuns, block: int, trained: dict[str, pl.Series]) -> None:
    """Models of one block must have learned from the same images, as many as declared.

    Teachers that seeds share have images of their own.
    """
    path, subset = runs.path(PREDICTIONS), runs.data.train_subset
    size = len(runs.train) if subset is None else subset.size
    declared = (
        f"dataset.train_subset.size {size}" if subset else f"no train_subset: all {size} of them"
    )
    apart = runs.design.shared_teachers is not None
    teachers = set(runs.models.filter(pl.col("role") == Role.TEACHER)["model"].to_list())
    for name, images in trained.items():
        if len(images) != size:
            raise DataError(
                f"{path}: model {name} has the clean view of {len(images)} training images; the "
                f"study declares {declared}, those that it learned from"
            )
        alike = (
            other for other in trained if not apart or (other in teachers) == (name in teachers)
        )
        first = next(alike)
        if not images.equals(trained[first]):
            raise DataError(
                f"{path}: models {first} and {name} of seed {block} have other training images; "
                "models of one seed learn from the same"
            )


def _with_classes(rows: pl.DataFrame) -> pl.DataFrame:
    """Add the class with the largest logit, the first where several are; NULL if not finite."""
    if not rows.height:
        return pl.DataFrame(schema=PREDICTION.schema)
    logits = rows["logits"].explode().to_numpy().reshape(rows.height, -1)
    finite = np.logical_and.reduce(np.isfinite(logits), axis=1)
    best = np.where(np.isnan(logits), -np.inf, logits).argmax(axis=1)
    return rows.with_columns(
        predicted=pl.select(
            pl.when(pl.Series(finite)).then(pl.Series(best.astype(np.int32)))
        ).to_series()
    ).select(PREDICTION.schema.names())


def _attention_rows(runs: ForeignRuns, ids: pl.DataFrame) -> pl.DataFrame:
    path = runs.path(MAPS)
    rows = _of_block(runs, MAPS, ids)
    _check_places(runs, MAPS, rows, runs.test)
    cells = runs.foreign.grid**2
    kept = [str(method) for method in runs.design.attention.kept]
    for what, wrong, allowed in (
        (
            "a map of another size",
            pl.col("map").is_not_null() & (pl.col("map").list.len() != cells),
            f"the study declares foreign.grid {runs.foreign.grid}, so {cells} cells",
        ),
        ("another method", ~pl.col("method").is_in(kept), f"the study keeps {', '.join(kept)}"),
    ):
        found = rows.filter(wrong)
        if found.height:
            raise DataError(f"{path}: {what} with {keyed(found, MAPS)}; {allowed}")
    return rows.select(ATTENTION.schema.names())


def _check_places(runs: ForeignRuns, frame: Frame, rows: pl.DataFrame, images: pl.Series) -> None:
    """Refuse views and images that there are none of."""
    views = [CLEAN_VIEW, *runs.design.views()]
    for column, allowed, words in (
        ("view", pl.col("view").is_in(views), f"allowed: {', '.join(dict.fromkeys(views))}"),
        (
            "image_id",
            pl.col("image_id").is_in(images.implode()),
            f"{runs.path(IMAGES).name} has no such image"
            + (" of split test" if frame is MAPS else ""),
        ),
    ):
        lost = rows.filter(~allowed)
        if lost.height:
            raise DataError(
                f"{runs.path(frame)}: {column} {lost[column][0]} with {keyed(lost, frame)}: {words}"
            )


def _image_rows(runs: ForeignRuns) -> pl.DataFrame:
    """Table IMAGE: the contract's, test images split into halves by the study's seed."""
    test = runs.test.sort().to_list()
    drawn = np.random.default_rng([runs.design.study_seed, len(test)]).permutation(len(test))
    halves = {
        test[place]: str(Half.A if rank < len(test) // 2 else Half.B)
        for rank, place in enumerate(drawn)
    }
    half = [halves.get(image) for image in runs.images["image_id"]]
    return runs.images.with_columns(
        class_name=pl.coalesce("class_name", pl.col("label").cast(pl.String())),
        half=pl.Series(half, dtype=pl.String()),
        png=pl.when(pl.col("split") == str(Split.TEST)).then(pl.col("png")),
    ).select(IMAGE.schema.names())


def _environment(runs: ForeignRuns, block: int) -> Environment:
    """Say what the runs tell of where they were trained: the trainer, the times."""
    mine = runs.models.filter(pl.col("seed") == block)
    ended: list[datetime] = mine["finished_at"].to_list()
    taken: list[float] = mine["train_seconds"].to_list()
    started = min(end - timedelta(seconds=s) for end, s in zip(ended, taken, strict=True))
    untold = dict.fromkeys(_told_of_own(), _UNTOLD)
    return Environment.model_validate(
        untold
        | {
            "commit": runs.foreign.trainer,
            "gpu": None,
            "threads": 0,
            "process": 0,
            "started_at": started.isoformat(),
            "finished_at": max(ended).isoformat(),
            "seconds": sum(taken),
        }
    )


def _told_of_own() -> Iterator[str]:
    """Names of the texts that an environment holds of runs that this software trains."""
    for name, field in Environment.model_fields.items():
        if field.annotation is str:
            yield name
