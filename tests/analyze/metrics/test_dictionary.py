"""The written data dictionary says what the definitions say."""

import re
from pathlib import Path

import pytest

from analyze.metrics.dictionary import DEFAULT_FILE, dictionary, main
from store.measures import MEASURES

WRITTEN = Path(__file__).parents[3] / DEFAULT_FILE


def test_the_file_in_docs_is_up_to_date():
    assert main(["--check", "--file", str(WRITTEN)]) == 0


def test_every_measure_has_one_entry_and_every_link_leads_to_one():
    text = dictionary()
    entries = re.findall(r"^## (\w+)$", text, flags=re.MULTILINE)
    assert entries == [measure.name for measure in MEASURES]
    links = re.findall(r"\]\(#(\w+)\)", text)
    assert set(links) == set(entries)
    assert len(links) == len(entries) + sum(m.published is not None for m in MEASURES)


def test_a_difference_or_a_missing_file_fails_in_one_line_and_writing_mends_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "measures.md"
    assert main(["--check", "--file", str(file)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["--file", str(file)]) == 0
    assert main(["--check", "--file", str(file)]) == 0
    file.write_text(file.read_text().replace("top-1", "top-5"))
    assert main(["--check", "--file", str(file)]) == 2
    assert "run python -m" in capsys.readouterr().err


def test_no_definition_breaks_out_of_its_table_row():
    rows = [line for line in dictionary().splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}
