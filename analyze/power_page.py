"""How many seeds are needed, as one HTML file: no script, no network."""

import base64
import hashlib
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from analyze import power_text
from analyze.power_figure import power_figure
from analyze.power_plan import Goal
from analyze.power_results import PowerResults

TEMPLATES: Final = Path(__file__).parent / "templates"


def power_page(results: PowerResults) -> str:
    """Write the page. Every number that was simulated carries its full value."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = "".join(
        (TEMPLATES / name).read_text(encoding="utf-8") for name in ("table.css", "power.css")
    )
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return environment.get_template("power.html").render(
        results=results,
        shown=[one for one in results.claims if one.claim.parts],
        goals=[goal for goal in Goal if any(one.of(goal) for one in results.claims)],
        text=power_text,
        figure=power_figure,
        style=Markup(style),
        policy=f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'",
    )
