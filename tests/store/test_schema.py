"""The schema says everything of itself: comments, files, linted SQL."""

import re
from pathlib import Path

import pytest
from synthetic import make_study

from store.database import open_reader
from store.measures import BY_NAME
from store.schema import MACROS, REFERENCES, TABLES, VIEWS, literal, quoted
from store.vocabulary import AttentionMethod

SQL = Path(__file__).parents[2] / "store" / "sql"


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory):
    study = make_study(
        tmp_path_factory.mktemp("study"),
        seeds=1,
        strengths=(0,),
        test_images=20,
        train_images=20,
    )
    with open_reader(study.store) as opened:
        yield opened


def test_every_sql_file_is_used_once():
    assert sorted(path.stem for path in SQL.glob("*.sql")) == sorted(
        [*MACROS, *VIEWS, "shared_cells_of_one_word"]
    )


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_states_its_grain_and_what_null_means(name: str):
    header = (SQL / f"{name}.sql").read_text().partition("CREATE")[0]
    assert "-- Grain: (" in header
    assert "NULL" in header or "absent" in header


def test_every_table_view_column_and_macro_has_a_comment(reader):
    silent = reader.frame(
        "SELECT table_name AS name FROM duckdb_tables() WHERE comment IS NULL "
        "UNION ALL SELECT view_name FROM duckdb_views() WHERE NOT internal AND comment IS NULL "
        "UNION ALL SELECT table_name || '.' || column_name FROM duckdb_columns() "
        "WHERE NOT internal AND comment IS NULL "
        "UNION ALL SELECT function_name FROM duckdb_functions() "
        "WHERE NOT internal AND comment IS NULL"
    )
    assert silent["name"].to_list() == []


def test_a_macro_is_commented_by_the_words_right_above_it(reader):
    found = reader.frame(
        "SELECT function_name, function_type, comment FROM duckdb_functions() WHERE NOT internal"
    )
    comments = {row[0]: row[1:] for row in found.iter_rows()}
    assert set(comments) == {
        "strict_mean",
        "mask_at",
        "attention_iou_of",
        "attention_iou_at",
        "attention_iou_by_method",
        "energy_kwh",
        "half_value",
        "unpacked_halves",
        "unpacked_bytes",
        "shared_cells",
    }
    assert comments["strict_mean"][1].startswith("Mean that is NULL as soon as one value is")
    assert comments["attention_iou_at"][0] == "table_macro"
    assert "Use: SELECT avg(iou) FROM attention_iou_at(0.5)" in comments["attention_iou_at"][1]


def test_every_reference_names_columns_that_exist_and_a_key(reader):
    frames = {frame.name: frame for frame in TABLES}
    for reference in REFERENCES:
        assert reference.column in frames[reference.table].schema
        assert frames[reference.home].key == (reference.key,)
        kind = frames[reference.table].schema[reference.column]
        assert kind == frames[reference.home].schema[reference.key]


def test_measures_are_explained_by_their_definitions(reader):
    comments = reader.frame(
        "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'measures'"
    )
    explained = dict(comments.iter_rows())
    for name, measure in BY_NAME.items():
        assert explained[name].startswith(measure.definition)
        assert measure.unit in explained[name]


def test_every_declared_column_stands_in_its_table(reader):
    for frame in TABLES:
        found = reader.frame(f"SELECT * FROM {quoted(frame.name)} LIMIT 0")
        assert dict(found.schema) == dict(frame.schema), frame.name


def test_a_column_that_may_not_be_null_is_refused_null(reader):
    nullable = reader.frame(
        "SELECT table_name, column_name, is_nullable FROM duckdb_columns() WHERE NOT internal"
    )
    found = {row[:2]: row[2] for row in nullable.iter_rows()}
    for frame in TABLES:
        for column in frame.columns:
            assert found[frame.name, column.name] == (column.null is not None)


def test_names_and_text_are_quoted_whatever_they_hold():
    assert quoted('a"b') == '"a""b"'
    assert literal("it's") == "'it''s'"


def test_the_overlap_of_attention_is_taken_by_every_method():
    text = (SQL / "attention_iou.sql").read_text()
    assert re.findall(r"attention_iou_by_method\('(\w+)'\)", text) == [*AttentionMethod]
