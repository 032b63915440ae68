"""The pages on the store say what the store says of itself."""

import re
from pathlib import Path

from store.database import open_empty
from store.dictionary import main, pages
from store.recipes import recipes
from store.schema import MACROS, REFERENCES, TABLES, VIEWS

DOCS = Path(__file__).parents[2] / "docs"


def test_the_written_pages_are_up_to_date(capsys):
    assert main(["--check", "--folder", str(DOCS)]) == 0, capsys.readouterr().err


def test_an_outdated_page_is_named(tmp_path: Path, capsys):
    assert main(["--check", "--folder", str(tmp_path)]) == 2
    assert "store.md is missing; run python -m store.dictionary" in capsys.readouterr().err
    assert main(["--folder", str(tmp_path)]) == 0
    (tmp_path / "cookbook.md").write_text("edited")
    assert main(["--check", "--folder", str(tmp_path)]) == 2
    assert "cookbook.md is not what the store says" in capsys.readouterr().err


def test_every_table_view_column_and_macro_is_described():
    text = pages()["store.md"]
    for name in (*(frame.name for frame in TABLES), *VIEWS):
        assert f"\n### {name}\n" in text
    with open_empty() as reader:
        columns = reader.frame("SELECT column_name FROM duckdb_columns() WHERE NOT internal")
    assert text.count("\n| `") == columns.height + 10
    assert "| `energy_kwh(seconds, watts)` | a value |" in text
    assert "| `attention_iou_at(tau)` | a table |" in text
    assert MACROS


def test_the_diagram_has_every_table_its_key_and_every_tie():
    diagram = re.search(r"```mermaid\nerDiagram\n(.*?)```", pages()["store.md"], re.DOTALL)
    assert diagram is not None
    for frame in TABLES:
        entity = re.search(rf"\n    {frame.name} {{\n(.*?)    }}", diagram[1], re.DOTALL)
        assert entity is not None
        keys = re.findall(r"\S+ (\w+) PK", entity[1])
        assert set(keys) == set(frame.key)
    ties = re.findall(r'    (\w+) (?:\|\||\|o)--o{ (\w+) : "(\w+)"', diagram[1])
    assert ties == [(r.home, r.table, r.column) for r in REFERENCES]
    assert "condition |o--o{ model" in diagram[1]


def test_every_recipe_is_in_the_cookbook_and_linked():
    text = pages()["cookbook.md"]
    for recipe in recipes():
        assert f"\n## {recipe.number:02d} {recipe.name}\n" in text
        assert f"(#{recipe.number:02d}-{recipe.name})" in text
        assert f"```sql\n{recipe.sql}\n```" in text
