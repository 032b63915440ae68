"""The command line: what it shows, what it refuses, what it can never do."""

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import polars as pl
import pytest
from synthetic import SyntheticStudy, make_study

from store.__main__ import main
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


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """As answered, but within this process: quicker, where there is no process to test."""
    status = main([str(argument) for argument in arguments])
    told = capsys.readouterr()
    assert (status, told.err) == (0, "")
    return told.out


def denied(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """As refused, within this process."""
    status = main([str(argument) for argument in arguments])
    told = capsys.readouterr()
    assert (status, told.out) == (2, "")
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1
    return told.err


def test_query_answers_in_every_form(study: SyntheticStudy, tmp_path: Path):
    sql = "SELECT student_id, arm FROM measures ORDER BY student_id LIMIT 2"
    assert "matched" not in answered("query", study.store, sql)
    assert answered("query", study.store, sql, "--csv") == "student_id,arm\n4,fixed\n5,fixed\n"
    rows = json.loads(answered("query", study.store, sql, "--json"))
    assert rows == [{"student_id": 4, "arm": "fixed"}, {"student_id": 5, "arm": "fixed"}]
    out = tmp_path / "out.parquet"
    assert answered("query", study.store, sql, "--parquet", out) == ""
    assert pl.read_parquet(out).rows() == [(4, "fixed"), (5, "fixed")]


def test_lists_and_bytes_are_readable_in_csv(study: SyntheticStudy, capsys):
    sql = "SELECT teacher_ids FROM model WHERE model_id = 4"
    assert said(capsys, "query", study.store, sql, "--csv") == 'teacher_ids\n"[0, 1]"\n'
    sql = "SELECT png[1:4] AS png FROM image WHERE split = 'test' LIMIT 1"
    assert said(capsys, "query", study.store, sql, "--csv") == "png\n89504e47\n"


@pytest.mark.parametrize(
    "sql",
    [
        "COPY model TO '{folder}/out.csv'",
        "SELECT * FROM read_text('{folder}/secret.txt')",
        "SELECT 1; DROP TABLE prediction",
        "SELECT * FROM arguments",
    ],
)
def test_sql_can_neither_write_nor_reach_outside(
    study: SyntheticStudy, tmp_path: Path, sql: str, capsys
):
    """Many more in test_adversaries, which asks them without the command line."""
    (tmp_path / "secret.txt").write_text("secret")
    before = study.store.read_bytes()
    message = denied(capsys, "query", study.store, sql.format(folder=tmp_path))
    assert "secret\n" not in message
    assert [path.name for path in tmp_path.iterdir()] == ["secret.txt"]
    assert study.store.read_bytes() == before


@pytest.mark.parametrize("sql", ["", "SELEC", "SELECT x FROM measures", "SELECT * FROM nothing"])
def test_a_wrong_query_gives_one_line(study: SyntheticStudy, sql: str, capsys):
    denied(capsys, "query", study.store, sql)


def test_a_wrong_query_ends_its_process_with_one_line(study: SyntheticStudy):
    refused("query", study.store, "SELEC")


def test_a_missing_or_foreign_file_gives_one_line(tmp_path: Path, capsys):
    assert "no such store" in denied(capsys, "query", tmp_path / "absent", "SELECT 1")
    (tmp_path / "text").write_text("x" * 5000)
    for command in (["tables"], ["describe"], ["doctor"]):
        more = ["measures"] if command == ["describe"] else []
        assert "cannot be opened" in denied(capsys, *command, tmp_path / "text", *more)
    assert [path.name for path in tmp_path.iterdir()] == ["text"]


def test_tables_lists_every_table_and_view_with_its_rows(study: SyntheticStudy, capsys):
    shown = said(capsys, "tables", study.store)
    for name in [frame.name for frame in TABLES] + list(VIEWS):
        assert f" {name} " in shown
    assert "one trained network" in shown


def test_forms_and_limits_hold_for_every_listing(study: SyntheticStudy, tmp_path: Path, capsys):
    listed = json.loads(said(capsys, "tables", study.store, "--json"))
    kinds = {row["name"]: row["kind"] for row in listed}
    assert (kinds["model"], kinds["measures"], kinds["energy_kwh"]) == ("table", "view", "macro")
    assert {row["name"]: row["rows"] for row in listed}["model"] == 16
    described = said(capsys, "describe", study.store, "measures.ece", "--csv")
    assert described.startswith("column,type,meaning\nece,DOUBLE,")
    limited = said(capsys, "query", study.store, "FROM epoch", "--csv", "--limit", 2)
    assert limited.count("\n") == 3
    assert "the first 3 of 64 rows" in said(
        capsys, "query", study.store, "FROM epoch", "--limit", 3
    )
    with pytest.raises(SystemExit):
        said(capsys, "query", study.store, "FROM epoch", "--limit", 0)
    assert "'0' is not a number of rows, 1 or more" in capsys.readouterr().err


def test_describe_explains_views_and_macros_and_guesses(study: SyntheticStudy, capsys):
    assert "view ensemble_gain. A student's ensemble" in said(
        capsys, "describe", study.store, "ensemble_gain"
    )
    macro = said(capsys, "describe", study.store, "attention_iou_at")
    assert "attention_iou_at(tau)" in macro
    assert "at another threshold than the study's" in " ".join(macro.split())
    for name, named in (
        ("mesures", "did you mean measures?"),
        ("zzz", "there are condition, contingency, "),
        ("measures.gap", "measures has no column gap; it has student_id, "),
    ):
        assert named in denied(capsys, "describe", study.store, name)


def test_a_misspelt_view_in_a_query_is_answered_with_the_nearest(study: SyntheticStudy, capsys):
    message = denied(capsys, "query", study.store, "SELECT * FROM measurs WHERE arm = 'fixed'")
    assert message.endswith("measurs: no such table or view; did you mean measures?\n")
    message = denied(capsys, "query", study.store, "SELECT generalisation_gap FROM measures")
    assert 'Candidate bindings: "generalization_gap"' in message
    assert "LINE 1" not in message


def test_the_cookbook_lists_shows_and_answers(study: SyntheticStudy, capsys):
    assert "07 images-teachers-disagree-on" in said(capsys, "cookbook")
    assert said(capsys, "cookbook", study.store) == said(capsys, "cookbook")
    assert "SELECT" in said(capsys, "cookbook", "slope-per-seed")
    shown = said(capsys, "cookbook", study.store, "slope-per-seed")
    assert shown.startswith("By how much does overfitting change per unit of strength")
    rows = json.loads(said(capsys, "cookbook", study.store, "02", "--json"))
    assert [row["block"] for row in rows] == [0, 1, 0, 1]
    assert "did you mean slope-per-seed?" in denied(
        capsys, "cookbook", study.store, "slope-per-sed"
    )
    assert "no such store" in denied(capsys, "cookbook", study.store.with_name("x"), "02")


def test_merge_tells_what_it_did_and_refuses_in_one_line(
    study: SyntheticStudy, tmp_path: Path, capsys
):
    from store.builder import build

    stores = [tmp_path / f"{block}.duckdb" for block in range(2)]
    for store, member in zip(stores, study.members, strict=True):
        build(store, design=study.design, shards=study.shards, members=[member])
    both, ledger = tmp_path / "both.duckdb", tmp_path / "both.json"
    shown = said(capsys, "merge", *stores, "--into", both, "--ledger", ledger)
    assert shown == f"{both}: 2 seed blocks of synthetic; its claims are to be tested anew\n"
    assert [row["block"] for row in json.loads(ledger.read_text())["shards"]] == [0, 1]
    assert "exists already" in denied(capsys, "merge", *stores, "--into", both)
    with duckdb.connect(str(stores[1])) as connection:
        connection.execute("UPDATE shard SET block = 0, content = 'x', epoch_content = 'y'")
    assert main(["merge", *map(str, stores), "--into", str(tmp_path / "new.duckdb")]) == 2
    told = capsys.readouterr()
    assert told.out == (
        f"conflict: block 0 differs between {stores[0]} and {stores[1]}: "
        "tables model, model_pair, prediction, attention, epoch; in like environments\n"
    )
    assert told.err.count("\n") == 1
    assert "--prefer STORE" in told.err


def test_layouts_for_other_software_take_no_csv(study: SyntheticStudy, tmp_path: Path, capsys):
    for layout in ("huggingface", "mlflow"):
        message = denied(capsys, "export", study.store, tmp_path / "x", "--layout", layout, "--csv")
        assert "--csv is for tables" in message
    said(capsys, "export", study.store, tmp_path / "runs", "--layout", "mlflow")
    assert len(list((tmp_path / "runs").glob("*/*/meta.yaml"))) == 16


def test_ctrl_c_ends_a_long_query_without_a_word(study: SyntheticStudy):
    import signal
    import time

    endless = "SELECT count(*) FROM range(1000000000) a, range(1000000000) b"
    process = subprocess.Popen(
        [sys.executable, "-m", "store", "query", str(study.store), endless],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # until the query runs: the store's file is open
    files = Path(f"/proc/{process.pid}/fd")
    while process.poll() is None and not any(
        link.resolve() == study.store.resolve() for link in files.iterdir()
    ):
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "")


def test_describe_gives_every_column_its_meaning(study: SyntheticStudy, capsys):
    shown = said(capsys, "describe", study.store, "measures")
    words = " ".join(shown.replace("│", " ").split())
    assert "generalization_gap DOUBLE Clean training accuracy minus" in words
    assert "no such table or view" in denied(capsys, "describe", study.store, "measure")


def test_export_writes_a_file_per_table_and_view(study: SyntheticStudy, tmp_path: Path, capsys):
    answered("export", study.store, tmp_path / "parquet")
    said(capsys, "export", study.store, tmp_path / "csv", "--csv")
    names = {frame.name for frame in TABLES} | set(VIEWS)
    assert {path.stem for path in (tmp_path / "parquet").iterdir()} == names
    assert {path.name for path in (tmp_path / "csv").iterdir()} == {f"{n}.csv" for n in names}
    exported = pl.read_parquet(tmp_path / "parquet" / "measures.parquet")
    assert exported.height == 8
    lines = (tmp_path / "csv" / "prediction.csv").read_text().splitlines()
    assert len(lines) == 1 + pl.read_parquet(tmp_path / "parquet" / "prediction.parquet").height


def test_a_folder_that_cannot_be_written_gives_one_line(
    study: SyntheticStudy, tmp_path: Path, capsys
):
    (tmp_path / "file").write_text("")
    assert "cannot be written" in denied(capsys, "export", study.store, tmp_path / "file" / "below")


@pytest.mark.parametrize("command", ["query", "tables", "describe", "export", "cookbook", "doctor"])
def test_every_command_has_help_with_an_example(command: str, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert not ended.value.code
    assert f"example: python -m store {command} results/" in capsys.readouterr().out


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
    "DELETE FROM stored_prediction WHERE model_id = 3": "prediction: the .* block 0",
    "UPDATE stored_attention SET mask_cells = 0 WHERE model_id = 1005": "masks of block 1",
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
