"""Answers as text: nothing is lost, nothing can be taken for something else."""

import json
from datetime import UTC, datetime

import polars as pl
import pytest

from store.show import as_markdown, csv, strict_json, table

ODD = pl.DataFrame(
    {
        "number": [1.0, float("inf"), float("-inf"), float("nan"), None],
        "text": ["a,b", "", None, 'say "x"', "NULL"],
        "list": [[1, 2], [], None, [None], [3]],
        "bytes": [b"\x89P", b"", None, b"x", b"y"],
    },
    schema={
        "number": pl.Float64,
        "text": pl.String,
        "list": pl.List(pl.Int32),
        "bytes": pl.Binary,
    },
)


def test_csv_reads_back_as_it_was():
    text = csv(ODD)
    assert text.splitlines()[:3] == [
        "number,text,list,bytes",
        '1.0,"a,b","[1, 2]",8950',
        'inf,"",[],""',
    ]
    back = pl.read_csv(text.encode(), schema=dict.fromkeys(ODD.columns, pl.String))
    assert back["text"].to_list() == ODD["text"].to_list()
    assert back["number"].cast(pl.Float64).equals(ODD["number"], null_equal=True)
    lists = [None if item is None else json.loads(item) for item in back["list"]]
    assert lists == ODD["list"].to_list()


def test_json_is_strict_and_keeps_what_is_not_finite():
    def refuse(text: str) -> None:
        raise AssertionError(text)

    rows = json.loads(strict_json(ODD), parse_constant=refuse)
    assert [row["number"] for row in rows] == [1.0, "Infinity", "-Infinity", "NaN", None]
    assert [row["text"] for row in rows] == ODD["text"].to_list()
    assert [row["list"] for row in rows] == ODD["list"].to_list()
    assert [row["bytes"] for row in rows] == ["8950", "", None, "78", "79"]
    moment = pl.DataFrame({"at": [datetime(2026, 1, 2, 3, tzinfo=UTC)], "x": [0.1 + 0.2]})
    assert strict_json(moment) == '[{"at": "2026-01-02T03:00:00+00:00", "x": 0.30000000000000004}]'
    assert strict_json(moment.clear()) == "[]"


def test_a_struct_is_json_in_every_form():
    frame = pl.DataFrame({"pair": [{"a": 1.5, "b": None}]})
    assert strict_json(frame) == '[{"pair": {"a": 1.5, "b": null}}]'
    assert csv(frame) == 'pair\n"{""a"": 1.5, ""b"": null}"\n'
    assert '{"a": 1.5, "b": null}' in table(frame, width=80)


def test_a_table_spells_null_out_and_aligns_numbers():
    text = table(ODD.select("number", "text"), width=80)
    assert text.splitlines() == [
        "┌────────┬─────────┐",
        "│ number │ text    │",
        "╞════════╪═════════╡",
        "│      1 │ a,b     │",
        "│    inf │         │",
        "│   -inf │ NULL    │",
        '│    nan │ say "x" │',
        "│   NULL │ NULL    │",
        "└────────┴─────────┘",
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_line_is_wider_than_the_terminal(width: int):
    words = "a measure that is defined in many words " * 4
    frame = pl.DataFrame({"name": ["ece", "loss"], "value": [0.25, 1.0], "meaning": [words, "x"]})
    text = table(frame, width=width)
    assert max(map(len, text.splitlines())) <= width
    assert " ".join(words.split())[:20] in text
    assert set(words.split()) <= set(text.replace("│", " ").split())


def test_an_answer_too_wide_for_a_table_is_shown_row_by_row():
    frame = pl.DataFrame({f"column_{place}": [place, None] for place in range(12)})
    lines = table(frame, width=60).splitlines()
    assert lines[0].startswith("── row 1 ──")
    assert lines[1] == "column_0  │ 0"
    assert lines[12] == "column_11 │ 11"
    assert lines[13].startswith("── row 2 ──")
    assert lines[14] == "column_0  │ NULL"


def test_a_longer_answer_says_how_much_is_not_shown():
    frame = pl.DataFrame({"x": range(50)})
    assert table(frame, width=80, limit=3).endswith("\nthe first 3 of 50 rows")
    assert "rows" not in table(frame, width=80)


def test_an_empty_answer_has_its_columns_still():
    text = table(pl.DataFrame(schema={"student_id": pl.Int32}), width=80)
    assert text.splitlines()[1] == "│ student_id │"
    assert table(pl.DataFrame(), width=80) == ""


def test_text_of_a_study_cannot_steer_the_terminal():
    frame = pl.DataFrame({"title": ["\x1b[2J\x1b]0;x\x07 two\nlines\tand\r\u202eback"]})
    text = table(frame, width=120)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert len(text.splitlines()) == 5
    assert "\\x1b[2J" in text


def test_any_text_is_shown_by_markdown_as_it_is():
    assert as_markdown("<script>alert(1)</script>") == r"\<script\>alert(1)\</script\>"
    assert as_markdown("[x](javascript:1) `a`|b\n# c") == r"\[x\](javascript:1) \`a\`\|b \# c"
    assert as_markdown("plain, and 1.5 - 2") == "plain, and 1.5 - 2"
