"""Runs that other software trained: what is accepted, what is refused and in which words."""

import json
import re
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from store_file import answered

from store.adopt import adopt, check
from store.builder import build
from store.database import open_reader
from store.design import Design
from store.doctor import examine
from store.errors import DataError, StudyError
from store.foreign import OPTIONAL, REQUIRED
from store.shard import shard_name
from store.study_file import load_design
from store.vocabulary import level_name

ROOT = Path(__file__).parents[2]
CLASSES, TEST, POOL, SUBSET, SIDE = 3, 20, 30, 12, 2
STUDY = """
study: foreign
title: Numbers of another trainer
study_seed: 3
seeds: 2
dataset:
  kind: foreign
  description: numbers
  classes: 3
  test_size: 20
  train_subset: {size: 12, resample: per_block}
foreign:
  trainer: a trainer
  teacher: a network
  student: a smaller one
  strength: of the greatest dose
  grid: 2
design: {kind: dose_response, strengths: [0, 1], teachers: 2, arms: [fixed], fixed_strength: 0.5}
claims:
  H1: {sesoi: {attention_iou_adjusted: 0.05}}
  H2a: {sesoi: {generalization_gap: 0.01}}
"""
Tables = dict[str, pl.DataFrame]


def study(folder: Path, text: str = STUDY) -> Design:
    path = folder / "foreign.yaml"
    path.write_text(text)
    return load_design(path)


def drawn(design: Design) -> Tables:
    """Draw tables of the contract with the types that pandas and others are likely to write."""
    rng = np.random.default_rng(5)
    plan = design.plan()
    models, predictions, maps, epochs, pairs = [], [], [], [], []
    for seed in range(design.seeds):
        subset = np.sort(rng.permutation(POOL)[:SUBSET])
        for planned in (*plan.teachers, *plan.students):
            name = f"m{seed}.{planned.ordinal}"
            student = planned in plan.students
            models.append(
                {
                    "model": name,
                    "seed": seed,
                    "role": "student" if student else "teacher",
                    "slot": None if student else planned.slot,
                    "arm": str(planned.arm) if student else None,
                    "strength": planned.strength,
                    "teacher_strength": planned.teacher_strength if student else None,
                    "parameters": 10,
                    "epochs": 2,
                    "failure": None,
                    "weights_hash": f"hash of {name}",
                    "train_seconds": 1.5,
                    "finished_at": datetime(2026, 1, 2, 3, 4, 5),
                }
            )
            for view in ("clean", level_name(1)):
                test = list(range(POOL, POOL + TEST))
                predictions += [
                    (name, view, image, rng.normal(size=CLASSES).tolist())
                    for image in ([*subset.tolist(), *test] if view == "clean" else test)
                ]
            for image in range(POOL, POOL + TEST):
                cells = rng.integers(0, 256, SIDE**2).tolist()
                maps.append((name, "clean", image, "cam_label", cells))
            epochs += [(name, epoch, 0.1, 1.0, 0.5, None, None) for epoch in (1, 2)]
        pairs.append((f"m{seed}.0", f"m{seed}.1", 0.25))
    return {
        "images": pl.DataFrame(
            {
                "image_id": range(POOL + TEST),
                "split": ["train"] * POOL + ["test"] * TEST,
                "label": [i % CLASSES for i in range(POOL + TEST)],
            }
        ),
        "models": pl.DataFrame(models),
        "predictions": _table(predictions, ["model", "view", "image_id", "logits"]),
        "attention": _table(maps, ["model", "view", "image_id", "method", "map"]).with_columns(
            pl.col("map").cast(pl.List(pl.UInt8()))
        ),
        "epochs": _table(
            epochs,
            [
                *("model", "epoch", "learning_rate", "train_loss", "train_accuracy"),
                *("test_loss", "test_accuracy"),
            ],
        ),
        "pairs": _table(pairs, ["model_a", "model_b", "cka"]),
    }


def _table(rows: list[tuple[object, ...]], names: list[str]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=names, orient="row")


def written(folder: Path, tables: Tables) -> Path:
    runs = folder / "runs"
    runs.mkdir()
    for name, table in tables.items():
        table.write_parquet(runs / f"{name}.parquet")
    return runs


def members(design: Design, results: Path) -> list[Path]:
    return [
        results / "shards" / shard_name(block, design.shard_key(block))
        for block in range(design.seeds)
    ]


