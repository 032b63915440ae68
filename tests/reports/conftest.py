"""Pages to test: of drawn results, and of results that the analysis made from a synthetic store."""

import base64
import gzip
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from chromium import BINARY, Tab, browser
from drawn_results import drawn_results
from synthetic import make_study

from analyze.job import analyze
from analyze.results import Results
from analyze.serialize import results_to_json, save_results
from reports.job import write_report


@dataclass(frozen=True)
class Written:
    """A page on disk, with what it was written from."""

    page: Path
    study: Path
    store: Path
    results: Path

    @property
    def html(self) -> str:
        return self.page.read_text(encoding="utf-8")

    @property
    def json(self) -> Any:
        return json.loads(self.results.read_text(encoding="utf-8"))

    def write(self) -> "Written":
        write_report(self.study, store=self.store, results=self.results, out=self.page)
        return self


def written_of(folder: Path, results: Results | None, **study: Any) -> Written:
    """results: None for what the analysis says of the synthetic study."""
    made = make_study(folder, **study)
    path = folder / "results.json"
    if results is None:
        (folder / "ledger.json").write_text("{}")
        analyze(made.study_file, store=made.store, ledger=folder / "ledger.json", out=path)
    else:
        save_results(path, results)
    return Written(folder / "report.html", made.study_file, made.store, path).write()


@pytest.fixture
def write_page(tmp_path: Path) -> Callable[..., Written]:
    """Factory of pages in a fresh folder."""
    return partial(written_of, tmp_path)


@pytest.fixture(scope="session")
def analyzed(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The page of a synthetic study as the analysis sees it."""
    return written_of(
        tmp_path_factory.mktemp("analyzed"),
        None,
        seeds=4,
        strengths=(0, 0.5, 1),
        failed=[(1, 2)],
        control=True,
    )


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The page of drawn results with every kind of verdict."""
    return written_of(tmp_path_factory.mktemp("drawn"), drawn_results(), seeds=2)


@pytest.fixture
def tab(tmp_path: Path) -> Any:
    """A tab of a headless browser without network."""
    if BINARY is None:
        message = "Chromium is not installed: what a browser makes of the page is not tested"
        if os.environ.get("KD_REQUIRE_BROWSER"):
            pytest.fail(message)
        pytest.skip(message)
    with browser(tmp_path) as opened:
        yield opened


@dataclass(frozen=True)
class Element:
    """An element: its tag, attributes, and the text inside."""

    tag: str
    attributes: dict[str, str]
    text: str


class _Reader(HTMLParser):
    """Every element of a page with its text."""

    VOID = frozenset({"meta", "link", "img", "br", "input", "hr"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self._open: list[tuple[str, dict[str, str], list[str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag in self.VOID:
            self.elements.append(Element(tag, attributes, ""))
        else:
            self._open.append((tag, attributes, []))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {k: v or "" for k, v in attrs}, ""))

    def handle_data(self, data: str) -> None:
        for _, _, texts in self._open:
            texts.append(data)

    def handle_endtag(self, tag: str) -> None:
        while self._open:
            name, attributes, texts = self._open.pop()
            self.elements.append(Element(name, attributes, "".join(texts)))
            if name == tag:
                return


def elements(html: str) -> list[Element]:
    """Return every element of a page, in the order in which they end."""
    reader = _Reader()
    reader.feed(html)
    return reader.elements


def csv_text(uri: str) -> str:
    """Return the CSV that a link of the page downloads."""
    head, _, data = uri.partition(",")
    if head == "data:application/gzip;base64":
        return gzip.decompress(base64.b64decode(data)).decode()
    assert head == "data:text/csv;charset=utf-8"
    return unquote(data)


__all__ = ["Element", "Tab", "Written", "csv_text", "elements", "results_to_json", "written_of"]
