"""Tables to paste into a paper or a repository hold the page's numbers, and no stray mark-up."""

import re
from html import unescape

import pytest
from markupsafe import Markup

from reports.numbers import MINUS, Number, fixed
from reports.pasted import latex, latex_table
from reports.tables import Row, Table


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Number(-0.5, "findings", f"{MINUS}0.50"), "$-$0.50"),
        (Number(3e7, "findings", fixed(3e7, 2)), r"3.0\,$\times$\,10$^{7}$"),
        ("50 % of a_b & {c} \\ #1", r"50 \% of a\_b \& \{c\} \textbackslash{} \#1"),
        (Markup("<i>p</i> &lt; .001<small class='how'>long</small>"), r"\textit{p} $<$ .001"),
    ],
)
def test_what_latex_would_read_as_its_own_is_escaped(value: object, written: str):
    assert latex(value) == written


def test_a_latex_table_has_as_many_cells_in_each_row_as_columns():
    table = Table("A & B", ("Arm", "p"), (Row(("fixed", ".01")), Row(("a&b", "–"))))
    lines = latex_table(table).splitlines()
    assert r"\begin{tabular}{lr}" in lines
    rows = [line for line in lines if line.endswith(r"\\")]
    assert len(rows) == 3
    assert all(len(re.findall(r"(?<!\\)&", row)) == 1 for row in rows)
    assert latex_table(Table("Nothing", ("Arm",), ())) == ""


def test_each_claim_has_its_verdicts_as_latex_and_as_markdown(drawn):
    for finding in drawn.json["findings"]:
        if not finding["deciding"]:
            continue
        section = drawn.html.partition(f'id="claim-{finding["hypothesis"]}"')[2]
        pasted = dict(
            re.findall(r"as a (LaTeX|Markdown) table</summary>.*?<code>(.*?)</code>",
                       section.partition("</section>")[0], re.DOTALL)
        )  # fmt: skip
        read = sum(
            len(each["outcomes"])
            for each in drawn.json["findings"]
            if each["hypothesis"] == finding["hypothesis"]
        )
        assert unescape(pasted["LaTeX"]).count(r"\\") == read + 1
        assert unescape(pasted["Markdown"]).count("\n") == read + 1
