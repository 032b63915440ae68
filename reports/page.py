"""The whole page: what the results and the store hold, laid out and rendered.

The page needs no network: styles, scripts, pictures and data are in it, and its content security
policy names the only scripts and styles that may run.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from analyze.results import Results, Verdict
from reports.attached import data_uri, packed
from reports.claims import ClaimView, arm_sentence, claim_views
from reports.conditions import design_facts, design_table, ensemble_text
from reports.contrasts import SizeContrasts, contrast_views
from reports.distillation import OutcomeView, distillation_views
from reports.figures import Chart, ChartBook, curve_charts, replicate_columns
from reports.findings import FindingView
from reports.gallery import QUERIES, Gallery, make_gallery
from reports.glossary import glossary
from reports.mechanism import MediationView, mediation_views, pairs_chart, plane_chart
from reports.names import (
    FAILED_RULES,
    VERDICTS,
    VerdictWords,
    arm_word,
    capitalized,
    in_words,
    typeset,
)
from reports.numbers import Citations, strength_text
from reports.prose import adding_seeds_words
from reports.provenance import Provenance, read_provenance
from reports.queries import LEARNING_CURVES, Query, Store
from reports.study_prose import study_sentence
from reports.tables import (
    Table,
    information_table,
    missing_table,
    secondary_table,
    series_csv,
    series_tables,
)
from reports.trust import Trust, trust_of
from store.design import Design
from store.vocabulary import Arm

TEMPLATES: Final = Path(__file__).parent / "templates"
LEVELS: Final = ("affinity", "affinity_published", "diversity")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many claims have a verdict."""

    words: VerdictWords
    count: int
    claims: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What the template lays out."""

    results: Results
    design: Design
    study_text: str
    study_name: str
    sentence: str
    claims: tuple[ClaimView, ...]
    contrasts: tuple[SizeContrasts, ...]
    facts: tuple[tuple[str, str, str], ...]
    block: Table
    tally: tuple[Tally, ...]
    published_tally: tuple[Tally, ...]
    common_caveats: tuple[str, ...]
    glossary: tuple[tuple[str, str], ...]
    arms: tuple[str, ...]
    adding_seeds: Markup
    mediation: tuple[MediationView, ...]
    plane: Chart | None
    pairs: Chart | None
    distillation: tuple[OutcomeView, ...]
    gallery: Gallery
    curves: tuple[Chart, ...]
    levels: tuple[Table, ...]
    information: Table
    secondary: Table
    measures: tuple[Table, ...]
    measures_csv: str
    curves_csv: str
    missing: Table
    trust: Trust
    provenance: Provenance
    queries: tuple[Query, ...]
    cite: Citations
    book: ChartBook


def make_page(results: Results, design: Design, store: Store, study_file: Path) -> Page:
    """Select everything that the page shows."""
    cite = Citations(results)
    book = ChartBook(
        rule=results.counts.failed_rule, tables={"replicates": replicate_columns(results)}
    )
    claims = claim_views(results, cite, book)
    contrasts = contrast_views(results, design, cite, book)
    curves = store.frame(LEARNING_CURVES.sql)

    def name(strengths: Sequence[float]) -> str:
        return ensemble_text(strengths, design)

    measures = dict.fromkeys(series.measure for series in results.series)
    main_arm = str(design.design.main_arm)
    arms = (*design.design.claim_arms, *((Arm.CONTROL,) if design.design.control else ()))
    return Page(
        results=results,
        design=design,
        study_text=study_file.read_text(encoding="utf-8"),
        study_name=study_file.name,
        sentence=study_sentence(design),
        claims=claims,
        contrasts=contrasts,
        facts=design_facts(design),
        block=design_table(design),
        tally=_tally({claim.id: claim.deciding for claim in claims}),
        published_tally=_tally({c.id: c.published for c in claims if c.published is not None}),
        common_caveats=_common_caveats(results, claims),
        glossary=glossary(results),
        arms=tuple(arm_sentence(str(arm)) for arm in arms),
        adding_seeds=adding_seeds_words(cite, results.sequential),
        mediation=mediation_views(results, cite),
        plane=plane_chart(book, results, main_arm),
        pairs=pairs_chart(book, main_arm),
        distillation=distillation_views(results, cite),
        gallery=make_gallery(store, design),
        curves=tuple(curve_charts(book, curves)) if curves.height else (),
        levels=series_tables(cite, results, LEVELS, "Affinity and diversity by strength", name),
        information=information_table(cite, results, name),
        secondary=secondary_table(cite, results),
        measures=series_tables(cite, results, measures, "Every measure by strength", name),
        measures_csv=series_csv(results),
        curves_csv=data_uri(curves.write_csv()),
        missing=missing_table(cite, results),
        trust=trust_of(results, cite, store),
        provenance=read_provenance(store),
        queries=(LEARNING_CURVES, *QUERIES),
        cite=cite,
        book=book,
    )


def _tally(read: Mapping[str, FindingView]) -> tuple[Tally, ...]:
    """Count verdicts; ``read``: by claim."""
    counts = Counter(view.finding.verdict for view in read.values())
    return tuple(
        Tally(
            words=VERDICTS[verdict],
            count=counts[verdict],
            claims=tuple(name for name, view in read.items() if view.finding.verdict is verdict),
        )
        for verdict in Verdict
        if counts[verdict]
    )


def _common_caveats(results: Results, claims: tuple[ClaimView, ...]) -> tuple[str, ...]:
    """Caveats of the whole study, without those that stand with their claim."""
    told = {caveat for claim in claims for caveat in claim.caveats}
    return tuple(caveat for caveat in results.caveats if caveat not in told)


def page_environment() -> Environment:
    """Return what renders templates, with the filters that they use."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["typeset"] = typeset
    environment.filters["arm"] = arm_word
    environment.filters["capital"] = capitalized
    environment.filters["strength"] = strength_text
    environment.filters["words"] = in_words
    environment.filters["failed_rule"] = failed_rule
    return environment


def render(page: Page) -> str:
    """Write the page as one HTML text."""
    style, script = template_text("style.css"), template_text("charts.js")
    bundle = chart_bundle() if page.book.charts else ""
    return (
        page_environment()
        .get_template("page.html")
        .render(
            page=page,
            style=Markup(style),
            script=Markup(script),
            bundle=packed(bundle),
            chart_data=Markup(page.book.to_json()),
            policy=content_security_policy(scripts=(bundle, script), styles=(style,)),
        )
    )


def content_security_policy(*, scripts: tuple[str, ...], styles: tuple[str, ...]) -> str:
    """Allow the page's own scripts and styles, by their hashes, and pictures within it."""
    allowed = {
        "default-src": "'none'",
        "script-src": " ".join(_hash(script) for script in scripts if script),
        "style-src": " ".join(_hash(style) for style in styles),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in allowed.items())


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


@lru_cache(maxsize=1)
def chart_bundle() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script, its names kept to itself."""
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return f"(function(){{{bundle}}})();"


def failed_rule(name: str) -> str:
    """Say a rule for failed runs in words."""
    return FAILED_RULES.get(name, name)


def template_text(name: str) -> str:
    """Return the text of a style sheet or script of the page."""
    return (TEMPLATES / name).read_text(encoding="utf-8")
