"""The report as Markdown: what the page says in text and tables, for a repository or a mail.

The same views as the page's, without pictures: no number is made or rounded here.
"""

import re
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from reports.names import arm_word, capitalized
from reports.page import TEMPLATES, Page, failed_rule
from reports.pasted import markdown_table, said

_BLANK_LINES: Final = re.compile(r"\n{3,}")


def render_markdown(page: Page) -> str:
    """Return the report as CommonMark with tables as GitHub has them."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "said": said,
        "arm": arm_word,
        "capital": capitalized,
        "rule": failed_rule,
        "table": markdown_table,
    }
    text = environment.get_template("report.md").render(page=page)
    return _BLANK_LINES.sub("\n\n", text)
