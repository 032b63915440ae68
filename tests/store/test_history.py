"""What earlier analyses found outlives growth, rebuilding and the store itself."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from synthetic import SyntheticStudy, make_study
from synthetic_study import write_study

from store.builder import build, record_analysis
from store.database import open_reader
from store.errors import StoreError
from store.frames import EVIDENCE, FINDING, FINDING_HISTORY
from store.history import history_file, united

SMALL = {
    "seeds": 3,
    "strengths": (0,),
    "arms": ("fixed",),
    "test_images": 20,
    "train_images": 20,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SyntheticStudy:
    """A study with a store of two of its three seeds, not to be changed."""
    made = make_study(tmp_path_factory.mktemp("study"), **SMALL, built=False)
    grow(made, 2)
    return made


@pytest.fixture
def study(made: SyntheticStudy, tmp_path: Path) -> SyntheticStudy:
    """The study with a store of its own, to be changed."""
    store = tmp_path / "store.duckdb"
    shutil.copy(made.store, store)
    return replace(made, store=store)


def grow(study: SyntheticStudy, seeds: int) -> None:
    build(study.store, design=study.design, shards=study.shards, members=study.members[:seeds])


def finding(verdict: str, n: int) -> pl.DataFrame:
    row = dict.fromkeys(FINDING.schema) | {
        "hypothesis": "H1",
        "arm": "fixed",
        "form": "plain",
        "outcome": "attention_iou_adjusted",
        "predictor": "teacher_strength",
        "deciding": True,
        "as_published": False,
        "verdict": verdict,
        "sentence": f"It is {verdict}; so 'they' say.",
        "n": n,
        "outcome_verdict": verdict,
        "estimate": -0.25,
        "unit": "index per unit of strength",
        "size_uncertain": False,
        "caveats": [],
    }
    return pl.DataFrame([row], schema=FINDING.schema)


def analyse(study: SyntheticStudy, verdict: str, n: int) -> None:
    record_analysis(
        study.store, evidence=pl.DataFrame(schema=EVIDENCE.schema), findings=finding(verdict, n)
    )


def told(store: Path) -> list[tuple[int, str]]:
    with open_reader(store) as reader:
        rows = reader.frame("SELECT seeds, verdict FROM finding_history ORDER BY analysed_at")
    return rows.rows()


def test_each_look_at_a_growing_study_is_kept(study: SyntheticStudy):
    analyse(study, "undecided", 2)
    grow(study, 3)
    with open_reader(study.store) as reader:
        assert reader.frame("SELECT * FROM finding").height == 0
    assert told(study.store) == [(2, "undecided")]
    analyse(study, "supported", 3)
    assert told(study.store) == [(2, "undecided"), (3, "supported")]
    with open_reader(study.store) as reader:
        row = reader.frame("SELECT * FROM finding_history WHERE seeds = 3").row(0, named=True)
    assert row["study"] == "synthetic"
    assert row["study_hash"] == study.design.study_hash()
    assert row["sentence"] == "It is supported; so 'they' say."
    assert row["estimate"] == -0.25
    assert row["p_value"] is None


def test_the_same_analysis_again_is_no_second_look(study: SyntheticStudy):
    analyse(study, "undecided", 2)
    with open_reader(study.store) as reader:
        first = reader.frame("SELECT * FROM finding_history")
    analyse(study, "undecided", 2)
    with open_reader(study.store) as reader:
        assert reader.frame("SELECT * FROM finding_history").equals(first)
    analyse(study, "supported", 2)
    assert told(study.store) == [(2, "undecided"), (2, "supported")]


@pytest.mark.parametrize("loss", ["damaged", "deleted"])
def test_the_history_outlives_the_store(study: SyntheticStudy, loss: str):
    analyse(study, "undecided", 2)
    if loss == "damaged":
        study.store.write_bytes(b"damaged")
    else:
        study.store.unlink()
    grow(study, 2)
    assert told(study.store) == [(2, "undecided")]


def test_the_store_alone_keeps_the_history_when_its_masks_are_made_anew(
    study: SyntheticStudy, tmp_path: Path
):
    analyse(study, "undecided", 2)
    history_file(study.store).unlink()
    design, _ = write_study(tmp_path, **SMALL, tau=0.7)
    build(study.store, design=design, shards=study.shards, members=study.members)
    assert told(study.store) == [(2, "undecided")]


def test_a_store_beside_another_has_a_history_of_its_own(study: SyntheticStudy, tmp_path: Path):
    analyse(study, "undecided", 2)
    other = study.store.with_name("other.duckdb")
    build(other, design=study.design, shards=study.shards, members=study.members)
    assert told(other) == []


def test_a_damaged_history_stops_the_build_in_one_line(study: SyntheticStudy):
    analyse(study, "undecided", 2)
    history_file(study.store).write_bytes(b"PAR1")
    with pytest.raises(StoreError, match=r"finding_history.parquet: cannot be read: .* move it"):
        grow(study, 3)
    assert told(study.store) == [(2, "undecided")]


def test_histories_unite_to_one_row_a_look_whatever_their_order():
    def look(analysis: str, day: int, **more: object) -> pl.DataFrame:
        row = dict.fromkeys(FINDING_HISTORY.schema) | {
            "analysis": analysis,
            "analysed_at": datetime(2026, 1, day, tzinfo=UTC),
            "study": "synthetic",
            "hypothesis": "H1",
            "arm": "fixed",
            "form": "plain",
            "outcome": "o",
            "predictor": "p",
        }
        return pl.DataFrame([row | more], schema=FINDING_HISTORY.schema)

    first, again, second = look("a", 1), look("a", 5), look("b", 3)
    # an earlier version kept no column sentence; another study's looks are not ours
    old = second.drop("sentence")
    foreign = look("c", 2, study="other")
    one = united([first, again, old, foreign], study="synthetic")
    other = united([foreign, old, again, first], study="synthetic")
    assert one.equals(other)
    assert one["analysis"].to_list() == ["a", "b"]
    assert one["analysed_at"].dt.day().to_list() == [1, 3]