def test_what_is_taken_in_is_in_the_store_as_it_was_written(tmp_path: Path):
    design = study(tmp_path)
    tables = drawn(design)
    results = tmp_path / "results"
    adopt(written(tmp_path, tables), design, results)
    store = results / "store.duckdb"
    build(store, design=design, shards=results / "shards", members=members(design, results))
    assert examine(store, results / "shards", design) == []
    with open_reader(store) as reader:
        found = reader.frame(
            "SELECT view, image_id, predicted, logits FROM prediction WHERE model_id = 1003 "
            "ORDER BY view, image_id"
        )
        maps = reader.frame("SELECT map FROM attention WHERE model_id = 1005 ORDER BY image_id")
        pair = reader.frame("SELECT cka FROM model_pair WHERE model_a = 1000 AND model_b = 1001")
        measures = reader.frame("SELECT * FROM measures ORDER BY student_id")
        halves = reader.frame("SELECT half, count(*) AS n FROM image GROUP BY ALL ORDER BY ALL")
    expected = tables["predictions"].filter(pl.col("model") == "m1.3").sort("view", "image_id")
    assert found["image_id"].to_list() == expected["image_id"].to_list()
    logits = np.array(expected["logits"].to_list())
    np.testing.assert_array_equal(np.array(found["logits"].to_list()), logits.astype(np.float32))
    assert found["predicted"].to_list() == logits.argmax(axis=1).tolist()
    asked = tables["attention"].filter(pl.col("model") == "m1.5").sort("image_id")
    assert maps["map"].to_list() == asked["map"].to_list()
    assert pair["cka"].item() == 0.25
    assert measures.height == 4
    assert measures["generalization_gap"].null_count() == 0
    assert measures["attention_iou"].null_count() == 0
    assert dict(halves.iter_rows()) == {None: POOL, "a": TEST // 2, "b": TEST // 2}


def test_a_second_adoption_of_the_same_runs_changes_nothing(tmp_path: Path):
    design = study(tmp_path)
    runs, results = written(tmp_path, drawn(design)), tmp_path / "results"

    def content() -> dict[str, bytes]:
        files = [path for path in results.rglob("*") if path.is_file()]
        return {str(path): path.read_bytes() for path in files}

    adopt(runs, design, results)
    before = content()
    adopt(runs, design, results)
    assert content() == before
    assert len(list((results / "packs").iterdir())) == 2


def test_columns_of_other_widths_and_fixed_size_lists_are_taken(tmp_path: Path):
    design, tables = study(tmp_path), drawn(study(tmp_path))
    tables["predictions"] = tables["predictions"].with_columns(
        pl.col("logits").cast(pl.Array(pl.Float64(), CLASSES)),
        pl.col("image_id").cast(pl.UInt16()),
        pl.col("model").cast(pl.Categorical()),
    )
    assert check(written(tmp_path, tables), design).answers == len(tables["predictions"])


def test_maps_epochs_and_pairs_may_be_left_out_where_no_claim_needs_them(tmp_path: Path):
    text = re.sub(r"  H1: .*\n", "", STUDY)
    design, tables = study(tmp_path, text), drawn(study(tmp_path))
    runs = written(tmp_path, {name: tables[name] for name in ("images", "models", "predictions")})
    results = tmp_path / "results"
    adopt(runs, design, results)
    store = results / "store.duckdb"
    build(store, design=design, shards=results / "shards", members=members(design, results))
    with open_reader(store) as reader:
        row = reader.frame("SELECT * FROM measures").row(0, named=True)
    assert row["generalization_gap"] is not None
    assert (row["attention_iou"], row["cka"], row["test_accuracy_published"]) == (None, None, None)


def test_a_failed_model_has_no_answers_and_stays_in_the_store(tmp_path: Path):
    design, tables = study(tmp_path), drawn(study(tmp_path))
    lost = pl.col("model") == "m0.4"
    tables["models"] = tables["models"].with_columns(
        failure=pl.when(lost).then(pl.lit("loss is not finite")),
        weights_hash=pl.when(~lost).then("weights_hash"),
    )
    for name in ("predictions", "attention", "epochs"):
        tables[name] = tables[name].filter(~lost)
    results = tmp_path / "results"
    adopt(written(tmp_path, tables), design, results)
    table = pl.read_parquet(members(design, results)[0] / "model.parquet")
    failed = table.filter(pl.col("status") == "failed")
    assert failed.select("model_id", "reason").row(0) == (4, "loss is not finite")


HOSTILE = "'; DROP TABLE model; --</title><script>alert(1)</script>{{ 7 * 7 }}"


def test_hostile_names_and_reasons_stay_text(tmp_path: Path):
    design, tables = study(tmp_path), drawn(study(tmp_path))
    lost = pl.col("model") == "m0.4"
    tables["models"] = tables["models"].with_columns(
        failure=pl.when(lost).then(pl.lit(HOSTILE)),
        weights_hash=pl.when(~lost).then("weights_hash"),
    )
    tables["images"] = tables["images"].with_columns(
        class_name=pl.concat_str(pl.lit(HOSTILE), pl.col("label"))
    )
    for name in ("predictions", "attention", "epochs"):
        tables[name] = tables[name].filter(~lost)
    for name in ("models", "predictions", "attention", "epochs"):
        tables[name] = tables[name].with_columns(model=pl.concat_str(pl.lit(HOSTILE), "model"))
    tables["pairs"] = tables["pairs"].with_columns(
        pl.concat_str(pl.lit(HOSTILE), name).alias(name) for name in ("model_a", "model_b")
    )
    results = tmp_path / "results"
    adopt(written(tmp_path, tables), design, results)
    store = results / "store.duckdb"
    build(store, design=design, shards=results / "shards", members=members(design, results))
    with open_reader(store) as reader:
        reasons = reader.frame("SELECT reason FROM model WHERE status = 'failed'")
        names = reader.frame("SELECT DISTINCT class_name FROM image ORDER BY ALL")
    assert reasons["reason"].to_list() == [HOSTILE]
    assert names["class_name"].to_list() == [f"{HOSTILE}{label}" for label in range(CLASSES)]


def test_a_pickle_in_place_of_a_table_is_no_parquet(tmp_path: Path):
    design = study(tmp_path)
    runs = written(tmp_path, drawn(design))
    for path in runs.iterdir():
        path.write_bytes(b"\x80\x04c__builtin__\neval\n.")
    with pytest.raises(DataError, match=r"images\.parquet: cannot be read as Parquet"):
        check(runs, design)


def _without(table: str, column: str) -> Callable[[Tables], None]:
    def spoil(tables: Tables) -> None:
        tables[table] = tables[table].drop(column)

    return spoil


def _with(table: str, **columns: pl.Expr) -> Callable[[Tables], None]:
    def spoil(tables: Tables) -> None:
        tables[table] = tables[table].with_columns(**columns)

    return spoil


def _but(table: str, left_out: pl.Expr) -> Callable[[Tables], None]:
    def spoil(tables: Tables) -> None:
        tables[table] = tables[table].filter(~left_out)

    return spoil


def _twice(table: str) -> Callable[[Tables], None]:
    def spoil(tables: Tables) -> None:
        tables[table] = pl.concat([tables[table], tables[table].head(1)])

    return spoil


def _gone(table: str) -> Callable[[Tables], None]:
    def spoil(tables: Tables) -> None:
        del tables[table]

    return spoil


def _where(condition: pl.Expr, then: object, column: str) -> pl.Expr:
    return pl.when(condition).then(pl.lit(then)).otherwise(pl.col(column))


NAME, IMAGE = pl.col("model"), pl.col("image_id")
WRONG: dict[str, Callable[[Tables], None]] = {
    r"images\.parquet: missing": _gone("images"),
    r"predictions\.parquet: missing": _gone("predictions"),
    r"attention\.parquet: missing, and H1 cannot be tested": _gone("attention"),
    r"predictions\.parquet: column logits is missing: One number per class": _without(
        "predictions", "logits"
    ),
    r"models\.parquet: column finished_at is missing": _without("models", "finished_at"),
    r"models\.parquet: column colour is none of the contract's; allowed: model, ": _with(
        "models", colour=pl.lit("red")
    ),
    r"models\.parquet: column seed is of type String; the contract has Int32": _with(
        "models", seed=pl.col("seed").cast(pl.String())
    ),
    r"models\.parquet: column strength is empty in 1 rows, the first with model m0\.2": _with(
        "models", strength=pl.when(NAME != "m0.2").then("strength")
    ),
    r"models\.parquet: .*conversion": _with("models", seed=pl.col("seed") + 2**40),
    r"images\.parquet: two rows have image_id 0; each stands once": _twice("images"),
    r"predictions\.parquet: two rows have model m0\.0, view clean, image_id \d+": _twice(
        "predictions"
    ),
    r"images\.parquet: column split is validation with image_id 49; allowed: train \| test": _with(
        "images", split=_where(IMAGE == 49, "validation", "split")
    ),
    r"images\.parquet: column label is 3 with image_id 7; allowed: 0 to 2": _with(
        "images", label=_where(IMAGE == 7, 3, "label")
    ),
    r"images\.parquet: 19 test images; the study declares dataset\.test_size 20": _but(
        "images", IMAGE == 49
    ),
    r"models\.parquet: role is 'judge' of model m0\.0; allowed: teacher \| student": _with(
        "models", role=_where(NAME == "m0.0", "judge", "role")
    ),
    r"models\.parquet: seed is 2 of model m1\.0; the study declares seeds: 2, so 0 to 1": _with(
        "models", seed=_where(NAME == "m1.0", 2, "seed")
    ),
    r"seed 1 needs one teacher of slot 1 and strength 0; found: none": _but(
        "models", NAME == "m1.1"
    ),
    r"seed 0 needs one student of arm fixed, teacher_strength 1 and strength 0\.5; found: none": (
        _with("models", strength=_where(NAME == "m0.5", 0.75, "strength"))
    ),
    r"seed 0 needs one teacher of slot 0 and strength 0; found: m0\.0, m0\.1": _with(
        "models", slot=_where(NAME == "m0.1", 0, "slot")
    ),
    r"model m0\.3 needs a weights_hash, or the failure": _with(
        "models", weights_hash=pl.when(NAME != "m0.3").then("weights_hash")
    ),
    r"predictions\.parquet: model stranger is no model of models\.parquet": _with(
        "predictions", model=_where(NAME == "m0.0", "stranger", "model")
    ),
    r"pairs\.parquet: model_b stranger is no model of": _with("pairs", model_b=pl.lit("stranger")),
    r"pairs\.parquet: model_a m0\.1 and model_b m0\.0 are no teacher": _with(
        "pairs", model_a=pl.col("model_b"), model_b=pl.col("model_a")
    ),
    r"predictions\.parquet: model m1\.4 lacks the clean view of 1 test images, .*image_id 33": _but(
        "predictions", (NAME == "m1.4") & (IMAGE == 33) & (pl.col("view") == "clean")
    ),
    r"model m0\.0 has the clean view of 11 training images; .*train_subset\.size 12": _but(
        "predictions", (NAME == "m0.0") & (IMAGE.first() == IMAGE)
    ),
    r"predictions\.parquet: 2 logits with model m0\.0, .*dataset\.classes 3": _with(
        "predictions", logits=pl.col("logits").list.head(2)
    ),
    r"predictions\.parquet: view foggy with .*allowed: clean, graded-0\.5, graded-1": _with(
        "predictions", view=_where(pl.col("view") == "graded-1", "foggy", "view")
    ),
    r"predictions\.parquet: image_id 1033 .*images\.parquet has no such image": _with(
        "predictions", image_id=_where(IMAGE == 33, 1033, "image_id")
    ),
    r"attention\.parquet: image_id 3 .*has no such image of split test": _with(
        "attention", image_id=_where(IMAGE == 33, 3, "image_id")
    ),
    r"attention\.parquet: a map of another size .*foreign\.grid 2, so 4 cells": _with(
        "attention", map=pl.col("map").list.head(3)
    ),
    r"attention\.parquet: another method .*the study keeps cam_label": _with(
        "attention", method=pl.lit("rollout")
    ),
    r"epochs\.parquet: two rows have model m0\.0, epoch 1": _twice("epochs"),
}


@pytest.mark.parametrize(("message", "spoil"), WRONG.items(), ids=list(WRONG))
def test_what_is_wrong_is_one_line_that_names_the_place_and_nothing_is_written(
    tmp_path: Path, message: str, spoil: Callable[[Tables], None]
):
    design = study(tmp_path)
    tables = drawn(design)
    spoil(tables)
    runs = written(tmp_path, tables)
    with pytest.raises(DataError, match=message) as caught:
        adopt(runs, design, tmp_path / "results")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "results").exists()


