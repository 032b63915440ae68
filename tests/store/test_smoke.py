from pathlib import Path

import pytest

from analyze.questions import questions_of
from store.design import Design
from store.errors import StudyError
from store.images import PublishedData
from store.smoke import SEEDS, TEST_IMAGES, TRAIN_IMAGES, prepare_smoke, smoke_design
from store.study_file import load_design

CONFIG = Path(__file__).parents[2] / "config"
TRAINED = sorted(
    path for path in CONFIG.glob("*.yaml") if "kind: foreign" not in path.read_text("utf-8")
)


@pytest.fixture
def smoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Prepare a study's smoke run in a folder without images."""
    monkeypatch.delenv("KD_DATA", raising=False)
    monkeypatch.chdir(tmp_path)

    def prepared(study: Path) -> tuple[Design, Path]:
        file = prepare_smoke(study, None)
        return load_design(file), file

    return prepared


@pytest.mark.parametrize("study", TRAINED, ids=lambda path: path.stem)
def test_every_shipped_study_is_cut_to_one_that_keeps_its_networks_and_conditions(
    study: Path, smoke, monkeypatch
):
    cut, file = smoke(study)
    monkeypatch.setenv("KD_DATA", "images")
    whole = load_design(study)
    assert file == Path("results") / cut.study / "study.yaml"
    assert cut.study.startswith(f"{whole.study}-smoke")
    assert cut.title.startswith("A smoke run, not a study")
    assert cut.plan() == whole.plan()
    assert questions_of(cut)
    assert [(q.hypothesis, q.arm) for q in questions_of(cut)] == [
        (q.hypothesis, q.arm) for q in questions_of(whole)
    ]
    assert cut.seeds == SEEDS
    assert cut.dataset.test_size <= TEST_IMAGES
    assert cut.dataset.train_subset.size <= TRAIN_IMAGES
    assert (cut.distillation, cut.augmentation) == (whole.distillation, whole.augmentation)
    networks = cut.own_training.networks.by_role()
    for role, network in whole.own_training.networks.by_role().items():
        assert type(networks[role]) is type(network)
        assert getattr(networks[role], "depth", None) == getattr(network, "depth", None)
        assert getattr(networks[role], "weights", "none") == "none"


def test_images_at_hand_are_used_and_others_made_up_apart_from_them(smoke, tmp_path: Path):
    made_up, _ = smoke(CONFIG / "cifar10.yaml")
    assert isinstance(made_up.dataset, PublishedData)
    assert made_up.dataset.root == f"results/{made_up.study}/images"
    assert not made_up.dataset.download  # no network is asked for
    for file in made_up.dataset.published.files:
        place = tmp_path / "data" / file.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    own, _ = smoke(CONFIG / "cifar10.yaml")
    assert own.dataset.root == "data"
    assert own.study != made_up.study
    assert "made-up" in made_up.title
    assert "made-up" not in own.title


def test_a_smoke_run_prepared_again_leaves_its_file_alone(smoke):
    _, file = smoke(CONFIG / "digits.yaml")
    before = file.stat().st_mtime_ns
    smoke(CONFIG / "digits.yaml")
    assert file.stat().st_mtime_ns == before


def test_a_damaged_smoke_study_is_written_anew(smoke):
    _, file = smoke(CONFIG / "digits.yaml")
    text = file.read_bytes()
    file.write_bytes(text.replace(b"s", b"\xf3", 1))
    smoke(CONFIG / "digits.yaml")
    assert file.read_bytes() == text


def test_a_learning_rate_that_falls_in_steps_still_falls(smoke):
    cut, _ = smoke(CONFIG / "paper-cifar100.yaml")
    for recipe in (cut.own_training.training.teacher, cut.own_training.training.student):
        assert recipe.schedule == "step"
        assert 0 < min(recipe.milestones) < recipe.epochs


def test_lists_keep_their_names_in_the_folder_of_made_up_images(smoke):
    cut, _ = smoke(CONFIG / "paper-imagenet-lt.yaml")
    assert cut.dataset.path == f"results/{cut.study}/images"
    assert cut.dataset.train_list == "ImageNet_LT_train.txt"


def test_a_name_of_the_greatest_length_still_says_that_it_is_a_smoke_run():
    design = load_design(CONFIG / "digits.yaml").model_copy(update={"study": "s" * 63})
    assert smoke_design(design, images=None).study == "s" * 57 + "-smoke"


def test_a_study_that_is_trained_elsewhere_has_none(smoke):
    with pytest.raises(StudyError, match=r"digits-mlp.yaml: .* trained elsewhere"):
        smoke(CONFIG / "digits-mlp.yaml")
