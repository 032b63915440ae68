"""Keep a store of the present schema as later software will find it.

    PYTHONPATH=. python tests/store/released.py

writes ``fixtures/schema-N.duckdb.gz``, a synthetic study's store, and ``fixtures/schema-N.json``:
a hash of every column, and the measures that its views gave. To be run once for each schema
version, by the software that is released with it.
"""

import gzip
import hashlib
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import polars as pl
from synthetic import make_study

from store.builder import record_analysis, record_estimates
from store.database import Reader, open_reader
from store.frame import Frame
from store.frames import ESTIMATE, EVIDENCE, FINDING, SPECIFICATION
from store.ledger import SCHEMA_VERSION
from store.schema import TABLES

FIXTURES = Path(__file__).with_name("fixtures")
CLAIM = {
    "hypothesis": "H1",
    "arm": "fixed",
    "form": "plain",
    "outcome": "attention_iou_adjusted",
    "predictor": "teacher_strength",
}


def column_hashes(reader: Reader) -> dict[str, str]:
    """Hash every column's values in order of the table's key, by ``table.column``."""
    return {
        f"{frame.name}.{name}": _hash(values)
        for frame in TABLES
        for name, values in _columns(reader, frame).items()
    }


def _columns(reader: Reader, frame: Frame) -> dict[str, pl.Series]:
    rows = reader.frame(f'SELECT * FROM "{frame.name}"').sort(frame.key)
    return {name: rows[name] for name in rows.columns}


def _hash(values: pl.Series) -> str:
    text = json.dumps(
        values.to_list(),
        default=lambda value: value.hex() if isinstance(value, bytes) else str(value),
    )
    return hashlib.sha256(text.encode()).hexdigest()


def measures(reader: Reader) -> list[dict[str, object]]:
    return reader.frame("SELECT * FROM measures ORDER BY student_id").to_dicts()


def conclude(store: Path) -> None:
    """Give a store an estimate, an evidence, a finding and a specification."""
    estimate = {
        "student_id": 5,
        "half": "all",
        "measure": "attention_iou_adjusted",
        "value": 0.25,
        "estimator": "drawn",
    }
    evidence = CLAIM | {
        "test": "per_seed_slope_t",
        "rank": "primary",
        "method": "one slope per seed",
        "value_name": "slope",
        "estimate": -0.2,
        "unit": "index per unit of strength",
        "q_value": 0.04,
        "interval_low": float("-inf"),
        "n": 2,
        "rows": 4,
        "caveats": ["a", "b"],
    }
    finding = CLAIM | {
        "deciding": True,
        "as_published": False,
        "verdict": "supported",
        "sentence": "It falls.",
        "n": 2,
        "outcome_verdict": "supported",
        "unit": "index",
        "size_uncertain": False,
        "caveats": [],
    }
    specification = {
        "hypothesis": "H1",
        "arm": "fixed",
        "specification": 0,
        "choices": ["map", "threshold"],
        "options": ["cam_label", "0.4"],
        "standing": "counted",
        "deciding": True,
        "outcome": "attention_iou_adjusted",
        "predictor": "teacher_strength",
        "test": "per_seed_slope_t",
        "estimate": -0.2,
        "unit": "index per unit of strength",
        "standardized": 1.5,
        "standardized_interval_low": float("-inf"),
        "n": 2,
    }
    record_estimates(store, _rows(ESTIMATE, estimate))
    record_analysis(
        store,
        evidence=_rows(EVIDENCE, evidence),
        findings=_rows(FINDING, finding),
        specifications=_rows(SPECIFICATION, specification),
    )


def _rows(frame: Frame, values: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame([dict.fromkeys(frame.schema) | values], schema=frame.schema)


def main() -> None:
    FIXTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        study = make_study(
            Path(folder),
            seeds=2,
            strengths=(0, 1),
            test_images=20,
            train_images=20,
            failed=[(1, 2)],
            not_finite=[(0, 5)],
        )
        conclude(study.store)
        with open_reader(study.store) as reader:
            kept = {"columns": column_hashes(reader), "measures": measures(reader)}
        target = FIXTURES / f"schema-{SCHEMA_VERSION}.duckdb.gz"
        target.write_bytes(gzip.compress(study.store.read_bytes(), 9, mtime=0))
    text = json.dumps(kept, indent=1, sort_keys=True)
    target.with_name(f"schema-{SCHEMA_VERSION}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
