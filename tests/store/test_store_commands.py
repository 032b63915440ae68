"""The command line: what it shows, what it refuses, what it can never do."""

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import polars as pl
import pytest
from synthetic import SyntheticStudy, make_study

from store.schema import TABLES, VIEWS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> SyntheticStudy:
    folder = tmp_path_factory.mktemp("study")
    return make_study(folder, seeds=2, strengths=(0, 1), test_images=30, train_images=20)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "store", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )


def answered(*arguments: object) -> str:
    done = run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def refused(*arguments: object) -> str:
    """One clear line, nothing else."""
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_query_answers_in_every_form(study: SyntheticStudy, tmp_path: Path):
    sql = "SELECT student_id, arm FROM measures ORDER BY student_id LIMIT 2"
    assert "matched" not in answered("query", study.store, sql)
    assert answered("query", study.store, sql, "--csv") == "student_id,arm\n4,fixed\n5,fixed\n"
    rows = json.loads(answered("query", study.store, sql, "--json"))
    assert rows == [{"student_id": 4, "arm": "fixed"}, {"student_id": 5, "arm": "fixed"}]
    out = tmp_path / "out.parquet"
    assert answered("query", study.store, sql, "--parquet", out) == ""
    assert pl.read_parquet(out).rows() == [(4, "fixed"), (5, "fixed")]


def test_lists_and_bytes_are_readable_in_csv(study: SyntheticStudy):
    sql = "SELECT teacher_ids FROM model WHERE model_id = 4"
    assert answered("query", study.store, sql, "--csv") == 'teacher_ids\n"[0, 1]"\n'
    sql = "SELECT png[1:4] AS png FROM image WHERE split = 'test' LIMIT 1"
    assert answered("query", study.store, sql, "--csv") == "png\n89504e47\n"


@pytest.mark.parametrize(
    "sql",
    [
        "COPY model TO '{folder}/out.csv'",
        "SELECT * FROM read_text('{folder}/secret.txt')",
        "SELECT 1; DROP TABLE prediction",
        "SELECT * FROM arguments",
    ],
)
def test_sql_can_neither_write_nor_reach_outside(study: SyntheticStudy, tmp_path: Path, sql: str):
    """Many more in test_adversaries, which asks them without the command line."""
    (tmp_path / "secret.txt").write_text("secret")
    before = study.store.read_bytes()
    message = refused("query", study.store, sql.format(folder=tmp_path))
    assert "secret\n" not in message
    assert [path.name for path in tmp_path.iterdir()] == ["secret.txt"]
    assert study.store.read_bytes() == before


@pytest.mark.parametrize("sql", ["", "SELEC", "SELECT x FROM measures", "SELECT * FROM nothing"])
def test_a_wrong_query_gives_one_line(study: SyntheticStudy, sql: str):
    refused("query", study.store, sql)


def test_a_missing_or_foreign_file_gives_one_line(tmp_path: Path):
    assert "no such store" in refused("query", tmp_path / "absent", "SELECT 1")
    (tmp_path / "text").write_text("x" * 5000)
    for command in (["tables"], ["describe"], ["doctor"]):
        more = ["measures"] if command == ["describe"] else []
        assert "cannot be opened" in refused(*command, tmp_path / "text", *more)
    assert [path.name for path in tmp_path.iterdir()] == ["text"]


def test_tables_lists_every_table_and_view_with_its_rows(study: SyntheticStudy):
    shown = answered("tables", study.store)
    for name in [frame.name for frame in TABLES] + list(VIEWS):
        assert f" {name} " in shown
    assert "one trained network" in shown


def test_describe_gives_every_column_its_meaning(study: SyntheticStudy):
    shown = answered("describe", study.store, "measures")
    words = " ".join(shown.replace("│", " ").split())
    assert "generalization_gap DOUBLE Clean training accuracy minus" in words
    assert "no such table or view" in refused("describe", study.store, "measure")


