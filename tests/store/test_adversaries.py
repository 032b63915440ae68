"""SQL of somebody else's can only ask; text of somebody else's stays text; nothing is unpickled."""

import os
import pickle
import shutil
import threading
import time
from pathlib import Path

import duckdb
import pytest
import yaml
from synthetic import SyntheticStudy, make_study, write_shards

from store.atomic import write_text
from store.builder import build
from store.contents import table_hashes
from store.database import Limits, Reader, open_reader
from store.doctor import examine
from store.errors import StaleShardError, StoreError, one_line
from store.frames import SHARD_FRAMES
from store.intake import checked_manifest, read_images, verified_table
from store.shard import read_manifest
from store.study_file import load_design
from store.upkeep import compact

SMALL = {"seeds": 1, "strengths": (0,), "test_images": 20, "train_images": 20}

WRITING = (
    "COPY model TO '{folder}/out.csv'",
    "COPY (SELECT 1) TO '/dev/stdout'",
    "COPY model FROM '{folder}/secret.csv'",
    "EXPORT DATABASE '{folder}/out'",
    "IMPORT DATABASE '{folder}'",
    "CREATE TABLE x (y INTEGER)",
    "CREATE TEMP TABLE x AS SELECT 1",
    "CREATE TEMP MACRO strict_mean(x) AS 1",
    "CREATE OR REPLACE TEMP VIEW model AS SELECT 1",
    "CREATE SECRET s (TYPE S3)",
    "CREATE TYPE t AS ENUM ('a')",
    "INSERT INTO study SELECT * FROM study",
    "WITH gone AS (DELETE FROM model RETURNING *) SELECT * FROM gone",
    "MERGE INTO study USING study AS s ON true WHEN MATCHED THEN DELETE",
    "UPDATE study SET tau = 0.1",
    "DELETE FROM model",
    "TRUNCATE model",
    "DROP TABLE prediction",
    "ALTER TABLE study ADD COLUMN x INTEGER",
    "COMMENT ON TABLE study IS 'x'",
    "SELECT 1; DROP TABLE prediction",
    "SELECT 1; SELECT 2",
    "BEGIN",
    "CHECKPOINT",
    "VACUUM",
    "ANALYZE",
    "EXPLAIN ANALYZE DELETE FROM model",
    "EXPLAIN ANALYZE COPY model TO '{folder}/out.csv'",
)
READING = (
    "SELECT * FROM read_text('{folder}/secret.csv')",
    "SELECT * FROM read_blob('{folder}/secret.csv')",
    "SELECT * FROM read_csv('{folder}/secret.csv')",
    "SELECT * FROM read_csv_auto('{folder}/secret.csv')",
    "SELECT * FROM read_json('{folder}/secret.csv')",
    "SELECT * FROM read_parquet('{folder}/secret.parquet')",
    "SELECT * FROM parquet_metadata('{folder}/secret.parquet')",
    "SELECT * FROM sniff_csv('{folder}/secret.csv')",
    "SELECT * FROM glob('{folder}/*')",
    "SELECT * FROM '{folder}/secret.csv'",
    "SELECT * FROM '{folder}/secret.parquet'",
    "SELECT * FROM '{folder}/other.duckdb'",
    "SELECT * FROM query('SELECT * FROM read_text(''{folder}/secret.csv'')')",
    "SELECT * FROM query_table('{folder}/secret.csv')",
    "FROM json_execute_serialized_sql(json_serialize_sql("
    "'SELECT * FROM read_text(''{folder}/secret.csv'')'))",
    "ATTACH '{folder}/other.duckdb'",
    "ATTACH ':memory:' AS m",
    "SELECT getenv('HOME')",
    "SELECT * FROM secret_frame",
    "SELECT * FROM which_secrets('s3://x', 's3')",
    "SELECT * FROM duckdb_secrets()",
)
REACHING = (
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{folder}/evil.duckdb_extension'",
    "FORCE INSTALL httpfs FROM 'http://localhost:9'",
    "SELECT * FROM read_csv('https://localhost:9/x.csv')",
    "SELECT * FROM 'http://localhost:9/x.parquet'",
    "SELECT * FROM 's3://bucket/x.parquet'",
    "ATTACH 'https://localhost:9/x.duckdb'",
)
SETTING = (
    "SET enable_external_access = true",
    "SET GLOBAL enable_external_access = true",
    "SET python_enable_replacements = true",
    "SET lock_configuration = false",
    "SET threads = 2",
    "RESET threads",
    "SET VARIABLE x = 1",
    "SET temp_directory = '{folder}'",
    "SET extension_directory = '{folder}'",
    "SET home_directory = '{folder}'",
    "SET log_query_path = '{folder}/log'",
    "PRAGMA enable_profiling",
    "PRAGMA enable_checkpoint_on_shutdown",
    "CALL enable_logging()",
    "CALL pragma_version()",
    "USE memory",
    "DETACH store",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "",
    "-- nothing",
)
ASKING = (
    "FROM measures",
    "DESCRIBE measures",
    "SUMMARIZE epoch",
    "SHOW TABLES",
    "EXPLAIN SELECT * FROM measures",
    "VALUES (1)",
    "WITH a AS (SELECT 1 AS one) SELECT * FROM a; ",
    "PIVOT model ON role USING count(*) GROUP BY block",
    "SELECT avg(iou) FROM attention_iou_at(0.5)",
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> SyntheticStudy:
    return make_study(tmp_path_factory.mktemp("study"), **SMALL)


@pytest.fixture(scope="module")
def reader(study: SyntheticStudy):
    with open_reader(study.store, limits=Limits(seconds=20)) as opened:
        yield opened


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """A folder with what must not be read."""
    (tmp_path / "secret.csv").write_text("secret\nhush-hush\n")
    with duckdb.connect(str(tmp_path / "other.duckdb")) as connection:
        connection.execute(f"COPY (SELECT 'hush-hush' AS secret) TO '{tmp_path}/secret.parquet'")
    return tmp_path


@pytest.mark.parametrize("sql", [*WRITING, *READING, *REACHING, *SETTING])
def test_sql_can_do_nothing_but_ask_the_store(
    reader: Reader, study: SyntheticStudy, secrets: Path, sql: str
):
    secret_frame = duckdb.sql("SELECT 'hush-hush' AS secret")
    assert secret_frame
    inside, before = sorted(secrets.iterdir()), study.store.read_bytes()
    with pytest.raises(StoreError) as refused:
        reader.frame(sql.format(folder=secrets))
    assert "\n" not in str(refused.value)
    assert "hush-hush" not in str(refused.value)
    assert sorted(secrets.iterdir()) == inside
    assert study.store.read_bytes() == before
    assert reader.frame("SELECT count(*) FROM model").item() > 0


def test_every_reader_of_a_process_is_locked_up(another: Path, secrets: Path):
    """Connections to one file share its configuration; none may leave it open."""
    with open_reader(another) as first, open_reader(another) as second:
        for opened in (first, second):
            found = opened.frame(
                "SELECT current_setting('lock_configuration') AS locked, "
                "current_setting('enable_external_access') AS reaches"
            )
            assert found.row(0) == (True, False)
            with pytest.raises(StoreError):
                opened.frame(f"SELECT * FROM read_text('{secrets}/secret.csv')")


@pytest.mark.parametrize("sql", [WRITING[0], READING[0], REACHING[4], SETTING[0]])
def test_the_command_refuses_in_one_line(
    study: SyntheticStudy, secrets: Path, capsys: pytest.CaptureFixture[str], sql: str
):
    from store.__main__ import main

    before = study.store.read_bytes(), sorted(secrets.iterdir())
    assert main(["query", str(study.store), sql.format(folder=secrets)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert (study.store.read_bytes(), sorted(secrets.iterdir())) == before


@pytest.mark.parametrize("sql", ASKING)
def test_every_form_of_a_question_is_answered(reader: Reader, sql: str):
    assert reader.frame(sql).height


@pytest.fixture
def another(study: SyntheticStudy, tmp_path: Path) -> Path:
    """A copy of the store: one process reads one file under one configuration."""
    (tmp_path / "alone").mkdir()
    return Path(shutil.copyfile(study.store, tmp_path / "alone" / "store.duckdb"))


def test_a_query_without_end_is_stopped(another: Path):
    with open_reader(another, limits=Limits(seconds=0.5)) as limited:
        started = time.monotonic()
        with pytest.raises(StoreError, match=r"stopped after 0\.5 s.*--seconds"):
            limited.frame("SELECT sum(a.range * b.range) FROM range(9999999) a, range(9999999) b")
        assert time.monotonic() - started < 10
        assert limited.frame("SELECT 1 AS one").item() == 1
        # what would have stopped it has ended with it: it knows the connection
        assert not [
            thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)
        ]


def test_a_query_for_more_memory_than_allowed_is_refused_and_nothing_goes_to_disk(
    another: Path,
):
    with open_reader(another, limits=Limits(seconds=60, memory="30MB")) as limited:
        with pytest.raises(StoreError, match=r"Out of Memory"):
            limited.frame("SELECT list(hash(range) ORDER BY hash(range)) FROM range(3000000)")
        assert list(another.parent.iterdir()) == [another]


HOSTILE = (
    "'; DROP TABLE model; --",
    '"; ATTACH "x',
    "</title><script>alert(1)</script>",
    "{{ 7 * 7 }} {% raw %} $(reboot) `reboot`",
    "\x1b]0;owned\x07\x1b[31mred\u202e",
    "line\nbreak\r\tand NUL-like \x7f",
    "手写 أرقام 🧪",
)


def test_hostile_text_of_a_study_is_stored_as_text(tmp_path: Path):
    title = "".join(HOSTILE)
    source = make_study(tmp_path, **SMALL, built=False)
    content = yaml.safe_load(source.study_file.read_text())
    content["title"] = title
    source.study_file.write_text(yaml.safe_dump(content), encoding="utf-8")
    design = load_design(source.study_file)
    store = tmp_path / 'it\'s; "DROP TABLE model" --$(reboot).duckdb'
    build(store, design=design, shards=source.shards, members=source.members)
    with open_reader(store) as opened:
        assert opened.frame("SELECT title FROM study").item() == title
        hashes = table_hashes(opened)
        with pytest.raises(StoreError) as refused:
            opened.frame(f"SELECT * FROM nothing WHERE '{title}")
        assert "\n" not in str(refused.value)
    assert examine(store, source.shards, design) == []
    assert compact(store).hashes == hashes


def test_class_names_of_a_study_are_stored_as_text(tmp_path: Path):
    import polars as pl
    from synthetic import draw_images, publish
    from synthetic_study import write_study

    from store.shard import read_table, write_images

    design, _ = write_study(tmp_path, **SMALL)
    names = [HOSTILE[label % len(HOSTILE)] for label in range(10)]
    images = draw_images(design).with_columns(
        class_name=pl.col("label").replace_strict(range(10), names)
    )
    (drawn,) = write_shards(design, tmp_path / "drawn")
    tables = {frame.name: read_table(drawn, frame) for frame in SHARD_FRAMES}
    name = write_images(tmp_path / "shards", images)
    publish(design, tmp_path / "shards", 0, name, tables)
    store = tmp_path / "store.duckdb"
    members = [tmp_path / "shards" / drawn.name]
    build(store, design=design, shards=tmp_path / "shards", members=members)
    with open_reader(store) as opened:
        found = opened.frame("SELECT DISTINCT label, class_name FROM image ORDER BY label")
    assert found["class_name"].to_list() == names


def test_a_message_cannot_command_a_terminal():
    said = one_line("a\x1b]0;owned\x07b\nc\u202ed")
    assert said == "a\\x1b]0;owned\\x07b c\\x202ed"
    assert one_line("手写 it's") == "手写 it's"


class _Trap:
    """Unpickled, it leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self._trace),)


def test_no_file_of_a_study_is_unpickled(tmp_path: Path):
    study = make_study(tmp_path, **SMALL)
    trace = tmp_path / "trace"
    evil = pickle.dumps(_Trap(trace))
    shard = study.members[0]
    manifest = checked_manifest(shard, study.design)
    for path in [p for p in study.results.rglob("*") if p.is_file()]:
        path.write_bytes(evil)
    for frame in SHARD_FRAMES:
        with pytest.raises(StaleShardError):
            verified_table(shard, frame, manifest, study.design)
    with pytest.raises(StaleShardError):
        read_manifest(shard)
    with pytest.raises(StoreError):
        read_images(study.shards / manifest.images)
    with pytest.raises(StoreError):
        open_reader(study.store)
    assert not trace.exists()


KNOWN_PICKLES = {
    # CIFAR's batches are pickles: an unpickler that knows arrays, and refuses all other names
    "collect/readers/pickled.py": ("import pickle", "def find_class"),
    # written, as CIFAR's batches are: stand-in images
    "collect/stand_in_files.py": ("import pickle", "pickle.dump"),
    # weights that a user names: torch's own unpickler of tensors alone
    "collect/pretrained.py": ("torch.load", "weights_only=True"),
}
"""The only places that may, each with what it uses and what must stand beside it."""


@pytest.mark.parametrize("package", ["adapters", "analyze", "collect", "reports", "store"])
def test_no_module_can_unpickle(package: str):
    forbidden = ("import pickle", "torch.load", "allow_pickle", "joblib", "cloudpickle", "dill")
    root = Path(__file__).parents[2]
    for path in (root / package).rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        used, guard = KNOWN_PICKLES.get(str(path.relative_to(root)), ("", ""))
        assert text.count(used) == text.count(guard) == 1 or not used, path
        assert not [word for word in forbidden if word in text and word != used], path


def test_a_text_file_is_whole_or_as_it_was(tmp_path: Path):
    path = tmp_path / "file.txt"
    write_text(path, "before")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "after \ud800")
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]
