"""Are files of another declaration named, and only those?"""

from pathlib import Path

import pytest
from synthetic import SyntheticStudy, make_study

from store.design import Design
from store.job import update_store
from store.outdated import outdated
from store.study_file import load_design


@pytest.fixture
def stored(tmp_path: Path) -> SyntheticStudy:
    study = make_study(tmp_path, seeds=4, strengths=(0, 1), test_images=30, built=False)
    ledger = study.results / "ledger.json"
    update_store(study.study_file, packs=study.packs, store=study.store, ledger=ledger)
    return study


def _declared(study: SyntheticStudy, old: str, new: str) -> Design:
    text = study.study_file.read_text()
    assert old in text
    study.study_file.write_text(text.replace(old, new))
    return load_design(study.study_file)


def test_nothing_is_outdated_that_is_of_the_study_or_not_there(stored: SyntheticStudy):
    assert outdated(stored.design, stored.results) == []
    assert outdated(stored.design, stored.results / "elsewhere") == []


def test_another_threshold_of_the_masks_leaves_the_packs(stored: SyntheticStudy):
    changed = _declared(stored, "tau: 0.4", "tau: 0.5")
    assert outdated(changed, stored.results) == [stored.results / "ledger.json"]


def test_other_training_outdates_every_pack(stored: SyntheticStudy):
    changed = _declared(stored, "study_seed: ", "study_seed: 1")
    assert outdated(changed, stored.results) == [*stored.packs, stored.results / "ledger.json"]


def test_a_pack_that_is_no_pack_is_left_to_whoever_reads_it(stored: SyntheticStudy):
    stored.packs[0].write_text("{")
    changed = _declared(stored, "study_seed: ", "study_seed: 1")
    assert outdated(changed, stored.results)[0] == stored.packs[1]
