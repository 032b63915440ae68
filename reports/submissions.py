"""Studies to compare, read from their results, and what they declare from store or study file."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from analyze.likeness import Submission
from analyze.results import Results
from analyze.serialize import load_results
from store.database import open_reader
from store.design import Design
from store.errors import AnalysisError
from store.study_file import design_from_declaration, load_design

_RESULTS: Final = "results.json"
_STORE: Final = "store.duckdb"


def read_submissions(
    named: Sequence[str], *, study_files: Sequence[Path] = ()
) -> tuple[Submission, ...]:
    """Read studies. named: ``results.json`` or its folder each, ``LABEL=`` before it or not.

    What a study declares is read from the store beside its results, else from the one of
    ``study_files`` that has its name. Where nothing else tells studies apart they are numbered.
    Raises UserError where a file is missing or wrong, or one is named twice.
    """
    places = [_place(text) for text in named]
    _refuse_repeated([path for _, path in places])
    read = [(label, path, load_results(path)) for label, path in places]
    declared = _declared([load_design(file, unset="unset") for file in study_files], study_files)
    for name in declared.keys() - {results.study for _, _, results in read}:
        raise AnalysisError(f"--study: no results are of a study called {name!r}")
    labels = _labels([(label, results) for label, _, results in read])
    return tuple(
        Submission(label, results, _design(path, results, declared))
        for label, (_, path, results) in zip(labels, read, strict=True)
    )


def _place(text: str) -> tuple[str, Path]:
    """Return the label that a study is given, empty where none is, and where its results are."""
    label, sign, rest = text.partition("=")
    if not sign or Path(text).exists():
        label, rest = "", text
    path = Path(rest)
    return label.strip(), path / _RESULTS if path.is_dir() else path


def _refuse_repeated(paths: Sequence[Path]) -> None:
    for path, times in Counter(path.resolve() for path in paths).items():
        if times > 1:
            raise AnalysisError(f"{path}: named {times} times; name every study once")


def _labels(read: Sequence[tuple[str, Results]]) -> list[str]:
    """Give every study a label of its own: as asked, else its name, numbered where it repeats."""
    counted = Counter(label or results.study for label, results in read)
    given: Counter[str] = Counter()
    labels: list[str] = []
    for label, results in read:
        name = label or results.study
        given[name] += 1
        labels.append(f"{name} ({given[name]})" if counted[name] > 1 and not label else name)
    return labels


def _declared(designs: Sequence[Design], files: Sequence[Path]) -> dict[str, Design]:
    found: dict[str, Design] = {}
    for design, file in zip(designs, files, strict=True):
        if design.study in found:
            raise AnalysisError(f"--study {file}: a second file of a study called {design.study}")
        found[design.study] = design
    return found


def _design(path: Path, results: Results, declared: Mapping[str, Design]) -> Design | None:
    store = path.parent / _STORE
    if not store.is_file():
        return declared.get(results.study)
    with open_reader(store) as reader:
        kept = reader.frame("SELECT declaration FROM study").item()
    design = design_from_declaration(kept, source=str(store))
    if design.study != results.study:
        raise AnalysisError(
            f"{store} is of study {design.study!r}, {path.name} beside it of {results.study!r}; "
            "run the analysis again"
        )
    return design
