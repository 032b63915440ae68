"""The command: page and text, whole or not at all; a user's mistake is one line."""

from reports.job import main


def test_the_command_writes_the_page_its_text_and_nothing_else(drawn, tmp_path):
    out = tmp_path / "deep" / "report.html"
    arguments = [str(drawn.study), "--store", str(drawn.store), "--results", str(drawn.results)]
    assert main([*arguments, "--out", str(out)]) == 0
    assert sorted(path.name for path in out.parent.iterdir()) == ["report.html", "report.md"]


def test_two_reports_of_the_same_results_are_the_same_bytes(drawn, tmp_path):
    before = drawn.page.read_bytes()
    assert drawn.write().page.read_bytes() == before


def test_missing_results_are_said_in_one_line_and_nothing_is_written(drawn, tmp_path, capsys):
    out = tmp_path / "report.html"
    missing = str(tmp_path / "none.json")
    arguments = [str(drawn.study), "--store", str(drawn.store), "--results", missing]
    assert main([*arguments, "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {missing}")
    assert said.count("\n") == 1
    assert not out.exists()


def test_a_missing_store_leaves_an_older_page_as_it_was(drawn, tmp_path, capsys):
    out = tmp_path / "report.html"
    out.write_text("older")
    missing = str(tmp_path / "none.duckdb")
    arguments = [str(drawn.study), "--store", missing, "--results", str(drawn.results)]
    assert main([*arguments, "--out", str(out)]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert out.read_text() == "older"
