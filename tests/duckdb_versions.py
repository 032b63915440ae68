"""``python -m tests.duckdb_versions STORE``: ask one store with several versions of DuckDB.

Each version is installed from PyPI into an environment of its own under build/, and so is the
command-line program. All views, tables, macros and recipes of the cookbook are asked, and the
answers compared by content.
"""

import argparse
import json
import math
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from store.database import open_reader
from store.schema import MACROS, quoted

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "build" / "duckdb"
LIBRARIES = ("1.4", "1.5", "2.0")
PROGRAMS = ("1.4", "1.5")
"""Releases of duckdb-cli; PyPI has none of 2.0."""

_ASK = """
import json, sys, time
import duckdb
file, questions = sys.argv[1:]
connection = duckdb.connect(file, read_only=True, config={"threads": 1})
connection.execute("SET enable_progress_bar = false")
print(json.dumps(["version", duckdb.__version__, 0]), flush=True)
for name, sql in json.load(open(questions)):
    started = time.monotonic()
    try:
        answer = [str(x) if isinstance(x, int) else x for x in connection.execute(sql).fetchone()]
    except Exception as error:
        answer = f"{type(error).__name__}: " + " ".join(str(error).split())[:300]
    print(json.dumps([name, answer, time.monotonic() - started]), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Answers:
    """What one version said. said: by question. refused: questions that it could not answer."""

    version: str
    said: dict[str, object]
    refused: dict[str, str]
    seconds: float


def main() -> int:
    """Run the command line; return 1 where a version refuses or says something else."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.duckdb_versions",
        description="Ask one store with several versions of DuckDB; compare what they say.",
        epilog="example: python -m tests.duckdb_versions results/digits/store.duckdb",
    )
    parser.add_argument("store", type=Path, help="the store; it is only read")
    store = parser.parse_args().store.resolve()
    questions = _questions(store)
    PLACE.mkdir(parents=True, exist_ok=True)
    (PLACE / "questions.json").write_text(json.dumps(questions))
    everyone = [_ask_library(store, version) for version in LIBRARIES]
    everyone += [_ask_program(store, version, questions) for version in PROGRAMS]
    wrong = 0
    for answers in everyone:
        differ = [
            name
            for name, said in everyone[-len(PROGRAMS) - 1].said.items()
            if name in answers.said and not _same(said, answers.said[name])
        ]
        lines = [
            f"{answers.version}: {len(answers.said)} of {len(questions)} answered in "
            f"{answers.seconds:.1f} s, {len(answers.refused)} refused, {len(differ)} differ",
            *(f"  refused {name}: {why}" for name, why in answers.refused.items()),
            *(f"  differs {name}: {answers.said[name]}" for name in differ),
        ]
        sys.stdout.write("\n".join(lines) + "\n")
        wrong += len(differ) + len(answers.refused) + (len(answers.said) < len(questions))
    return int(wrong > 0)


def _questions(store: Path) -> list[tuple[str, str]]:
    """One row per table, view, macro and recipe that sums up all that it says."""
    with open_reader(store) as reader:
        names = reader.frame(
            "SELECT table_name AS name FROM duckdb_tables() UNION ALL SELECT view_name "
            "FROM duckdb_views() WHERE NOT internal ORDER BY name"
        )["name"].to_list()
        asked = [(name, f"SELECT * FROM {quoted(name)}") for name in names]
        asked += [
            (path.name, path.read_text(encoding="utf-8"))
            for path in sorted((ROOT / "store" / "cookbook").glob("*.sql"))
        ]
        if "attention_iou_at" in MACROS:
            asked.append(("attention_iou_at", "SELECT * FROM attention_iou_at(0.5)"))
        summed = []
        for name, sql in asked:
            text = sql.strip().rstrip(";")
            columns = reader.frame(f"DESCRIBE {text}").select("column_name", "column_type")
            parts = [_summed(quoted(column), kind) for column, kind in columns.iter_rows()]
            summed.append((name, f"SELECT count(*), {', '.join(parts)} FROM (\n{text}\n)"))
    return summed


def _summed(column: str, kind: str) -> str:
    """Sum a column up: numbers by their sum and squares, all else by a hash of every value."""
    if kind in ("DOUBLE", "FLOAT"):
        finite = f"CASE WHEN isfinite({column}) THEN {column}::DOUBLE END"
        return f"count({column}), sum({finite}), sum(({finite}) ** 2)"
    if kind == "BLOB":
        return f"sum(md5_number_lower({column})::HUGEINT)"
    return f"count({column}), sum(md5_number_lower({column}::VARCHAR)::HUGEINT)"


def _environment(name: str, package: str, version: str) -> Path:
    folder = PLACE / name
    if not (folder / "ready").exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run(
            [
                *(str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"),
                *("--disable-pip-version-check", f"{package}=={version}.*"),
            ],
            check=True,
        )
        (folder / "ready").touch()
    return folder / "bin"


def _ask_library(store: Path, version: str) -> Answers:
    programs = _environment(f"library-{version}", "duckdb", version)
    done = subprocess.run(
        [str(programs / "python"), "-c", _ASK, str(store), str(PLACE / "questions.json")],
        capture_output=True,
        text=True,
        check=False,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    if not rows:
        return Answers(f"duckdb {version}", {}, {"the file": done.stderr.strip()[-300:]}, 0)
    return Answers(
        version=f"duckdb {rows[0][1]}",
        said={name: said for name, said, _ in rows[1:] if isinstance(said, list)},
        refused={name: said for name, said, _ in rows[1:] if not isinstance(said, list)},
        seconds=sum(row[2] for row in rows),
    )


def _ask_program(store: Path, version: str, questions: list[tuple[str, str]]) -> Answers:
    """Ask the command-line program, one question a call, as a user does."""
    program = _environment(f"program-{version}", "duckdb-cli", version) / "duckdb"
    shown = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=True)
    said: dict[str, object] = {}
    refused: dict[str, str] = {}
    for name, sql in questions:
        done = subprocess.run(
            [str(program), "-readonly", "-csv", "-noheader", str(store), sql],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            refused[name] = " ".join(done.stderr.split())[:300]
        else:
            said[name] = [
                None if v == "NULL" or not v else v for v in done.stdout.strip().split(",")
            ]
    return Answers(f"duckdb-cli {shown.stdout.split()[0]}", said, refused, 0)


def _same(one: object, other: object) -> bool:
    """Whether two answers are equal, sums of floats up to rounding."""
    if not isinstance(one, list) or not isinstance(other, list) or len(one) != len(other):
        return False
    return all(_equal(a, b) for a, b in zip(one, other, strict=True))


def _equal(one: object, other: object) -> bool:
    if one is None or other is None:
        return one is other
    if isinstance(one, float) or isinstance(other, float):
        return math.isclose(float(str(one)), float(str(other)), rel_tol=1e-9, abs_tol=1e-12)
    return str(one) == str(other)


if __name__ == "__main__":
    sys.exit(main())
