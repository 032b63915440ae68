"""The report as Markdown: what the page says in text and tables, for a repository or a mail.

The same views as the page's, without pictures: no number is made or rounded here.
"""

import re
from html.parser import HTMLParser
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports.numbers import Number
from reports.page import TEMPLATES, Page, failed_rule, typeset
from reports.prose import arm_word, capitalized
from reports.tables import NONE, Table

_EMPHASIS: Final = {"i": "*", "em": "*", "b": "**", "strong": "**"}
_HOW: Final = "how"
"""Class of the words that say how a test is made: too long for a cell; docs/tests.md has them."""
_SPECIAL: Final = re.compile(r"([\\`*_\[\]<>|#])")
_BLANKS: Final = re.compile(r"[ \t\r\n]+")
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


def said(value: object) -> str:
    """Return text, a number or a piece of the page as one line of Markdown."""
    if isinstance(value, Number):
        return _escaped(str(value))
    if not isinstance(value, Markup):
        return _one_line(_escaped(typeset(str(value))))
    reader = _Reader()
    reader.feed(str(value))
    reader.close()
    return _one_line("".join(reader.parts))


def markdown_table(table: Table) -> str:
    """Return a table; a deciding row's first cell is set in bold. Nothing where it has no rows."""
    if not table.rows:
        return ""
    rule = ["---" if column < table.words else "---:" for column in range(len(table.head))]
    lines = [[said(cell) for cell in table.head], rule]
    for row in table.rows:
        first, *others = (said(cell) or NONE for cell in row.cells)
        lines.append([f"**{first}**" if row.mark == "primary" else first, *others])
    text = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    note = f"\n\n{said(table.note)}" if table.note else ""
    return f"{text}{note}"


class _Reader(HTMLParser):
    """Turns the page's inline elements into Markdown; leaves out pictures and methods."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._left_out: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an emphasis, or what is left out up to its end."""
        classes = (dict(attrs).get("class") or "").split()
        if self._left_out or tag == "svg" or _HOW in classes:
            self._left_out.append(tag)
        elif tag in ("small", "span", "br"):
            self.parts.append(" ")
        self.parts.append("" if self._left_out else _EMPHASIS.get(tag, ""))

    def handle_endtag(self, tag: str) -> None:
        """Close an emphasis, or what is left out."""
        if self._left_out:
            self._left_out.pop()
        else:
            self.parts.append(_EMPHASIS.get(tag, ""))

    def handle_data(self, data: str) -> None:
        """Keep text."""
        if not self._left_out:
            self.parts.append(_escaped(data))


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)


def _one_line(text: str) -> str:
    """Close up breaks and blanks; those that do not break a line stay."""
    return _BLANKS.sub(" ", text).strip(" ")
