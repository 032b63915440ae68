"""The command that plans seeds: what it reads, writes, says, and refuses."""

import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from table_simulated import planted

from analyze.__main__ import main
from analyze.power_command import Progress

GIVEN = ("--strengths", "0,.5,1", "--residual-sd", "1", "--effect", "2", "--sesoi", "1")
COLUMNS = ("--block", "seed", "--dose", "strength", "--outcome", "gap")
QUICK = ("--simulations", "20", "--max-seeds", "12")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    path = tmp_path / "runs.csv"
    planted(5).write_csv(path)
    return path


def asked(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict:
    """What ``--json -`` prints."""
    assert main(["power", *map(str, arguments), *QUICK, "--json", "-"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that a mistake gives; nothing else is printed."""
    assert main(["power", *map(str, arguments)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    return printed.err


def test_the_terminal_says_how_many_seeds_to_plan(capsys):
    assert main(["power", *GIVEN, *QUICK, "--claims", "2", "--looks", "4,8", "--seeds", "7"]) == 0
    said = capsys.readouterr().out
    for words in (
        "error rate .05 over 2 primary claims (Holm)",
        "True effects: as given",
        "Plan ",
        "Adding seeds by the group-sequential rule, looks at 4, 8 seeds",
        "± ",
    ):
        assert words in " ".join(said.split())
    assert re.search(r"^7 +[\d.]+ ± \.\d+$", said, re.MULTILINE)
    assert "cautious" not in said


def test_the_same_seed_gives_the_same_answer_whatever_the_jobs(capsys):
    first = asked(capsys, *GIVEN, "--seed", "5")
    assert first == asked(capsys, *GIVEN, "--seed", "5", "--jobs", "2")
    assert first["claims"] != asked(capsys, *GIVEN, "--seed", "6")["claims"]


def test_an_association_is_seen_as_much_as_its_predictor_is_reliable(capsys):
    found = asked(capsys, *GIVEN, "--predictor-sd", "2", "--reliability", ".5")
    part = found["claims"][0]["claim"]["parts"][0]
    assert (part["effect"], part["reliability"]) == (1.0, 0.5)
    whole = asked(capsys, *GIVEN, "--predictor-sd", "2")["claims"][0]["claim"]
    assert (whole["id"], whole["parts"][0]["effect"]) == ("association", 2.0)


def test_a_table_of_runs_is_a_pilot(runs: Path, capsys):
    sesoi = ("--sesoi", ".05", "--predictor-sesoi", ".05", "--association-sesoi", ".5")
    found = asked(capsys, runs, *COLUMNS, "--predictor", "iou", "--expected", "falls", *sesoi)
    assert (found["kind"], found["pilot_seeds"], found["family"]) == ("table", 5, 3)
    ids = [one["claim"]["id"] for one in found["claims"]]
    assert ids == ["trend", "predictor_trend", "association"]
    trend = found["claims"][0]["claim"]
    assert (trend["sign"], trend["parts"][0]["effect"]) == (-1, -0.05)
    assert {goal["goal"] for goal in found["claims"][0]["goals"]} >= {"supported_cautiously"}
    # the pilot's own number of seeds is always simulated
    assert 5 in [point["seeds"] for point in found["claims"][0]["goals"][0]["points"]]


def test_the_pilots_own_effect_comes_with_a_warning(runs: Path, capsys):
    arguments = (str(runs), *COLUMNS, "--sesoi", ".05", "--effect", "observed", *QUICK)
    assert main(["power", *arguments]) == 0
    assert "winner's curse" in " ".join(capsys.readouterr().out.split())
    found = asked(capsys, *arguments)
    part = found["claims"][0]["claim"]["parts"][0]
    assert part["effect"] == part["estimate"]
    assert found["observed"]


def test_a_study_that_was_stored_is_a_pilot(synthetic_study, capsys):
    study = synthetic_study(seeds=4)
    # the analysis that estimates attention has not run, so that H1 cannot be planned
    found = asked(capsys, study.store, "--claims", "H1,H2a", "--effect", "2")
    assert (found["kind"], found["source"], found["pilot_seeds"]) == ("study", "synthetic", 4)
    lacking, gap = found["claims"]
    assert (lacking["claim"]["id"], lacking["goals"]) == ("H1", [])
    assert "No student has a value" in lacking["claim"]["why_not"]
    assert gap["claim"]["parts"][0]["effect"] == -0.04
    assert gap["level"] == 0.025
    other = study.study_file.with_name("other.yaml")
    declared = study.study_file.read_text()
    other.write_text(declared.replace("{generalization_gap: 0.02}", "{generalization_gap: 0.03}"))
    found = asked(capsys, study.store, "--study", other, "--claims", "H2a")
    assert found["claims"][0]["claim"]["parts"][0]["sesoi"] == 0.03
    assert "H9: the study's claims are H1" in refused(capsys, study.store, "--claims", "H9")
    assert "--residual-sd: has no meaning" in refused(capsys, study.store, "--residual-sd", "1")
    assert "--sesoi: the study declares" in refused(capsys, study.store, "--sesoi", "1")
    assert "no such study file" in refused(capsys, study.store, "--study", "absent.yaml")
    other.write_text(study.study_file.read_text().replace("study: synthetic", "study: other"))
    assert "the store was made with synthetic" in refused(capsys, study.store, "--study", other)


def test_the_page_is_one_file_without_scripts_that_holds_every_power(runs: Path, tmp_path: Path):
    page, written = tmp_path / "page.html", tmp_path / "deep" / "out.json"
    named = runs.with_name("<runs>.csv")
    runs.rename(named)
    outputs = ("--html", str(page), "--json", str(written))
    looks = ("--looks", "4,8")
    assert main(["power", str(named), *COLUMNS, "--sesoi", ".05", *QUICK, *outputs, *looks]) == 0
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"<script|https?://|src=|@import|style=", text)
    assert "<runs>" not in text
    held = set(re.findall(r'<data value="([^"]+)"', text))
    for claim in json.loads(written.read_text(encoding="utf-8"))["claims"]:
        for goal in claim["goals"]:
            assert {str(point["power"]) for point in goal["points"]} <= held
    pictures = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.S)]
    named = [picture for picture in pictures if picture.get("role") == "img"]
    assert len(named) == 1
    assert named[0].get("aria-label").startswith("trend: seeds for power 0.8")
    assert len(named[0].findall("polyline")) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--strengths is missing"),
        (GIVEN[:4], "--effect is missing"),
        ((*GIVEN, "--power", "1"), "--power 1: must be above 0 and below 1"),
        ((*GIVEN, "--power", "nan"), "--power nan"),
        ((*GIVEN, "--power", ".04"), "above the error rate, 0.05"),
        ((*GIVEN, "--alpha", "0"), "--alpha 0"),
        ((*GIVEN, "--strengths", "0"), "one strength only"),
        ((*GIVEN, "--strengths", "0,0,1"), "named twice"),
        ((*GIVEN, "--strengths", "0,strong"), "--strengths strong: must be a number"),
        ((*GIVEN, "--residual-sd", "0"), "--residual-sd 0: must be above 0"),
        ((*GIVEN, "--slope-sd", "-1"), "--slope-sd -1: must be 0 or more"),
        ((*GIVEN, "--sesoi", "inf"), "--sesoi inf"),
        ((*GIVEN, "--effect", "0"), "--effect 0: must not be 0"),
        ((*GIVEN, "--effect", "observed"), "--effect observed: must be the true slope"),
        ((*GIVEN, "--claims", "H1"), "--claims H1: without a pilot"),
        ((*GIVEN, "--claims", "0"), "--claims 0"),
        ((*GIVEN, "--looks", "8,4"), "--looks 8,4: must be ascending"),
        ((*GIVEN, "--looks", "2,8"), "--looks 2,8: must be numbers of seeds between 3"),
        ((*GIVEN, "--seeds", "many"), "--seeds many"),
        ((*GIVEN, "--max-seeds", "2"), "--max-seeds 2: must be between 3"),
        ((*GIVEN, "--simulations", "1"), "--simulations 1"),
        ((*GIVEN, "--jobs", "0"), "--jobs 0"),
        ((*GIVEN, "--reliability", ".5"), "--reliability: has no meaning here: a trend"),
        ((*GIVEN, "--predictor-sd", "1", "--reliability", "2"), "--reliability 2"),
        ((*GIVEN, "--predictor-sd", "1", "--outcome-reliability", "1"), "there are no halves"),
        ((*GIVEN, "--block", "seed"), "--block: has no meaning here: without a pilot"),
        (("absent.csv",), "absent.csv: cannot be read"),
    ],
)
def test_an_impossible_wish_is_one_line(capsys, arguments, said: str):
    assert said in refused(capsys, *arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--block is missing"),
        (COLUMNS, "--sesoi is missing"),
        ((*COLUMNS, "--sesoi", "1", "--predictor", "iou"), "--predictor-sesoi is missing"),
        ((*COLUMNS, "--sesoi", "1", "--association-sesoi", "1"), "there is no --predictor"),
        ((*COLUMNS, "--sesoi", "1", "--claims", "2"), "--claims: has no meaning here"),
        ((*COLUMNS, "--sesoi", "1", "--effect", "0"), "--effect 0: must be how many times"),
        ((*COLUMNS, "--sesoi", "1", "--outcome", "loss"), "no column 'loss'"),
        ((*COLUMNS, "--sesoi", "1", "--arm", "strength=0.0"), "one dose only"),
    ],
)
def test_a_table_that_cannot_be_planned_from_is_one_line(runs: Path, capsys, arguments, said: str):
    assert said in refused(capsys, runs, *arguments)


def test_a_pilot_of_two_seeds_or_without_variation_is_one_line(tmp_path: Path, capsys):
    path = tmp_path / "runs.csv"
    planted(2).write_csv(path)
    assert "2 of 2 seeds" in refused(capsys, path, *COLUMNS, "--sesoi", "1")
    planted(4).with_columns(gap=0.2).write_csv(path)
    assert "rounding error" in refused(capsys, path, *COLUMNS, "--sesoi", "1")


def test_the_pilot_is_never_written_over(runs: Path, capsys):
    before = runs.read_bytes()
    arguments = (runs, *COLUMNS, "--sesoi", "1")
    assert "the pilot itself" in refused(capsys, *arguments, "--html", runs)
    assert "a folder" in refused(capsys, *arguments, "--json", runs.parent)
    assert runs.read_bytes() == before


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_tells_how_fast_and_how_long_still():
    moment = 0.0
    shown = Terminal()
    progress = Progress(shown, clock=lambda: moment)
    progress.show("12 seeds", 0, 100)
    moment = 2.0
    progress.show("12 seeds", 40, 100)
    assert "simulating 12 seeds: 40/100 studies, 20 a second, 3 s left" in shown.getvalue()
