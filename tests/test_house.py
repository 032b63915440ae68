"""What the repository promises about itself: no statistic, but each has been broken before."""

import re
import shlex
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from analyze.questions import questions_of
from store.study_file import load_design

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("analyze", "collect", "reports", "store")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TRACKED = [
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    if name and (ROOT / name).is_file()
]
TEXTS = [path for path in TRACKED if b"\0" not in path.read_bytes()]
PROSE = [path for path in TRACKED if path.suffix == ".md"]


def _relative(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def _commands() -> list[str]:
    """Every line of the shell examples in README.md, continued lines joined, comments off."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    examples = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    assert examples
    words = shlex.split("\n".join(examples).replace("\n", " ; "), comments=False)
    lines = " ".join(shlex.quote(word) if " " in word else word for word in words).split(" ; ")
    return [line.strip() for line in lines if line.strip()]


def test_no_file_names_a_place_of_one_machine():
    place = re.compile(r"(?<![\w.~})])/(?:home|root|work|opt|Users|mnt)/\w|/tmp/\w+/")
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in TEXTS
        for match in place.finditer(path.read_text(encoding="utf-8"))
    ]
    assert not found


def test_generated_files_are_not_tracked():
    generated = {".duckdb", ".pyc", ".log"}
    assert not [name for name in _relative(TRACKED) if Path(name).suffix in generated]
    assert not [name for name in _relative(TRACKED) if name.startswith(("results/", ".snakemake"))]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_has_its_shell_beside_its_core(package: str):
    for name in ("job.py", "rules.smk"):
        assert (ROOT / package / name).is_file()
    assert f'include: "{package}/rules.smk"' in (ROOT / "Snakefile").read_text(encoding="utf-8")


def test_every_package_on_disk_is_installed():
    on_disk = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in TRACKED
        if path.name == "__init__.py"
    }
    assert on_disk == set(PROJECT["tool"]["setuptools"]["packages"])


def test_packages_start_empty_and_no_module_is_a_drawer():
    assert not [path for path in TRACKED if path.name == "__init__.py" and path.read_text()]
    drawers = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py"}
    assert not [name for name in _relative(TRACKED) if Path(name).name in drawers]


def test_constraints_pin_every_dependency_inside_its_declared_range():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    pinned = {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in pins}
    declared = [
        Requirement(text)
        for text in (
            *PROJECT["project"]["dependencies"],
            *chain.from_iterable(PROJECT["project"]["optional-dependencies"].values()),
        )
    ]
    for requirement in declared:
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), requirement
    assert not [pin for pin in pins if "+" in str(pin.specifier)]


@pytest.mark.parametrize("study", sorted((ROOT / "config").glob("*.yaml")), ids=lambda p: p.stem)
def test_a_shipped_study_can_be_asked_its_questions(study: Path, monkeypatch):
    monkeypatch.setenv("KD_DATA", "images")
    design = load_design(study)
    assert design.study == study.stem
    assert questions_of(design)


def test_the_readme_calls_only_targets_that_exist():
    targets = set(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    prose = (ROOT / "README.md").read_text(encoding="utf-8")
    called = set(re.findall(r"\bmake ([a-z]+)(?=[`\s])", "\n".join(re.findall(r"`[^`]+`", prose))))
    called |= {line.split()[1] for line in _commands() if line.startswith("make ")}
    assert {"report", "test"} <= called <= targets


@pytest.mark.parametrize(
    "words",
    sorted({tuple(line.split()[2:4]) for line in _commands() if line.startswith("python -m ")}),
    ids=" ".join,
)
def test_the_readmes_commands_have_help(words: tuple[str, str]):
    done = subprocess.run(
        [sys.executable, "-m", *words, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "example" in done.stdout.lower()


@pytest.mark.parametrize("page", _relative(PROSE))
def test_links_between_pages_lead_somewhere(page: str):
    path = ROOT / page
    targets = re.findall(r"\]\((?!https?://|#|mailto:)([^)#]+)", path.read_text(encoding="utf-8"))
    assert not [target for target in targets if not (path.parent / target).exists()]