def test_models_of_one_seed_that_learned_from_other_images_are_refused(tmp_path: Path):
    design, tables = study(tmp_path), drawn(study(tmp_path))
    rows = tables["predictions"]
    own = rows.filter((NAME == "m0.2") & (IMAGE < POOL))["image_id"]
    other = next(image for image in range(POOL) if image not in own)
    tables["predictions"] = rows.with_columns(
        image_id=_where((NAME == "m0.2") & (own[0] == IMAGE), other, "image_id")
    )
    with pytest.raises(DataError, match=r"models m0\.0 and m0\.2 of seed 0 have other training"):
        check(written(tmp_path, tables), design)


def test_students_without_teachers_and_shared_teachers_are_taken_in(tmp_path: Path):
    text = STUDY.replace("fixed_strength: 0.5}", "fixed_strength: 0.5, control: true}")
    design = study(tmp_path, text + "shared_teachers: {pools: 1}\n")
    tables = drawn(design)
    # teachers that seeds share learned from images of their own
    other = drawn(design.model_copy(update={"seeds": 1}))["predictions"]
    images = other.filter((NAME == "m0.0") & (IMAGE < POOL))["image_id"].sort()
    rows = tables["predictions"]
    of_teachers = NAME.is_in([f"m1.{n}" for n in range(4)]) & (IMAGE < POOL)
    own = rows.filter((NAME == "m1.0") & (IMAGE < POOL))["image_id"].sort()
    moved = dict(zip(own.to_list(), images.to_list(), strict=True))
    tables["predictions"] = rows.with_columns(
        image_id=pl.when(of_teachers).then(IMAGE.replace(moved)).otherwise(IMAGE)
    )
    check(written(tmp_path, tables), design)
    tables["models"] = tables["models"].with_columns(
        teacher_strength=pl.when(pl.col("arm") == "control")
        .then(0.0)
        .otherwise(pl.col("teacher_strength"))
    )
    shutil.rmtree(tmp_path / "runs")
    with pytest.raises(DataError, match=r"arm control and strength 0\.5, without a teacher_str"):
        check(written(tmp_path, tables), design)


