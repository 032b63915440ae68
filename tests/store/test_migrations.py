"""Stores of every released schema are read and migrated; newer ones are refused."""

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import polars as pl
import pytest
from released import FIXTURES, column_hashes, measures
from store_file import answered, change, hashes
from synthetic import SyntheticStudy, copied, make_study

from store.builder import build, record_analysis
from store.database import open_empty, open_reader, renew_file, schema_version
from store.doctor import examine
from store.errors import StoreError
from store.frames import FINDING, FINDING_HISTORY
from store.ledger import SCHEMA_VERSION
from store.migrations import FIRST_VERSION, MIGRATIONS, Migration, steps_from
from store.schema import TABLES, VIEWS
from store.upkeep import compact, migrate

RELEASED = range(FIRST_VERSION, SCHEMA_VERSION + 1)
OLD = SCHEMA_VERSION - 1
SMALL = {"seeds": 1, "strengths": (0,), "test_images": 20, "train_images": 20}

# a schema before the present one, made up: no class names, conditions without arms, a list
# of teachers in a table of its own
DOWNGRADE = (
    "ALTER TABLE condition DROP COLUMN arm",
    "CREATE TABLE taught AS SELECT model_id, teacher_ids FROM model",
    "ALTER TABLE model DROP COLUMN teacher_ids",
    "DROP TABLE finding",
    f"UPDATE study SET schema_version = {OLD}, schema_hash = 'older'",
)
UPGRADE = Migration(
    version=SCHEMA_VERSION,
    summary="teachers stand beside their students",
    statements=(
        "ALTER TABLE model ADD COLUMN teacher_ids INTEGER[]",
        "UPDATE model SET teacher_ids = taught.teacher_ids FROM taught "
        "WHERE model.model_id = taught.model_id",
        "DROP TABLE taught",
        "ALTER TABLE condition ADD COLUMN arm VARCHAR",
        "UPDATE condition SET arm = CASE WHEN condition_id = 0 THEN 'fixed' ELSE 'matched' END",
    ),
)


@pytest.fixture(scope="module")
def present(tmp_path_factory: pytest.TempPathFactory) -> SyntheticStudy:
    return make_study(tmp_path_factory.mktemp("study"), **SMALL)


@pytest.fixture
def old(present: SyntheticStudy, tmp_path: Path) -> Path:
    store = tmp_path / "store.duckdb"
    shutil.copyfile(present.store, store)
    change(store, *DOWNGRADE)
    return store


def _without_comments(store: Path) -> int:
    with open_reader(store) as reader:
        return reader.frame(
            "SELECT count(*) FROM duckdb_columns() WHERE NOT internal AND comment IS NULL"
        ).item()


def test_the_migrations_lead_one_by_one_to_the_present_schema():
    assert [step.version for step in MIGRATIONS] == list(RELEASED)[1:]
    assert all(step.summary for step in MIGRATIONS)


def test_a_store_of_every_released_schema_is_kept():
    kept = {path.name for path in FIXTURES.iterdir()}
    assert kept == {f"schema-{n}{end}" for n in RELEASED for end in (".duckdb.gz", ".json")}


@pytest.mark.parametrize("version", RELEASED)
@pytest.mark.parametrize("lasting", [False, True], ids=["read", "migrated"])
def test_a_released_store_gives_what_it_gave_then(version: int, lasting: bool, tmp_path: Path):
    store = tmp_path / "store.duckdb"
    store.write_bytes(gzip.decompress((FIXTURES / f"schema-{version}.duckdb.gz").read_bytes()))
    then = json.loads((FIXTURES / f"schema-{version}.json").read_text())
    if lasting:
        maps, logits = (_rows(store, sql) for sql in (MAPS, _logits(version)))
        migrate(store)
        assert schema_version(store) == SCHEMA_VERSION
        assert examine(store, None) == []
        # as text, in which a number that is none equals itself
        assert repr(_rows(store, MAPS)) == repr(maps)
        assert repr(_rows(store, _logits(SCHEMA_VERSION))) == repr(logits)
    with open_reader(store) as reader:
        columns, measured = column_hashes(reader), measures(reader)
        for name in VIEWS:
            reader.frame(f'SELECT * FROM "{name}"')
    of_the_schema = {"study.schema_version", "study.schema_hash"}
    same = set(columns) & set(then["columns"]) - of_the_schema
    assert len(same) > 100
    assert {name for name in same if columns[name] != then["columns"][name]} == set()
    assert len(measured) == len(then["measures"]) > 0
    for now, before in zip(measured, then["measures"], strict=True):
        for name in now.keys() & before.keys():
            assert now[name] == (
                pytest.approx(before[name], rel=1e-9, abs=1e-12)
                if isinstance(before[name], float)
                else before[name]
            ), name


