"""Seeded ways to corrupt a study's files, and what doctor has to say of each.

Each is done to a finished study; ``named`` is a pattern that one of doctor's faults must match.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
from synthetic import SyntheticStudy, publish

from store.frames import SHARD_FRAMES
from store.job import update_store
from store.shard import file_hash, read_manifest, read_table, write_images

Generator = np.random.Generator
FRAMES = tuple(frame.name for frame in SHARD_FRAMES)


@dataclass(frozen=True, slots=True)
class Corruption:
    name: str
    named: str
    apply: Callable[[SyntheticStudy, Generator], None]


def finish(study: SyntheticStudy) -> None:
    """Do what snakemake does once all blocks are trained: build the store, write its ledger."""
    update_store(
        study.study_file,
        packs=study.packs,
        store=study.store,
        ledger=study.results / "ledger.json",
    )


def flip_bit(path: Path, generator: Generator) -> None:
    content = bytearray(path.read_bytes())
    content[int(generator.integers(len(content)))] ^= 1 << int(generator.integers(8))
    path.write_bytes(content)


def truncate(path: Path, generator: Generator) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(generator.integers(len(content)))])


def _one(study: SyntheticStudy, generator: Generator) -> Path:
    return study.members[int(generator.integers(len(study.members)))]


def _table(name: str, harm: Callable[[Path, Generator], None]):
    def apply(study: SyntheticStudy, generator: Generator) -> None:
        harm(_one(study, generator) / f"{name}.parquet", generator)

    return apply


def _sql(*statements: str):
    """Change the store itself; {block}, {model} and {image} are drawn."""

    def apply(study: SyntheticStudy, generator: Generator) -> None:
        block = int(generator.integers(study.design.seeds))
        places = {
            "block": block,
            "model": 1000 * block + int(generator.integers(study.design.plan().size)),
            "student": 1000 * block + study.design.plan().students[0].ordinal,
            "image": 60 + int(generator.integers(study.design.dataset.test_size)),
        }
        with duckdb.connect(str(study.store)) as connection:
            for statement in statements:
                connection.execute(statement.format(**places))

    return apply


def _manifest(change: Callable[[dict], None]):
    def apply(study: SyntheticStudy, generator: Generator) -> None:
        path = _one(study, generator) / "manifest.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return apply


def _missing(pick: Callable[[SyntheticStudy, Generator], Path]):
    def apply(study: SyntheticStudy, generator: Generator) -> None:
        path = pick(study, generator)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()

    return apply


def _images(study: SyntheticStudy, generator: Generator | None = None) -> Path:
    return next(study.shards.glob("images-*.parquet"))


def _swap(study: SyntheticStudy, generator: Generator) -> None:
    one, other = study.members[:2]
    aside = study.shards / "aside"
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def _swap_tables(study: SyntheticStudy, generator: Generator) -> None:
    name = f"{FRAMES[int(generator.integers(len(FRAMES)))]}.parquet"
    one, other = (shard / name for shard in study.members[:2])
    first = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(first)


def _forge(study: SyntheticStudy, generator: Generator) -> None:
    """Change a table and the hash of its bytes, but not of its content."""
    shard = _one(study, generator)
    path = shard / "epoch.parquet"
    pl.read_parquet(path).with_columns(train_loss=pl.lit(0.5)).write_parquet(path)
    content = json.loads((shard / "manifest.json").read_text())
    content["files"]["epoch"]["sha256"] = file_hash(path)
    (shard / "manifest.json").write_text(json.dumps(content))


def _rewritten(study: SyntheticStudy, generator: Generator) -> None:
    """Another shard, sound in itself, in the place of the one that was taken in."""
    shard = _one(study, generator)
    manifest = read_manifest(shard)
    tables = {frame.name: read_table(shard, frame) for frame in SHARD_FRAMES}
    tables["epoch"] = tables["epoch"].with_columns(train_loss=pl.lit(0.5))
    shutil.rmtree(shard)
    publish(study.design, study.shards, manifest.block, manifest.images, tables)


def _other_images(study: SyntheticStudy, generator: Generator) -> None:
    """An images file of other content under the name of the study's."""
    path = _images(study)
    images = pl.read_parquet(path)
    other = images.with_columns(label=(pl.col("label") + 1) % 10)
    name = write_images(study.shards, other)
    (study.shards / name).replace(path)