def test_export_writes_a_file_per_table_and_view(study: SyntheticStudy, tmp_path: Path):
    answered("export", study.store, tmp_path / "parquet")
    answered("export", study.store, tmp_path / "csv", "--csv")
    names = {frame.name for frame in TABLES} | set(VIEWS)
    assert {path.stem for path in (tmp_path / "parquet").iterdir()} == names
    assert {path.name for path in (tmp_path / "csv").iterdir()} == {f"{n}.csv" for n in names}
    exported = pl.read_parquet(tmp_path / "parquet" / "measures.parquet")
    assert exported.height == 8
    lines = (tmp_path / "csv" / "prediction.csv").read_text().splitlines()
    assert len(lines) == 1 + pl.read_parquet(tmp_path / "parquet" / "prediction.parquet").height


def test_a_folder_that_cannot_be_written_gives_one_line(study: SyntheticStudy, tmp_path: Path):
    (tmp_path / "file").write_text("")
    assert "cannot be written" in refused("export", study.store, tmp_path / "file" / "below")


@pytest.mark.parametrize("command", ["query", "tables", "describe", "export", "doctor"])
def test_every_command_has_help_with_an_example(command: str):
    assert f"example: python -m store {command} results/" in answered(command, "--help")


def test_doctor_finds_a_sound_store_sound(study: SyntheticStudy):
    shown = answered("doctor", study.store, "--shards", study.shards)
    assert shown == f"{study.store}: no faults\n"


def test_no_pager_no_traceback_when_the_reader_leaves_early(study: SyntheticStudy):
    line = f"{sys.executable} -m store query {study.store} 'FROM prediction' --csv | head -1"
    done = subprocess.run(line, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("model_id,")
    assert done.stderr == ""


SOUND = {"seeds": 2, "strengths": (0, 1), "test_images": 30, "train_images": 20}

CORRUPTIONS = {
    "DELETE FROM prediction WHERE model_id = 3 AND image_id = 70": "prediction: the .* block 0",
    "UPDATE attention SET mask_cells = 0 WHERE model_id = 1005": "masks of block 1",
}


@pytest.mark.parametrize(("sql", "named"), CORRUPTIONS.items(), ids=[*CORRUPTIONS.values()])
def test_doctor_names_what_was_changed_in_the_store(tmp_path: Path, sql: str, named: str):
    """Many more in test_doctor, which asks for them without the command line."""
    study = make_study(tmp_path, **SOUND)
    with duckdb.connect(str(study.store)) as connection:
        connection.execute(sql)
    assert_named(run("doctor", study.store), named)
    mended = run("doctor", study.store, "--shards", study.shards, "--repair")
    assert mended.stdout.startswith("mended: ")
    assert mended.stdout.endswith(f"{study.store}: no faults\n")
    assert (mended.returncode, mended.stderr) == (0, "")


def test_doctor_names_missing_foreign_and_unfinished_shards(tmp_path: Path):
    import shutil

    study = make_study(tmp_path, **SOUND)
    study.members[0].rename(study.shards / "block-00000-0123456789abcdef")
    shutil.copytree(study.members[1], study.shards / ".block-00001.unfinished")
    (study.members[1] / "manifest.json").write_text("{}")
    next(study.shards.glob("images-*")).write_bytes(b"PAR1")
    done = run("doctor", study.store, "--shards", study.shards)
    for named in (
        rf"{study.members[0].name}: missing",
        r"block-00000-0123456789abcdef: not in the store",
        r"unfinished: left by a killed job",
        r"manifest.json: not a manifest",
        r"images-.*parquet: cannot be read",
    ):
        assert_named(done, named)


def test_doctor_names_damage_within_the_file(tmp_path: Path):
    study = make_study(tmp_path, **SOUND)
    content = bytearray(study.store.read_bytes())
    # past the headers, in every block: data or its checksum
    for place in range(3 * 4096 + 200_000, len(content), 262_144):
        content[place] ^= 255
    study.store.write_bytes(content)
    done = run("doctor", study.store)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert done.stdout.startswith("fault:") or done.stderr.startswith("error:")


def assert_named(done: subprocess.CompletedProcess[str], pattern: str) -> None:
    import re

    assert done.returncode == 1, done.stderr
    assert done.stderr == ""
    assert re.search(pattern, done.stdout), done.stdout
    faults = done.stdout.splitlines()
    assert all(line.startswith("fault: ") for line in faults[::2])
    assert all(line.startswith("  repair: ") for line in faults[1::2])
