"""Pieces of the page as text to paste: a line or a table, as Markdown or as LaTeX.

No number is made or rounded here.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from html.parser import HTMLParser
from typing import Final

from markupsafe import Markup

from reports.names import typeset
from reports.numbers import MINUS, THIN, Number
from reports.tables import NONE, Table

_EMPHASIS: Final = {"i": ("*", "*"), "em": ("*", "*"), "b": ("**", "**"), "strong": ("**", "**")}
_LATEX_EMPHASIS: Final = {
    "i": (r"\textit{", "}"),
    "em": (r"\textit{", "}"),
    "b": (r"\textbf{", "}"),
    "strong": (r"\textbf{", "}"),
}
_DECIDES: Final = "primary"
"""Mark of a row that decides."""
_HEADED: Final = 3
"""Columns of words from which on the first becomes a heading: they would not fit side by side."""
_HOW: Final = "how"
"""Class of the words that say how a test is made: too long for a cell; docs/tests.md has them."""
_SPECIAL: Final = re.compile(r"([\\`*_\[\]<>|#])")
_BLANKS: Final = re.compile(r"[ \t\r\n]+")
_LATEX: Final = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{mark: f"\\{mark}" for mark in "&%$#_"},
    "<": "$<$",
    ">": "$>$",
    "|": r"\textbar{}",
    '"': "''",
    MINUS: "$-$",
    THIN: r"\,",
    "±": r"$\pm$",
    "×": r"$\times$",
    "∞": r"$\infty$",
    "–": "--",
    "’": "'",
}
_POWER: Final = re.compile("[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_DIGITS: Final = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def said(value: object) -> str:
    """Return text, a number or a piece of the page as one line of Markdown."""
    return _line(value, _escaped, _EMPHASIS)


def latex(value: object) -> str:
    """Return text, a number or a piece of the page as one line of LaTeX."""
    return _line(value, _latex_escaped, _LATEX_EMPHASIS)


def _line(
    value: object, escape: Callable[[str], str], emphasis: Mapping[str, tuple[str, str]]
) -> str:
    if isinstance(value, Number):
        return escape(str(value))
    if not isinstance(value, Markup):
        return _one_line(escape(typeset(str(value))))
    reader = _Reader(escape, emphasis)
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
        lines.append([f"**{first}**" if row.mark == _DECIDES else first, *others])
    text = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    note = f"\n\n{said(table.note)}" if table.note else ""
    return f"{text}{note}"


def latex_table(table: Table) -> str:
    """Return a table as wide as the text, whose words wrap. Nothing where it has no rows.

    Where three columns or more are words, the first stands as a heading over its rows. What
    decides is set in bold. The packages that it needs are named in a comment.
    """
    if not table.rows:
        return ""
    grouped = table.words >= _HEADED
    rows = _headed_rows(table) if grouped else [_latex_row(row.cells) for row in table.rows]
    caption = latex(table.caption)
    if any(row.mark == _DECIDES for row in table.rows):
        caption += ". Bold: what decides"
    return "\n".join(
        [
            r"% needs \usepackage{booktabs,tabularx}; in two columns of text, table* for table",
            r"\begin{table}",
            rf"\caption{{{caption}}}",
            r"\footnotesize\setlength{\tabcolsep}{4pt}",
            rf"\begin{{tabularx}}{{\linewidth}}{{{_latex_columns(table, grouped=grouped)}}}",
            r"\toprule",
            _latex_row([_symbol(title) for title in table.head[grouped:]]),
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabularx}",
            r"\end{table}",
        ]
    )


def _symbol(title: str) -> object:
    return Markup("<i>{}</i>").format(title) if len(title) == 1 else title


def _latex_columns(table: Table, *, grouped: bool) -> str:
    """Return columns of words that share what numbers leave of the line, the first the widest."""
    words = table.words - grouped
    shares = (1.25, 0.75) if words == 2 else (1,) * words
    spread = "".join(rf">{{\hsize={share}\hsize\raggedright\arraybackslash}}X" for share in shares)
    return f"@{{}}{spread}{'r' * (len(table.head) - table.words)}@{{}}"


def _headed_rows(table: Table) -> list[str]:
    """Return rows without their first cell, which stands above those that have it in common."""
    lines: list[str] = []
    above = ""
    for row in table.rows:
        heading = latex(row.cells[0])
        if heading != above:
            shown = rf"\textbf{{{heading}}}" if row.mark == _DECIDES else heading
            lines += [r"\addlinespace"] if above else []
            lines.append(rf"\multicolumn{{{len(table.head) - 1}}}{{@{{}}l@{{}}}}{{{shown}}} \\")
        lines.append(_latex_row(row.cells[1:]))
        above = heading
    return lines


def _latex_row(cells: Sequence[object]) -> str:
    text = " & ".join(latex(cell) or NONE for cell in cells)
    # after the end of a row or a rule, these would open an option of it
    opens = text[:1] in ("[", "*")
    return (f"{{{text[0]}}}{text[1:]}" if opens else text) + r" \\"


class _Reader(HTMLParser):
    """Turns the page's inline elements into text; leaves out pictures and methods."""

    def __init__(
        self, escape: Callable[[str], str], emphasis: Mapping[str, tuple[str, str]]
    ) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._escape, self._emphasis = escape, emphasis
        self._left_out: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an emphasis, or what is left out up to its end."""
        classes = (dict(attrs).get("class") or "").split()
        if self._left_out or tag == "svg" or _HOW in classes:
            self._left_out.append(tag)
        elif tag in ("small", "span", "br"):
            self.parts.append(" ")
        self.parts.append("" if self._left_out else self._emphasis.get(tag, ("", ""))[0])

    def handle_endtag(self, tag: str) -> None:
        """Close an emphasis, or what is left out."""
        if self._left_out:
            self._left_out.pop()
        else:
            self.parts.append(self._emphasis.get(tag, ("", ""))[1])

    def handle_data(self, data: str) -> None:
        """Keep text."""
        if not self._left_out:
            self.parts.append(self._escape(data))


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)


def _latex_escaped(text: str) -> str:
    written = "".join(_LATEX.get(mark, mark) for mark in text)
    return _POWER.sub(lambda power: f"$^{{{power[0].translate(_DIGITS)}}}$", written)


def _one_line(text: str) -> str:
    """Close up breaks and blanks; those that do not break a line stay."""
    return _BLANKS.sub(" ", text).strip(" ")
