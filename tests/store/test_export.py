"""Exports hold what the store holds, and no text of a study becomes markup, path or YAML."""

from pathlib import Path

import polars as pl
import pytest
import yaml
from synthetic import SyntheticStudy, make_study, publish

from store import database
from store.builder import build
from store.database import Reader, open_reader
from store.design import Design
from store.errors import StoreError
from store.export import export_tables
from store.frames import SHARD_FRAMES
from store.huggingface import export_huggingface
from store.mlflow_runs import experiment_id, export_mlflow, run_id
from store.schema import TABLES, VIEWS
from store.shard import read_table, write_images

TITLE = '<script>alert(1)</script> ---\n- [x](javascript:1): "q" | \'; DROP TABLE model; #'
CLASSES = ["../up", "no", "a: b", "'; --", "<b>", "\n", '"', "null", "{x}", "é"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> SyntheticStudy:
    """A study of two seeds, one with a failed teacher, whose title and class names are odd."""
    folder = tmp_path_factory.mktemp("study")
    made = make_study(
        folder,
        seeds=2,
        strengths=(0, 1),
        arms=("fixed",),
        test_images=20,
        train_images=20,
        failed=[(1, 0)],
        built=False,
    )
    design = Design.model_validate(made.design.model_dump(mode="json") | {"title": TITLE})
    images = pl.read_parquet(next(made.shards.glob("images-*.parquet")))
    names = pl.Series([CLASSES[label] for label in images["label"]])
    shards = folder / "odd"
    name = write_images(shards, images.with_columns(class_name=names))
    for block, shard in enumerate(made.members):
        tables = {frame.name: read_table(shard, frame) for frame in SHARD_FRAMES}
        publish(design, shards, block, name, tables)
    members = [shards / shard.name for shard in made.members]
    build(made.store, design=design, shards=shards, members=members)
    return made


@pytest.fixture
def reader(study: SyntheticStudy):
    with open_reader(study.store) as opened:
        yield opened


def test_tables_are_written_in_parts_and_read_back_whole(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # parts as small as DuckDB makes them: two of predictions at least
    monkeypatch.setattr(database, "_ROWS_AT_ONCE", 100)
    export_tables(reader, tmp_path, as_csv=False)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{name}.parquet" for name in (*(frame.name for frame in TABLES), *VIEWS)
    }
    for name in ("prediction", "attention", "model", "image", "study", "evidence", "confusion"):
        stored = reader.frame(f'SELECT * FROM "{name}"')
        written = pl.read_parquet(tmp_path / f"{name}.parquet")
        assert written.equals(stored), name
        assert written.schema == stored.schema, name


def test_csv_has_one_header_whatever_the_parts(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(database, "_ROWS_AT_ONCE", 100)
    monkeypatch.setattr(Reader, "names", lambda _: ["epoch", "image", "evidence"])
    export_tables(reader, tmp_path, as_csv=True)
    epochs = pl.read_csv(tmp_path / "epoch.csv")
    assert epochs.equals(reader.frame("SELECT * FROM epoch").cast(dict(epochs.schema)))
    images = pl.read_csv(tmp_path / "image.csv", schema_overrides={"class_name": pl.String})
    assert images["class_name"].to_list() == [CLASSES[label] for label in images["label"]]
    assert (tmp_path / "evidence.csv").read_text().startswith("hypothesis,arm,")


def card_of(folder: Path) -> tuple[dict, str]:
    _, head, body = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(head), body


def test_the_hugging_face_card_names_files_that_are_there(reader: Reader, tmp_path: Path):
    export_huggingface(reader, tmp_path / "set")
    head, body = card_of(tmp_path / "set")
    configs = {config["config_name"]: config["data_files"] for config in head["configs"]}
    assert list(configs) == ["predictions", "images", "models", "measures"]
    assert head["configs"][0]["default"] is True
    named = {
        path.relative_to(tmp_path / "set")
        for files in configs.values()
        for entry in files
        for path in (tmp_path / "set").glob(entry["path"])
    }
    there = {p.relative_to(tmp_path / "set") for p in (tmp_path / "set").rglob("*.parquet")}
    assert named == there
    assert "2 seed blocks, 12 models\n(8 teachers, 4 students)" in body
    features = head["dataset_info"][0]["features"]
    images = pl.read_parquet(tmp_path / "set/data/images.parquet")
    assert [feature["name"] for feature in features] == images.columns


def test_hugging_face_predictions_are_the_stores(reader: Reader, tmp_path: Path):
    export_huggingface(reader, tmp_path / "set")
    for split in ("train", "test"):
        files = sorted((tmp_path / "set/data/predictions" / split).iterdir())
        assert [file.name for file in files] == ["block-00000.parquet", "block-00001.parquet"]
        written = pl.concat([pl.read_parquet(file) for file in files])
        stored = reader.frame(
            "SELECT prediction.*, image.label FROM prediction INNER JOIN image "
            "ON prediction.image_id = image.image_id WHERE image.split = ? "
            "ORDER BY model_id, view, prediction.image_id",
            [split],
        )
        assert written.height > 0
        assert written.select(stored.columns).equals(stored)
    images = pl.read_parquet(tmp_path / "set/data/images.parquet")
    assert images["image"].struct.field("bytes").bin.starts_with(b"\x89PNG").all()
    models = pl.read_parquet(tmp_path / "set/data/models.parquet")
    assert models.equals(reader.frame("SELECT * FROM model ORDER BY model_id"))


def test_odd_names_stay_text_in_the_card(reader: Reader, tmp_path: Path):
    export_huggingface(reader, tmp_path / "set")
    head, body = card_of(tmp_path / "set")
    assert head["pretty_name"] == TITLE
    label = head["dataset_info"][0]["features"][2]
    assert label["dtype"]["class_label"]["names"] == {str(n): c for n, c in enumerate(CLASSES)}
    unescaped = body.replace(r"\<", "").replace(r"\[", "").replace(r"\`", "")
    assert "<" not in unescaped
    assert "](" not in unescaped.replace(r"\](", "")
    assert body.startswith("\n# \\<script\\>alert(1)\\</script\\> --- - ")


def test_a_folder_that_holds_something_is_left_alone(reader: Reader, tmp_path: Path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    with pytest.raises(StoreError, match=r"full: exists already"):
        export_huggingface(reader, tmp_path / "full")
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "mine"]
    export_mlflow(reader, tmp_path / "runs")
    with pytest.raises(StoreError, match=r"exists already"):
        export_mlflow(reader, tmp_path / "runs")


def test_an_export_that_fails_leaves_nothing(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("store.huggingface.card", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_huggingface(reader, tmp_path / "set")
    assert list(tmp_path.iterdir()) == []


def test_every_model_is_an_mlflow_run_with_its_params_and_status(reader: Reader, tmp_path: Path):
    experiment = export_mlflow(reader, tmp_path)
    assert experiment == tmp_path / experiment_id("synthetic")
    meta = yaml.safe_load((experiment / "meta.yaml").read_text())
    assert meta["name"] == "synthetic"
    assert meta["experiment_id"] == experiment.name
    assert experiment.name.isdecimal()
    assert (experiment / "tags/mlflow.note.content").read_text() == TITLE
    models = reader.frame("SELECT * FROM model").to_dicts()
    runs = {path.name for path in experiment.iterdir()} - {"meta.yaml", "tags"}
    assert runs == {run_id("synthetic", model["model_id"]) for model in models}
    for model in models:
        run = experiment / run_id("synthetic", model["model_id"])
        meta = yaml.safe_load((run / "meta.yaml").read_text())
        assert meta["run_id"] == meta["run_uuid"] == run.name
        assert meta["status"] == (4 if model["status"] == "failed" else 3)
        assert meta["end_time"] - meta["start_time"] == 3000
        params = {path.name: path.read_text() for path in (run / "params").iterdir()}
        assert params["model_id"] == str(model["model_id"])
        assert ("slot" in params) == (model["slot"] is not None)
        assert all(params[name] == str(model[name]) for name in params)
        reason = run / "tags/failed_because"
        assert (reason.read_text() if reason.exists() else None) == model["reason"]


def test_mlflow_metrics_are_the_measures_and_the_epochs(reader: Reader, tmp_path: Path):
    experiment = export_mlflow(reader, tmp_path)
    measures = reader.frame("SELECT * FROM measures").to_dicts()
    for row in measures:
        run = experiment / run_id("synthetic", row["student_id"])
        for name, value in list(row.items())[8:]:
            file = run / "metrics" / name
            if value is None:
                assert not file.exists()
            else:
                _, text, step = file.read_text().split(" ")
                assert (float(text), int(step)) == (value, 4)
    epochs = reader.frame("SELECT * FROM epoch ORDER BY model_id, epoch")
    for (model,), rows in epochs.group_by("model_id"):
        run = experiment / run_id("synthetic", model)
        for name in ("train_loss", "test_accuracy"):
            lines = (run / f"metrics/epoch_{name}").read_text().splitlines()
            found = [(int(step), float(value)) for _, value, step in map(str.split, lines)]
            assert found == rows.select("epoch", name).drop_nulls().rows()