def _stale_pack(study: SyntheticStudy, generator: Generator) -> None:
    path = study.packs[int(generator.integers(len(study.packs)))]
    content = json.loads(path.read_text())
    content["blocks"][0]["content"] = "0" * 64
    path.write_text(json.dumps(content))


def _pack(harm: Callable[[Path, Generator], None]):
    def apply(study: SyntheticStudy, generator: Generator) -> None:
        harm(study.packs[int(generator.integers(len(study.packs)))], generator)

    return apply


def _write(text: str):
    def harm(path: Path, generator: Generator) -> None:
        path.write_text(text)

    return harm


def _ledger_file(old: str, new: str):
    def apply(study: SyntheticStudy, generator: Generator) -> None:
        path = study.results / "ledger.json"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return apply


def _leave(place: Callable[[SyntheticStudy], Path], *, folder: bool = False):
    def apply(study: SyntheticStudy, generator: Generator) -> None:
        path = place(study)
        path.parent.mkdir(parents=True, exist_ok=True)
        if folder:
            shutil.copytree(study.members[0], path)
        else:
            path.write_bytes(generator.bytes(100))

    return apply


def _set(*keys: str, value: object):
    def change(content: dict) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return change


def _declared(old: str, new: str):
    """Change the declaration that the store keeps."""
    return _sql(
        f"UPDATE study SET declaration = replace(declaration, '\"{old}', '\"{new}')",
    )