MAPS = "SELECT * FROM attention ORDER BY model_id, view, image_id, method"


def _logits(version: int) -> str:
    """Ask a store for all logits, as text that its own version made or makes of them."""
    table = "prediction" if version < 4 or version == SCHEMA_VERSION else "stored_prediction"
    return f"SELECT model_id, view, image_id, logits FROM {table} ORDER BY ALL"


@pytest.fixture
def first(tmp_path: Path) -> Path:
    store = tmp_path / "store.duckdb"
    store.write_bytes(gzip.decompress((FIXTURES / "schema-1.duckdb.gz").read_bytes()))
    return store


def _rows(store: Path, sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(store), read_only=True) as connection:
        rows = pl.from_arrow(connection.sql(sql).to_arrow_table())
    assert isinstance(rows, pl.DataFrame)
    return rows.rows()


def test_nothing_of_version_1_is_lost(first: Path):
    tables = [name for (name,) in _rows(first, "SELECT table_name FROM duckdb_tables()")]
    assert "evidence" in tables
    assert "finding_history" not in tables
    columns = {
        table: ", ".join(
            f'"{name}"'
            for (name,) in _rows(
                first, f"SELECT column_name FROM duckdb_columns() WHERE table_name = '{table}'"
            )
            if name not in ("schema_version", "schema_hash")
        )
        for table in tables
    }
    whole = {table: f'SELECT {columns[table]} FROM "{table}" ORDER BY ALL' for table in tables}
    before = {table: repr(_rows(first, whole[table])) for table in tables}
    migrate(first)
    for table in tables:
        # in words, where NaN is what NaN was
        assert repr(_rows(first, whole[table])) == before[table], table
    assert _rows(first, "SELECT q_value FROM evidence") == [(None,)]


def test_a_store_of_version_1_has_the_layout_of_a_new_one(first: Path):
    migrate(first)
    layouts = (
        "SELECT table_name, column_name, column_index, data_type, is_nullable, comment "
        "FROM duckdb_columns() WHERE NOT internal ORDER BY ALL",
        "SELECT table_name, comment FROM duckdb_tables() WHERE NOT internal ORDER BY ALL",
        "SELECT view_name, comment FROM duckdb_views() WHERE NOT internal ORDER BY ALL",
        "SELECT function_name, parameters, comment FROM duckdb_functions() "
        "WHERE NOT internal ORDER BY ALL",
    )
    with open_reader(first) as reader, open_empty() as empty:
        for sql in layouts:
            assert reader.frame(sql).equals(empty.frame(sql)), sql


@pytest.mark.parametrize("lasting", [False, True], ids=["read", "migrated"])
def test_the_findings_of_version_1_are_the_first_of_the_history(first: Path, lasting: bool):
    if lasting:
        migrate(first)
    with open_reader(first) as reader:
        history = reader.frame("SELECT * FROM finding_history")
        findings = reader.frame("SELECT * FROM finding")
        seeds = reader.frame("SELECT count(*) FROM shard").item()
    assert history.height == findings.height == 1
    shared = [name for name in FINDING_HISTORY.schema if name in FINDING.schema]
    assert history.select(shared).equals(findings.select(shared))
    assert history["seeds"].to_list() == [seeds]
    assert history["analysed_at"].to_list() == [None]


def test_the_same_findings_after_a_migration_are_no_second_look(first: Path):
    migrate(first)
    with open_reader(first) as reader:
        evidence, findings = (reader.frame(f"SELECT * FROM {n}") for n in ("evidence", "finding"))
        before = reader.frame("SELECT * FROM finding_history")
    record_analysis(first, evidence=evidence, findings=findings)
    with open_reader(first) as reader:
        assert reader.frame("SELECT * FROM finding_history").equals(before)


