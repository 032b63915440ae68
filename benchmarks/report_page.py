"""How heavy is the report of 10,000 replicates, and how soon can it be used?

    python -m benchmarks.report_page --write docs/benchmarks.md

Two studies: one of 10,000 networks, whose shards are drawn, stored and analyzed as trained ones
would be, and one of 10,000 seeds, whose measures are drawn and analyzed (its curves and pictures
are of a store of few blocks, for the page takes one block's pictures and curves' means). Each
page is opened in a headless Chromium without any network, afresh for every run.
"""

import argparse
import base64
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from analyze.assemble import assemble
from analyze.job import analyze
from analyze.serialize import load_results, save_results
from benchmarks.pages import machine, table, write_between
from tests.analyze.simulated import Truth, simulate, study
from tests.reports.chromium import BINARY, Tab, browser
from tests.synthetic import make_study

STRENGTHS = (0, 0.25, 0.5, 0.75, 1)
MODELS_PER_BLOCK = 20
BLOCKS_STORED = 12
RUNS = 5
MEGABYTE = 1e6

WATCH = """
  document.addEventListener("DOMContentLoaded", () => {
    window.ready = performance.now();
    const first = document.querySelector("[data-chart]");
    if (!first) return;
    new MutationObserver((_, watching) => {
      if (!document.querySelector(".drawn")) return;
      window.drawn = performance.now();
      watching.disconnect();
    }).observe(document.body, { subtree: true, attributeFilter: ["class"] });
    first.scrollIntoView({ behavior: "instant" });
  });
"""
"""Runs before the page's own script: notes when the page can be read, and its first chart drawn."""

WRITER = """
import re, sys, time
from pathlib import Path
from reports.job import main
code = main(sys.argv[1:])
most = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())
print(time.process_time(), most[1])
sys.exit(code)
"""
"""Writes a report and says what it took of a processor and of memory (Linux). What a parent is told
of a child's most memory has in it what the parent itself held."""

PARTS = {
    "Vega, Vega-Lite and Vega-Embed, packed": r'<script type="application/gzip".*?</script>',
    "data of the charts": r'<script type="application/json".*?</script>',
    "the page's own script": r"<script>.*?</script>",
    "styles": r"<style>.*?</style>",
    "pictures": r'(?<=href=")data:image[^"]*',
    "CSV to take away": r'(?<=href=")data:(?:text/csv|application/gzip)[^"]*',
    "SQL": r'<details class="sql">.*?</details>',
    "tables": r"<table.*?</table>",
    "drawings": r"<svg.*?</svg>",
}
"""Parts of a page, each without those before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A study's files."""

    study: Path
    store: Path
    results: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """One look at a page. Seconds since the navigation began; bytes of JavaScript's heap."""

    ready: float
    drawn: float
    all_drawn: float
    heap: int
    kept: int
    charts: int
    requests: int