CORRUPTIONS = (
    # the shards' files
    *(
        Corruption(f"a flipped bit in {name}.parquet", rf"{name}\.parquet", _table(name, flip_bit))
        for name in FRAMES
    ),
    *(
        Corruption(f"{name}.parquet cut short", rf"{name}\.parquet", _table(name, truncate))
        for name in FRAMES
    ),
    Corruption(
        "a missing table",
        r"epoch\.parquet: No such file",
        _missing(lambda study, generator: _one(study, generator) / "epoch.parquet"),
    ),
    Corruption("a missing shard", r"block-0000\d-\w+: missing", _missing(_one)),
    Corruption(
        "a missing manifest",
        r"manifest\.json: not a manifest",
        _missing(lambda study, generator: _one(study, generator) / "manifest.json"),
    ),
    Corruption(
        "a manifest cut short",
        r"manifest\.json: not a manifest",
        lambda study, generator: truncate(_one(study, generator) / "manifest.json", generator),
    ),
    Corruption(
        "a manifest of another block", r"its manifest|is block 7", _manifest(_set("block", value=7))
    ),
    Corruption(
        "a manifest of another study",
        r"with key f{16}",
        _manifest(_set("key", value="f" * 16)),
    ),
    Corruption(
        "a manifest of another protocol",
        r"training protocol 0",
        _manifest(_set("protocol", value=0)),
    ),
    Corruption(
        "a manifest with another content",
        r"its manifest contradicts itself",
        _manifest(_set("content", value="0" * 64)),
    ),
    Corruption(
        "a manifest with another number of rows",
        r"epoch\.parquet: not the content of its manifest",
        _manifest(_set("files", "epoch", "rows", value=3)),
    ),
    Corruption(
        "a manifest that names another commit",
        r"its manifest names another environment",
        _manifest(_set("environment", "commit", value="f" * 40)),
    ),
    Corruption(
        "a manifest without a commit",
        r"its manifest names another environment",
        _manifest(_set("environment", "commit", value="")),
    ),
    Corruption(
        "a manifest that names other images",
        r"its manifest names the images images-0000",
        _manifest(_set("images", value="images-0000000000000000.parquet")),
    ),
    Corruption("two shards swapped", r"its manifest is of block [01] with key", _swap),
    Corruption("two shards' tables swapped", r"\.parquet is damaged", _swap_tables),
    Corruption("a table changed with its hash", r"epoch\.parquet: not the content", _forge),
    Corruption("another shard in a block's place", r"the store took in", _rewritten),
    Corruption(
        "a file too many in a shard",
        r"holds notes\.txt, which no shard has",
        lambda study, generator: (_one(study, generator) / "notes.txt").write_text("x"),
    ),
    # images
    Corruption(
        "a flipped bit in the images",
        r"images-\w+\.parquet",
        lambda study, generator: flip_bit(_images(study), generator),
    ),
    Corruption(
        "images cut short",
        r"images-\w+\.parquet: cannot be read",
        lambda study, generator: truncate(_images(study), generator),
    ),
    Corruption("missing images", r"images-\w+\.parquet: cannot be read", _missing(_images)),
    Corruption(
        "other images under the same name", r"images-\w+\.parquet is damaged", _other_images
    ),
    # packs and the ledger file
    Corruption("a stale pack", r"packs/0000\d\.json: names other", _stale_pack),
    Corruption("a pack that is no pack", r"packs/0000\d\.json: not a pack", _pack(_write("{}"))),
    Corruption(
        "a missing pack",
        r"packs/00000\.json: missing",
        _missing(lambda study, generator: study.packs[0]),
    ),
    Corruption(
        "a stale ledger file", r"ledger\.json: not what", _ledger_file('"block": 0', '"block": 9')
    ),
    Corruption(
        "a ledger file of another tau",
        r"ledger\.json: not what",
        _ledger_file('"tau": 0.', '"tau": 0.9'),
    ),
    # what killed jobs leave
    Corruption(
        "an unfinished shard",
        r"\.block-00001\.unfinished: left by a killed job",
        _leave(lambda study: study.shards / ".block-00001.unfinished", folder=True),
    ),
    Corruption(
        "an unfinished build",
        r"store\.duckdb\.next: left by a killed job",
        _leave(lambda study: study.results / "store.duckdb.next"),
    ),
    Corruption(
        "half a copy of the store",
        r"store\.duckdb\.recording\.part: left by a killed job",
        _leave(lambda study: study.results / "store.duckdb.recording.part"),
    ),
    Corruption(
        "checkpoints of a published block",
        r"scratch/block-00000-\w+: left by a killed job",
        _leave(
            lambda study: study.results / "scratch" / study.members[0].name / "model.safetensors"
        ),
    ),
    # the store: rows
    Corruption(
        "a row deleted",
        r"prediction: the \d+ rows of block",
        _sql("DELETE FROM stored_prediction WHERE model_id = {model} AND image_id = {image}"),
    ),
    Corruption(
        "a block's predictions deleted",
        r"has 0 clean test predictions",
        _sql("DELETE FROM stored_prediction WHERE model_id // 1000 = {block}"),
    ),
    Corruption(
        "rows doubled",
        r"epoch: \d+ keys \(model_id, epoch\) stand more than once",
        _sql("INSERT INTO epoch SELECT * FROM epoch WHERE model_id = {model}"),
    ),
    Corruption(
        "a model deleted",
        r"prediction\.model_id: 1 values are not in model",
        _sql("DELETE FROM model WHERE model_id = {model}"),
    ),
    Corruption(
        "answers of a model that is not there",
        r"prediction\.model_id: 1 values are not in model\.model_id, the first 77777",
        _sql(
            "INSERT INTO stored_prediction "
            "SELECT * REPLACE (77777 AS model_id) FROM stored_prediction LIMIT 1"
        ),
    ),
    Corruption(
        "an image deleted",
        r"image_id: 1 values are not in image",
        _sql("DELETE FROM image WHERE image_id = {image}"),
    ),
    Corruption(
        "an image altered",
        r"study\.images is",
        _sql("UPDATE image SET png = 'x'::BLOB WHERE image_id = {image}"),
    ),
    Corruption(
        "a label altered",
        r"study\.images is",
        _sql("UPDATE image SET label = (label + 1) % 10 WHERE image_id = {image}"),
    ),
    Corruption(
        "a logit altered",
        r"prediction: the \d+ rows of block",
        _sql(
            "UPDATE stored_prediction SET logits = list_concat([logits[1] + 1e-6], logits[2:]) "
            "WHERE model_id = {model} AND view = 'clean'"
        ),
    ),
    Corruption(
        "a map altered",
        r"attention: the \d+ rows of block",
        _sql(
            "UPDATE stored_attention SET map_words = list_reverse(map_words) "
            "WHERE model_id = {model}"
        ),
    ),
    Corruption(
        "a mask altered",
        r"attention: \d+ masks of block",
        _sql("UPDATE stored_attention SET mask_0 = mask_0 + 1 WHERE model_id = {model}"),
    ),
    Corruption(
        "masks of another tau",
        r"study\.tau is 0\.7",
        _sql("UPDATE study SET tau = 0.7"),
    ),
    Corruption(
        "a pair's similarity altered",
        r"model_pair: the \d+ rows of block",
        _sql("UPDATE model_pair SET cka = 0.123 WHERE model_b = {student}"),
    ),
    Corruption(
        "a kept measure altered",
        r"measured: the rows of block \d+ are not",
        _sql("UPDATE measured SET agreement = 0.5 WHERE student_id = {student} AND half = 'b'"),
    ),
    Corruption(
        "a kept contingency deleted",
        r"contingency: the rows of block \d+ are not",
        _sql("DELETE FROM contingency WHERE student_id = {student} AND half = 'a'"),
    ),
    Corruption(
        "an estimate without value or reason",
        r"estimate: 1 rows have neither",
        _sql("INSERT INTO estimate VALUES ({student}, 'all', 'ece', NULL, NULL, 'e', NULL)"),
    ),
    Corruption(
        "an estimate of a teacher",
        r"estimate\.student_id: 1 values",
        _sql("INSERT INTO estimate VALUES (0, 'all', 'ece', 1, NULL, 'e', NULL)"),
    ),
    # the store: ledger, study, provenance, schema
    Corruption(
        "a ledger row deleted",
        r"model\.block: 1 values are not in shard",
        _sql("DELETE FROM shard WHERE block = {block}"),
    ),
    Corruption(
        "a ledger row's content altered",
        r"contradicts itself: content",
        _sql("UPDATE shard SET content = repeat('0', 64) WHERE block = {block}"),
    ),
    Corruption(
        "a ledger row's key altered",
        r"contradicts itself: shard is not named",
        _sql("UPDATE shard SET key = repeat('f', 16) WHERE block = {block}"),
    ),
    Corruption(
        "a ledger row's count altered",
        r"the ledger says 5 rows",
        _sql("UPDATE shard SET epoch_rows = 5 WHERE block = {block}"),
    ),
    Corruption(
        "a whole block taken out of the store",
        r"shard: 1 blocks are declared and not in the ledger: 1",
        _sql(
            *(
                f"DELETE FROM {name} WHERE {key} // 1000 = 1"
                for name, key in (
                    ("model", "model_id"),
                    ("model_pair", "model_a"),
                    ("stored_prediction", "model_id"),
                    ("stored_attention", "model_id"),
                    ("epoch", "model_id"),
                    ("measured", "student_id"),
                    ("contingency", "student_id"),
                )
            ),
            "DELETE FROM shard WHERE block = 1",
        ),
    ),
    Corruption(
        "another seed declared",
        r"study\.study_hash is",
        _declared('study_seed": 7', 'study_seed": 8'),
    ),
    Corruption(
        "other strengths declared",
        r"study\.study_hash is",
        _declared('fixed_strength": 0.5', 'fixed_strength": 0.25'),
    ),
    Corruption(
        "a study hash altered",
        r"study\.study_hash is '0000",
        _sql("UPDATE study SET study_hash = repeat('0', 64)"),
    ),
    Corruption(
        "a cell of the design altered",
        r"condition: not the cells",
        _sql("UPDATE condition SET teacher_strength = 0.75 WHERE condition_id = 0"),
    ),
    Corruption(
        "no commit",
        r"environment \w+: commit is empty",
        _sql("UPDATE environment SET commit = ''"),
    ),
    Corruption(
        "another commit",
        r"environment \w+: not the hash",
        _sql("UPDATE environment SET commit = repeat('a', 40)"),
    ),
    Corruption(
        "a NULL commit",
        r"table environment: not as this software makes it",
        _sql(
            "ALTER TABLE environment ALTER commit DROP NOT NULL",
            "UPDATE environment SET commit = NULL",
        ),
    ),
    Corruption(
        "environments deleted",
        r"shard\.environment_id: 1 values",
        _sql("DELETE FROM environment"),
    ),
    Corruption(
        "no time of training",
        r"shard: block \d does not say its started_at",
        _sql("UPDATE shard SET started_at = '' WHERE block = {block}"),
    ),
    Corruption(
        "a view that says something else",
        r"view learning_curve: not as",
        _sql(
            "CREATE OR REPLACE VIEW learning_curve AS "
            "SELECT * REPLACE (1 AS train_accuracy) FROM epoch JOIN model USING (model_id)"
        ),
    ),
    Corruption("a view dropped", r"view measures: not as", _sql("DROP VIEW measures")),
    Corruption(
        "a macro changed",
        r"macro strict_mean: not as",
        _sql("CREATE OR REPLACE MACRO strict_mean(x) AS avg(x)"),
    ),
    Corruption(
        "a comment removed",
        r"table model: not as",
        _sql("COMMENT ON COLUMN model.strength IS NULL"),
    ),
    Corruption(
        "views of other software",
        r"tables and views are of another version",
        _sql("UPDATE study SET schema_hash = 'x'"),
    ),
)
