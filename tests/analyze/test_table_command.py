"""The command on any table: what it reads, what it writes, what it says of mistakes."""

import json
import re
from pathlib import Path

import duckdb
import polars as pl
import pytest
from table_simulated import every_pair, planted, shared

from analyze.__main__ import main
from analyze.inference.sequential import look_levels
from analyze.looks import level_words

QUESTION = ("--block", "seed", "--dose", "strength", "--outcome", "gap")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    path = tmp_path / "runs.csv"
    planted(5).write_csv(path)
    return path


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that a mistake gives; nothing else is printed."""
    assert main(["table", *map(str, arguments)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    return printed.err


def test_csv_parquet_and_a_query_give_the_same_answer(runs: Path, capsys):
    frame = planted(5)
    frame.write_parquet(runs.with_suffix(".parquet"))
    with duckdb.connect(str(runs.with_suffix(".duckdb"))) as database:
        database.register("frame", frame.to_arrow())
        database.execute("CREATE TABLE runs AS SELECT * FROM frame")
    answers = []
    for path, query in (
        (runs, ()),
        (runs.with_suffix(".parquet"), ()),
        (runs.with_suffix(".duckdb"), ("--query", "SELECT * FROM runs ORDER BY gap")),
    ):
        assert main(["table", str(path), *QUESTION, "--json", "-", *query]) == 0
        answers.append(json.loads(capsys.readouterr().out)["answers"])
    assert answers[0] == answers[1] == answers[2]


def test_the_terminal_names_the_verdict_the_interval_and_every_test(runs: Path, capsys):
    assert main(["table", str(runs), *QUESTION, "--predictor", "iou", "--expected", "falls"]) == 0
    said = capsys.readouterr().out
    for words in ("supported", "95 % interval", "as expected", "page_trend", "two_way_within_cr2"):
        assert words in said
    assert "gap with iou, seed and dose held fixed" in said


def test_the_page_is_one_file_without_scripts_that_holds_every_number(runs: Path, tmp_path: Path):
    page, written = tmp_path / "page.html", tmp_path / "deep" / "out.json"
    named = runs.with_name("<runs>.csv")
    runs.rename(named)
    outputs = ("--html", str(page), "--json", str(written))
    assert main(["table", str(named), *QUESTION, "--predictor", "iou", *outputs]) == 0
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"<script|https?://|src=|@import", text)
    assert "<runs>" not in text
    held = set(re.findall(r'<data value="([^"]+)"', text))
    for answer in json.loads(written.read_text(encoding="utf-8"))["answers"]:
        for one in answer["evidence"]:
            numbers = [one[key] for key in ("estimate", "standard_error", "df", "p_value")]
            assert {str(number) for number in numbers if number is not None} <= held


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("seed,strength,gap\n", "no rows"),
        ("seed,strength\n1,0\n", "no column 'gap'; there are 'seed', 'strength'"),
        ("seed;gap\n1;0\n", "there are 'seed', 'gap'"),
        ("just a sentence\n", "there are 'just a sentence'"),
        (
            "seed,strength,gap\n1,0,.1\n1,1,abc\n1,2,def\n",
            "row 2, column 'gap': 'abc' is no number",
        ),
        ("seed,strength,gap\n1,0,.1\n1,weak,.2\n", "row 2, column 'strength': 'weak'"),
        ("seed,strength,gap\n1,0,.1\n1,1,-inf\n", "row 2, column 'gap': '-inf' is infinite"),
        ("seed,strength,gap\n1,0,1e999\n", "is infinite"),
        ("seed,strength,gap\n1,0,1e300\n", "row 1, column 'gap': '1e300' is too large"),
        ("seed,strength,gap\n1,0,\n2,0,nan\n", "none of 2 rows has values"),
        ("seed,strength,gap,gap\n1,0,1,2\n", "two columns are named 'gap'"),
        ("seed,strength,gap\n1,0,1,2,3\n", "cannot be read as a table"),
        ("seed,strength,gap\n1,0,\0\n", "not a table"),
    ],
)
def test_a_table_that_cannot_be_read_is_one_line(tmp_path: Path, capsys, content: str, said: str):
    path, out = tmp_path / "runs.csv", tmp_path / "out.json"
    path.write_text(content, encoding="utf-8")
    assert said in refused(capsys, path, *QUESTION, "--json", out)
    assert not out.exists()


def test_a_file_that_is_no_text_or_no_file_is_one_line(tmp_path: Path, capsys):
    path = tmp_path / "runs.csv"
    path.write_bytes("seed,strength,gap\n1,0,.1\nä,1,.2\n".encode("latin-1"))
    assert "line 3 is not UTF-8" in refused(capsys, path, *QUESTION)
    path.write_bytes(b"PAR1 and then nothing")
    assert "cannot be read as a table" in refused(capsys, path, *QUESTION)
    path.write_bytes(b"12345678DUCK and then nothing")
    assert "--query" in refused(capsys, path, *QUESTION)
    assert "cannot be opened" in refused(capsys, path, *QUESTION, "--query", "SELECT 1")
    assert "cannot be read" in refused(capsys, tmp_path / "absent.csv", *QUESTION)
    assert "cannot be read" in refused(capsys, tmp_path, *QUESTION)


def test_two_runs_of_a_seed_at_one_dose_are_refused_with_what_tells_them_apart(runs: Path, capsys):
    both = pl.concat([planted(5).with_columns(arm=pl.lit(arm)) for arm in ("fixed", "matched")])
    both.write_csv(runs)
    said = refused(capsys, runs, *QUESTION)
    assert "rows 1 and 26 both are 'seed' 0 at 'strength' 0" in said
    assert "they differ in 'arm'" in said
    assert main(["table", str(runs), *QUESTION, "--arm", "arm=fixed"]) == 0
    assert "25 of 50 rows" in capsys.readouterr().out
    assert "no row has 'arm' = 'other'; there are 'fixed', 'matched'" in refused(
        capsys, runs, *QUESTION, "--arm", "arm=other"
    )


def test_a_filter_on_a_number_takes_any_way_to_write_it(runs: Path, capsys):
    planted(5).with_columns(tau=0.5).write_parquet(runs)
    assert main(["table", str(runs), *QUESTION, "--arm", "tau=.50"]) == 0
    assert "25 of 25 rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--level", "1.5"), "--level 1.5"),
        (("--level", "nan"), "--level nan"),
        (("--sesoi", "0"), "--sesoi 0"),
        (("--association-sesoi", "nan"), "--association-sesoi nan"),
        (("--arm", "fixed"), "COLUMN=VALUE"),
        (("--looks", "3,8"), "5 seeds, and the declared looks are 3, 8"),
        (("--looks", "8,5"), "--looks '8,5': must be up to 30 ascending numbers"),
        (("--looks", "5,5"), "--looks '5,5'"),
        (("--looks", "2,5"), "--looks '2,5'"),
        (("--looks", "5,many"), "--looks '5,many'"),
        (("--looks", ""), "--looks ''"),
        (("--looks", "5," + "9" * 5000), "ascending numbers"),
        (("--predictor", "gap"), "asked for twice"),
        (("--pool", "seed"), "asked for twice"),
        (("--pool", "teachers"), "no column 'teachers'"),
        (("--query", "SELECT 1"), "needs a DuckDB file"),
    ],
)
def test_an_impossible_wish_is_one_line(runs: Path, capsys, arguments, said: str):
    assert said in refused(capsys, runs, *QUESTION, *arguments)


def test_the_table_itself_is_never_written_over(runs: Path, capsys):
    before = runs.read_bytes()
    assert "the table itself" in refused(capsys, runs, *QUESTION, "--html", runs)
    assert "a folder" in refused(capsys, runs, *QUESTION, "--html", runs.parent)
    same = runs.with_name("out")
    assert "same file" in refused(capsys, runs, *QUESTION, "--html", same, "--json", same)
    below = runs / "out.json"
    assert "cannot be written" in refused(capsys, runs, *QUESTION, "--json", below)
    assert runs.read_bytes() == before
    assert not same.exists()


def test_a_query_cannot_write_nor_reach_other_files(tmp_path: Path, capsys):
    path = tmp_path / "runs.duckdb"
    with duckdb.connect(str(path)) as database:
        database.execute("CREATE TABLE runs AS SELECT 1 AS seed")
    for query in ("DROP TABLE runs", f"SELECT * FROM read_text('{path}')", "SELECT * FROM absent"):
        refused(capsys, path, *QUESTION, "--query", query)
    assert "no column 'strength'" in refused(capsys, path, *QUESTION, "--query", "FROM runs")


def test_at_a_declared_look_questions_are_read_at_its_level(runs: Path, tmp_path: Path, capsys):
    page = tmp_path / "page.html"
    asked = (*QUESTION, "--predictor", "iou", "--looks", "5,10", "--html", str(page))
    assert main(["table", str(runs), *asked, "--json", "-"]) == 0
    written = json.loads(capsys.readouterr().out)
    level = look_levels(0.05 / 3, (0.5, 1.0))[0]
    assert written["sequential"]["look"] == 1
    assert written["sequential"]["next_look"] == 10
    for answer in written["answers"]:
        assert answer["alpha"] == pytest.approx(level, rel=1e-12)
        assert answer["p_holm"] is None
        assert answer["verdict_interval"]["level"] == 1 - answer["alpha"]
        supported = answer["p_value"] <= answer["alpha"]
        assert (answer["verdict"] == "supported") == supported
    assert main(["table", str(runs), *asked]) == 0
    said = " ".join(capsys.readouterr().out.split())
    words = level_words(level)
    assert f"This is look 1 of 2: each of the 3 questions is read at {words}" in said
    assert "for this, the study may stop" in said
    assert "The next look is at 10 seeds." in said
    assert "Holm" not in said.partition("Every test")[0]
    assert "Holm" not in page.read_text(encoding="utf-8").partition("<section>")[0]


def test_one_look_at_the_cap_is_a_table_of_its_own_but_for_bonferroni(runs: Path, capsys):
    verdicts = []
    for looks in ((), ("--looks", "5")):
        assert main(["table", str(runs), *QUESTION, *looks, "--json", "-"]) == 0
        answer = json.loads(capsys.readouterr().out)["answers"][0]
        verdicts.append((answer["verdict"], pytest.approx(answer["alpha"], rel=1e-9)))
    assert verdicts[0] == verdicts[1]


def test_what_is_missing_is_dropped_and_counted(tmp_path: Path, capsys):
    lines = planted(5).write_csv().splitlines()
    lines[3] = "0,0.5,NA,"
    path = tmp_path / "runs.csv"
    path.write_text("\n".join([*lines, ",1.0,.3,.2", ""]), encoding="utf-8")
    assert main(["table", str(path), *QUESTION, "--json", "-"]) == 0
    written = json.loads(capsys.readouterr().out)
    assert written["dropped"] == [{"column": "seed", "rows": 1}, {"column": "gap", "rows": 1}]
    assert (written["rows_read"], written["rows_analyzed"]) == (26, 24)
    assert "seed 0" in written["answers"][0]["caveats"][0]


def test_a_pool_column_lets_a_seed_have_several_rows_per_dose(tmp_path: Path, capsys):
    path, page = tmp_path / "runs.csv", tmp_path / "page.html"
    frame = shared(every_pair(4, 3))
    frame.write_csv(path)
    assert "a seed has one row per dose;" in refused(capsys, path, *QUESTION)
    pooled = (*QUESTION, "--pool", "pool")
    assert main(["table", str(path), *pooled, "--html", str(page)]) == 0
    said = capsys.readouterr().out
    for words in ("3 teacher pools (pool)", "mixed_model_crossed *", "4 seeds but only 3 pools"):
        assert words in said
    assert "mixed_model_crossed" in page.read_text(encoding="utf-8")
    pl.concat([frame, frame[:1]]).write_csv(path)
    assert (
        "rows 1 and 61 both are 'seed' 0 at 'strength' 0 of 'pool' teachers-0, and a seed has one "
        "row per dose and pool"
    ) in refused(capsys, path, *pooled)


def test_a_row_without_a_pool_is_dropped_and_counted(tmp_path: Path, capsys):
    path = tmp_path / "runs.csv"
    lines = shared(every_pair(4, 3)).write_csv().splitlines()
    lines[1] = lines[1].replace("teachers-0", "NA")
    path.write_text("\n".join(lines), encoding="utf-8")
    assert main(["table", str(path), *QUESTION, "--pool", "pool", "--json", "-"]) == 0
    written = json.loads(capsys.readouterr().out)
    assert written["dropped"] == [{"column": "pool", "rows": 1}]
    assert (written["rows_analyzed"], written["pools"]) == (59, 3)
    assert written["columns"]["pool"] == "pool"