def networks_study(folder: Path, networks: int) -> Made:
    """Draw, store and analyze so many networks: digits' design, two arms at five strengths."""
    blocks = -(-networks // MODELS_PER_BLOCK)
    made = make_study(folder, seeds=blocks, strengths=STRENGTHS)
    results, ledger = folder / "results.json", folder / "ledger.json"
    ledger.write_text("{}", encoding="utf-8")
    analyze(made.study_file, store=made.store, ledger=ledger, out=results)
    return Made(study=made.study_file, store=made.store, results=results)


def seeds_study(folder: Path, seeds: int) -> Made:
    """Analyze drawn measures of so many seeds; the store has few blocks of the same design."""
    made = make_study(folder, seeds=BLOCKS_STORED, strengths=STRENGTHS)
    design, results = study(seeds=seeds), folder / "results.json"
    save_results(results, assemble(design, simulate(design, Truth())))
    return Made(study=made.study_file, store=made.store, results=results)


def write_page(made: Made, out: Path) -> tuple[float, float]:
    """Write the report in a process of its own; return its CPU seconds and its most memory, GB."""
    command = [sys.executable, "-c", WRITER, str(made.study), "--store", str(made.store)]
    done = subprocess.run(
        [*command, "--results", str(made.results), "--out", str(out)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{made.study}: its report could not be written")
    cpu, kibibytes = (float(text) for text in done.stdout.split())
    return cpu, kibibytes * 1024 / 1e9


def sizes(html: str) -> dict[str, int]:
    """Return the bytes of each part; what is left is text and mark-up."""
    found: dict[str, int] = {}
    for name, pattern in PARTS.items():
        pieces = re.findall(pattern, html, flags=re.DOTALL)
        html = re.sub(pattern, "", html, flags=re.DOTALL)
        found[name] = sum(len(piece.encode()) for piece in pieces)
    return found | {"text and mark-up": len(html.encode())}


@contextmanager
def tab_of(page: Path) -> Iterator[Tab]:
    """Open a page in a fresh Chromium."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        browser(Path(folder)) as tab,
    ):
        tab.ask("Page.enable")
        tab.ask("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        tab.open(page)
        yield tab


def look(page: Path) -> Opened:
    """Open a page, wait for its first chart, draw all the others."""
    with tab_of(page) as tab:
        tab.wait("window.drawn !== undefined")
        ready, drawn = (tab.evaluate(f"window.{name} / 1000") for name in ("ready", "drawn"))
        started = time.perf_counter()
        tab.draw_all()
        all_drawn = time.perf_counter() - started
        heap = tab.ask("Runtime.getHeapUsage")["usedSize"]
        tab.ask("HeapProfiler.collectGarbage")
        return Opened(
            ready=ready,
            drawn=drawn,
            all_drawn=all_drawn,
            heap=heap,
            kept=tab.ask("Runtime.getHeapUsage")["usedSize"],
            charts=tab.evaluate("document.querySelectorAll('[data-chart]').length"),
            requests=len(tab.requests()),
        )


def printed(page: Path) -> tuple[int, float]:
    """Print a page to PDF, every chart drawn; return its pages and the seconds it took."""
    with tab_of(page) as tab:
        tab.draw_all()
        started = time.perf_counter()
        answer = tab.ask("Page.printToPDF", printBackground=False)
        seconds = time.perf_counter() - started
    pdf = base64.b64decode(answer["data"])
    return len(re.findall(rb"/Type\s*/Page\b", pdf)), seconds


def report(studies: Mapping[str, Made], runs: int) -> str:
    """Measure every study's page; lay figures and parts out as Markdown."""
    columns = {name: _column(made, runs) for name, made in studies.items()}
    rows = list(next(iter(columns.values())))
    lines = [(row, *(column[row] for column in columns.values())) for row in rows]
    return f"{machine()}; Chromium {_version()}.\n\n{table(('', *columns), lines)}"


def _column(made: Made, runs: int) -> dict[str, str]:
    out = made.results.with_name("report.html")
    cpu, memory = write_page(made, out)
    html = out.read_text(encoding="utf-8")
    parts = sizes(html)
    whole = sum(parts.values())
    looks = [look(out) for _ in range(runs)]
    pages, seconds = printed(out)
    results = load_results(made.results)
    counted = results.counts

    def median(name: str) -> float:
        return statistics.median(getattr(each, name) for each in looks)

    return {
        "seeds, networks": f"{counted.seeds_analyzed:,}, {counted.models_stored:,}",
        "results.json, MB": _mb(made.results.stat().st_size),
        "CPU to write the page, s": f"{cpu:.1f}",
        "most memory of that, GB": f"{memory:.1f}",
        "**page, MB**": f"**{_mb(whole)}**",
        "page without pictures, MB": _mb(whole - parts["pictures"]),
        **{f"of it {name}, MB": _mb(size) for name, size in parts.items()},
        "**usable: DOM loaded, s**": f"**{median('ready'):.2f}**",
        "**usable: first chart drawn, s**": f"**{median('drawn'):.2f}**",
        "its slowest run, s": f"{max(each.drawn for each in looks):.2f}",
        "charts": str(looks[0].charts),
        "to scroll through them all, s": f"{median('all_drawn'):.1f}",
        "**heap once all are drawn, MB**": f"**{median('heap') / MEGABYTE:.0f}**",
        "of it kept after a collection, MB": f"{median('kept') / MEGABYTE:.0f}",
        "**requests**": f"**{max(each.requests for each in looks)}**",
        "pages of the PDF": str(pages),
        "to print it, s": f"{seconds:.1f}",
    }


def _mb(size: int) -> str:
    return f"{size / MEGABYTE:.2f}"


def _version() -> str:
    assert BINARY is not None
    told = subprocess.run([BINARY, "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"[0-9]+(?:\.[0-9]+)+", told.stdout)
    return found[0] if found else "of unknown version"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=10_000, help="default: 10,000; 0: none")
    parser.add_argument("--seeds", type=int, default=10_000, help="default: 10,000; 0: none")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"looks at each (default: {RUNS})")
    parser.add_argument("--folder", type=Path, help="where to work, and find what was made before")
    parser.add_argument("--write", type=Path, help="page whose part is written anew")
    chosen = parser.parse_args()
    if BINARY is None:
        raise SystemExit("Chromium is not installed: a page cannot be opened")
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        studies = dict(_studies(folder, networks=chosen.networks, seeds=chosen.seeds))
        text = report(studies, chosen.runs)
    print(text)
    if chosen.write:
        write_between(chosen.write, "report page", text)


def _studies(folder: Path, *, networks: int, seeds: int) -> Iterator[tuple[str, Made]]:
    """Make each study that is asked for, but for what an earlier run left in the folder."""
    for count, noun, make in (
        (networks, "networks", networks_study),
        (seeds, "seeds", seeds_study),
    ):
        place = folder / f"{noun}-{count}"
        left = Made(
            study=place / "synthetic.yaml",
            store=place / "results" / "store.duckdb",
            results=place / "results.json",
        )
        if count and not left.results.exists():
            place.mkdir(parents=True, exist_ok=True)
            make(place, count)
        if count:
            yield f"{count:,} {noun}", left


if __name__ == "__main__":
    main()