def test_models_that_learned_from_a_part_belong_to_a_study_that_declares_it(tmp_path: Path):
    whole = study(tmp_path, STUDY.replace("  train_subset: {size: 12, resample: per_block}\n", ""))
    message = r"clean view of 12 training images; .* no train_subset: all 30 of them"
    with pytest.raises(DataError, match=message):
        check(written(tmp_path, drawn(whole)), whole)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("kind: foreign", "kind: digits"), r"foreign"),
        (("claims:", "engine: {precision: fp32}\nclaims:"), r"engine: not for models that another"),
        (("  trainer: a trainer\n", ""), r"foreign\.trainer: missing"),
    ],
)
def test_a_study_of_foreign_models_says_what_it_is(
    tmp_path: Path, change: tuple[str, str], message: str
):
    with pytest.raises(StudyError, match=message):
        study(tmp_path, STUDY.replace(*change))


def test_a_study_that_trains_its_models_adopts_none(tmp_path: Path):
    with pytest.raises(DataError, match=r"digits: its models are trained here; .*docs/foreign.md"):
        check(tmp_path, load_design(ROOT / "config" / "digits.yaml"))


def test_the_command_checks_takes_in_and_says_how_to_go_on(tmp_path: Path):
    design = study(tmp_path)
    runs = written(tmp_path, drawn(design))
    results = tmp_path / "results"
    words = ["adopt", str(runs), "--study", str(tmp_path / "foreign.yaml")]
    words += ["--results", str(results)]

    checked = f"{runs}: 2 seeds, 12 models, 624 answers: as the study declares them\n"
    assert answered(*words, "--check") == checked
    assert not results.exists()
    assert "go on with snakemake --cores all --config study=" in answered(*words)
    pack = json.loads((results / "packs" / "00001.json").read_text())
    assert [entry["block"] for entry in pack["blocks"]] == [1]


def test_the_page_describes_every_column_of_the_contract():
    page = (ROOT / "docs" / "foreign.md").read_text(encoding="utf-8")
    for frame in (*REQUIRED, *OPTIONAL):
        part = page.partition(f"### {frame.name}.parquet\n")[2].partition("\n### ")[0]
        described = re.findall(r"^\| `(\w+)` \|", part, flags=re.MULTILINE)
        assert described == frame.schema.names(), frame.name