def test_a_history_that_a_store_of_version_1_has_already_is_kept(tmp_path: Path):
    """As software between the two versions wrote it."""
    store = tmp_path / "store.duckdb"
    store.write_bytes(gzip.decompress((FIXTURES / "schema-2.duckdb.gz").read_bytes()))
    history = _rows(store, "FROM finding_history")
    assert history
    change(store, "UPDATE study SET schema_version = 1, schema_hash = 'between'")
    migrate(store)
    assert _rows(store, "FROM finding_history") == history
    assert examine(store, None) == []


def test_environments_that_were_noted_before_version_3_keep_their_ids(tmp_path: Path):
    store = tmp_path / "store.duckdb"
    store.write_bytes(gzip.decompress((FIXTURES / "schema-2.duckdb.gz").read_bytes()))
    before = _rows(store, "SELECT environment_id FROM environment")
    migrate(store)
    sql = "SELECT environment_id, compiled, allocator FROM environment"
    assert _rows(store, sql) == [(*row, False, None) for row in before]
    assert examine(store, None) == []


LISTS = (
    "ALTER TABLE stored_prediction RENAME TO words_of_predictions",
    "CREATE TABLE stored_prediction AS SELECT * EXCLUDE (halves, classes), "
    "unpacked_halves(halves, classes) AS halves FROM words_of_predictions",
    "DROP TABLE words_of_predictions",
    "DROP VIEW attention",
    "CREATE TABLE attention AS SELECT model_id, view, image_id, method, "
    "unpacked_bytes(map_words, map_cells) AS map, mask_0, mask_1, mask_2, mask_3, mask_cells "
    "FROM stored_attention",
    "DROP TABLE stored_attention",
    "UPDATE study SET schema_version = 5, schema_hash = 'lists'",
)
"""As version 5 kept halves and maps."""


def test_halves_and_maps_of_version_5_are_packed_as_a_build_packs_them(tmp_path: Path):
    study = make_study(tmp_path, **SMALL, logits="float16", failed=[(0, 2)], not_finite=[(0, 0)])
    store = tmp_path / "lists.duckdb"
    shutil.copyfile(study.store, store)
    change(store, *LISTS)
    types = _rows(store, "SELECT typeof(any_value(halves)) FROM stored_prediction")
    assert types == [("USMALLINT[]",)]
    migrate(store)
    assert hashes(store) == hashes(study.store)
    assert examine(store, study.shards) == []


def test_an_older_store_becomes_what_a_build_gives(present: SyntheticStudy, old: Path):
    done = migrate(old, migrations=(UPGRADE,))
    assert (done.before, done.after) == (OLD, SCHEMA_VERSION)
    assert done.steps == (UPGRADE.summary,)
    assert hashes(old) == hashes(present.store)
    assert _without_comments(old) == 0
    assert examine(old, present.shards) == []
    with open_reader(old) as reader, open_reader(present.store) as fresh:
        for name in [frame.name for frame in TABLES] + list(VIEWS):
            sql = f'SELECT * FROM "{name}" ORDER BY ALL'
            assert reader.frame(sql).equals(fresh.frame(sql)), name


def test_a_migration_keeps_the_file_as_it_was(old: Path):
    before = old.read_bytes()
    done = migrate(old, migrations=(UPGRADE,))
    assert done.kept is not None
    assert done.kept.name == f"store.duckdb.schema-{OLD}"
    assert done.kept.read_bytes() == before


def test_steps_are_taken_one_after_another(present: SyntheticStudy, old: Path):
    change(old, "ALTER TABLE taught RENAME TO taut", f"UPDATE study SET schema_version = {OLD - 1}")
    first = Migration(
        version=OLD, summary="a name", statements=("ALTER TABLE taut RENAME TO taught",)
    )
    assert len(migrate(old, migrations=(UPGRADE, first)).steps) == 2
    assert hashes(old) == hashes(present.store)


