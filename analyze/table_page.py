"""A table's analysis as one HTML file: no script, no network."""

import base64
import hashlib
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from analyze import table_text
from analyze.table_results import TableResults

TEMPLATES: Final = Path(__file__).parent / "templates"


def table_page(results: TableResults) -> str:
    """Write the page. Every number of a test carries its full value in a ``data`` element."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = (TEMPLATES / "table.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return environment.get_template("table.html").render(
        results=results,
        text=table_text,
        style=Markup(style),
        policy=f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'",
    )
