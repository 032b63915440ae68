"""Predictions as a data set in the Hugging Face layout, which ``datasets`` loads as it stands.

A folder with a card (README.md) whose YAML head names the configurations, and Parquet files:
``predictions`` (splits train and test, one file per seed block), ``images`` (the test images),
``models`` and ``measures``.
"""

import math
from pathlib import Path
from typing import Any, Final

import yaml

from store.atomic import whole_folder
from store.database import Reader
from store.errors import StoreError
from store.export import write_parquet
from store.show import as_markdown
from store.vocabulary import MODELS_PER_BLOCK_LIMIT, Split

_PREDICTIONS: Final = """
SELECT
    model.block, prediction.model_id, model.role, model.arm, model.strength,
    model.teacher_strength, prediction.view, prediction.image_id, image.label,
    prediction.predicted, prediction.logits
FROM prediction
INNER JOIN model ON prediction.model_id = model.model_id
INNER JOIN image ON prediction.image_id = image.image_id
WHERE prediction.model_id >= ? AND prediction.model_id < ? AND image.split = ?
ORDER BY prediction.model_id, prediction.view, prediction.image_id
"""
_IMAGES: Final = """
SELECT image_id, {'bytes': png, 'path': NULL::VARCHAR} AS image, label, class_name, half
FROM image WHERE split = 'test' ORDER BY image_id
"""
_MODELS: Final = "SELECT * FROM model ORDER BY model_id"
_MEASURES: Final = "SELECT * FROM measures ORDER BY student_id"

_BODY: Final = """\

# {title}

Replicates of the knowledge-distillation study `{study}`: {seeds} seed blocks, {models} models
({teachers} teachers, {students} students), and what each said of every image it was shown.

| configuration | one row is |
| --- | --- |
| `predictions` (splits `train`, `test`) | one model's answer to one view of one image: its logits |
| `images` | one test image, as the networks see it before standardization |
| `models` | one trained network |
| `measures` | one student, with every measure of it |

The seed block (`block`) is the replicate; images are not. `predicted` is the class of the largest
logit and NULL where the logits are not finite. Models whose training failed stand in `models`
with their reason, and answer nothing.

Declared by study hash `{study_hash}`. Exported from a store of
kd-evidence; what is not here (attention maps, learning curves, findings) is in the store.

## Columns of `predictions`

| column | meaning |
| --- | --- |
{columns}

## Columns of `measures`

| column | meaning |
| --- | --- |
{measures}
"""


class _OneLine(yaml.SafeDumper):
    """Writes every text in one line, so that none can look like the end of the card's head."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = None if text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_OneLine.add_representer(str, _represent_text)


def export_huggingface(reader: Reader, folder: Path) -> None:
    """Write the data set's folder, whole or not at all.

    Raises StoreError where there is something at that place already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StoreError(f"{folder}: exists already; name another folder, or delete it")
    blocks = reader.frame("SELECT block FROM shard ORDER BY block")["block"].to_list()
    with whole_folder(folder) as temporary:
        data = temporary / "data"
        for split in Split:
            for block in blocks:
                first = block * MODELS_PER_BLOCK_LIMIT
                parts = reader.frames(
                    _PREDICTIONS, [first, first + MODELS_PER_BLOCK_LIMIT, str(split)]
                )
                write_parquet(data / "predictions" / split / f"block-{block:05d}.parquet", parts)
        for name, sql in (("images", _IMAGES), ("models", _MODELS), ("measures", _MEASURES)):
            write_parquet(data / f"{name}.parquet", reader.frames(sql))
        (temporary / "README.md").write_text(card(reader), encoding="utf-8")


def card(reader: Reader) -> str:
    """Return the data set's card: YAML that ``datasets`` reads, then Markdown."""
    study = reader.frame("SELECT study, title, study_hash FROM study").row(0, named=True)
    counts = reader.frame(
        "SELECT count(DISTINCT block) AS seeds, count(*) AS models, "
        "count(*) FILTER (WHERE role = 'teacher') AS teachers, "
        "count(*) FILTER (WHERE role = 'student') AS students FROM model"
    ).row(0, named=True)
    head = yaml.dump(
        _head(reader, study["title"]),
        Dumper=_OneLine,
        sort_keys=False,
        allow_unicode=True,
        width=math.inf,
    )
    body = _BODY.format(
        title=as_markdown(study["title"]),
        study=study["study"],
        study_hash=study["study_hash"],
        columns=_meanings(reader, ("prediction", "model", "image"), _columns_of(_PREDICTIONS)),
        measures=_meanings(
            reader, ("measures",), reader.frame(f"FROM ({_MEASURES}) LIMIT 0").columns
        ),
        **counts,
    )
    return f"---\n{head}---\n{body}"


def _head(reader: Reader, title: str) -> dict[str, Any]:
    files = {
        split: f"data/predictions/{split}/*.parquet" for split in (str(split) for split in Split)
    }
    tables = [
        {"config_name": name, "data_files": [{"split": split, "path": f"data/{name}.parquet"}]}
        for name, split in (("images", "test"), ("models", "train"), ("measures", "train"))
    ]
    return {
        "pretty_name": title,
        "tags": ["knowledge-distillation"],
        "configs": [
            {
                "config_name": "predictions",
                "default": True,
                "data_files": [{"split": split, "path": path} for split, path in files.items()],
            },
            *tables,
        ],
        "dataset_info": [{"config_name": "images", "features": _image_features(reader)}],
    }


def _image_features(reader: Reader) -> list[dict[str, Any]]:
    """Declare that pictures are pictures, and labels have names where these are distinct."""
    classes = reader.frame("SELECT DISTINCT label, class_name FROM image ORDER BY label")
    names = classes["class_name"].to_list()
    named = len(set(names)) == len(names) and classes["label"].to_list() == [*range(len(names))]
    label: object = (
        {"class_label": {"names": {str(place): name for place, name in enumerate(names)}}}
        if named
        else "int32"
    )
    return [
        {"name": "image_id", "dtype": "int32"},
        {"name": "image", "dtype": "image"},
        {"name": "label", "dtype": label},
        {"name": "class_name", "dtype": "string"},
        {"name": "half", "dtype": "string"},
    ]


def _columns_of(sql: str) -> list[str]:
    selected = sql.partition("SELECT")[2].partition("FROM")[0]
    return [column.strip().rpartition(".")[2] for column in selected.split(",")]


def _meanings(reader: Reader, tables: tuple[str, ...], columns: list[str]) -> str:
    comments = reader.frame(
        "SELECT column_name, any_value(comment ORDER BY list_position(?, table_name)) "
        "FROM duckdb_columns() WHERE list_contains(?, table_name) GROUP BY column_name",
        [list(tables), list(tables)],
    )
    meaning = dict(comments.iter_rows())
    return "\n".join(f"| `{name}` | {as_markdown(meaning[name])} |" for name in columns)