def test_an_older_store_is_read_without_being_changed(
    present: SyntheticStudy, old: Path, caplog: pytest.LogCaptureFixture
):
    before = old.read_bytes()
    with open_reader(old, migrations=(UPGRADE,)) as reader, open_reader(present.store) as fresh:
        sql = "SELECT * FROM measures ORDER BY student_id"
        assert reader.frame(sql).equals(fresh.frame(sql))
        assert reader.frame("SELECT * FROM finding").height == 0
    assert old.read_bytes() == before
    assert [path.name for path in old.parent.iterdir()] == [old.name]
    assert f"`python -m store migrate {old}` does so for good" in caplog.text


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (Migration(version=SCHEMA_VERSION, summary="nothing"), r"taught\.\w+ is not of schema"),
        (
            Migration(version=SCHEMA_VERSION, summary="wrong", statements=("SELEC",)),
            r"cannot be written: Parser Error",
        ),
        (
            Migration(
                version=SCHEMA_VERSION,
                summary="forgets a column that may not be NULL",
                statements=UPGRADE.statements[:3],
            ),
            r"NOT NULL constraint failed: .condition",
        ),
    ],
    ids=lambda value: value.summary if isinstance(value, Migration) else "",
)
def test_a_migration_that_fails_changes_nothing(old: Path, broken: Migration, message: str):
    before = old.read_bytes()
    with pytest.raises(StoreError, match=message):
        migrate(old, migrations=(broken,))
    assert old.read_bytes() == before
    assert {path.name for path in old.parent.iterdir()} == {old.name, f"{old.name}.lock"}


def test_views_of_other_software_are_made_anew_and_the_command_says_so(
    present: SyntheticStudy, tmp_path: Path
):
    store = tmp_path / "store.duckdb"
    shutil.copyfile(present.store, store)
    change(store, "UPDATE study SET schema_hash = 'other'")
    assert any("another version" in fault.what for fault in examine(store, None))
    assert answered("migrate", store) == (
        f"{store}: views, and measures that are kept of them, made anew by this software\n"
    )
    assert examine(store, None) == []
    assert answered("migrate", store).endswith("nothing to migrate\n")


def test_a_version_that_no_migration_starts_from_is_refused(old: Path):
    with pytest.raises(StoreError, match=r"is none that was ever released"):
        steps_from(SCHEMA_VERSION - 3, (UPGRADE,))
    with pytest.raises(StoreError, match=r"is not of schema"):
        open_reader(old, migrations=())


@pytest.mark.parametrize("use", [open_reader, migrate, compact, lambda store: examine(store, None)])
def test_a_newer_store_is_refused_in_one_line(
    present: SyntheticStudy, tmp_path: Path, use: Callable[[Path], object]
):
    store = tmp_path / "store.duckdb"
    shutil.copyfile(present.store, store)
    change(store, f"UPDATE study SET schema_version = {SCHEMA_VERSION + 1}")
    before = store.read_bytes()
    with pytest.raises(StoreError, match=rf"schema version {SCHEMA_VERSION + 1}.* Update the soft"):
        use(store)
    with pytest.raises(StoreError, match=r"schema version .* Update the software, or move"):
        build(store, design=present.design, shards=present.shards, members=present.members)
    assert store.read_bytes() == before


def test_a_build_migrates_an_older_store_and_reads_no_shard_again(
    present: SyntheticStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    study = copied(present, tmp_path)
    change(study.store, *DOWNGRADE)
    _hide_tables(study)
    monkeypatch.setattr("store.beginning.MIGRATIONS", (UPGRADE,))
    monkeypatch.setitem(renew_file.__kwdefaults__, "migrations", (UPGRADE,))
    build(study.store, design=study.design, shards=study.shards, members=study.members)
    assert hashes(study.store) == hashes(present.store)


def test_another_software_s_views_are_made_anew_without_the_shards(
    present: SyntheticStudy, tmp_path: Path
):
    study = copied(present, tmp_path)
    change(
        study.store,
        "CREATE OR REPLACE VIEW learning_curve AS SELECT 1 AS one",
        "CREATE VIEW of_old AS SELECT 1 AS one",
        "UPDATE study SET schema_hash = 'other'",
    )
    _hide_tables(study)
    build(study.store, design=study.design, shards=study.shards, members=study.members)
    assert hashes(study.store) == hashes(present.store)
    assert examine(study.store, None) == []


def _hide_tables(study: SyntheticStudy) -> None:
    for shard in study.members:
        for table in shard.glob("*.parquet"):
            table.unlink()


def test_the_command_says_that_there_is_nothing_to_migrate(present: SyntheticStudy, tmp_path: Path):
    store = tmp_path / "store.duckdb"
    shutil.copyfile(present.store, store)
    assert (
        answered("migrate", store)
        == f"{store}: schema version {SCHEMA_VERSION}, nothing to migrate\n"
    )
