"""Tables to paste into a paper or a repository hold the page's numbers, and no stray mark-up."""

import re
import shutil
import subprocess
from html import unescape

import pytest
from markupsafe import Markup

from reports.names import FORMS, VERDICTS, measure_title
from reports.numbers import MINUS, Number, fixed
from reports.pasted import latex, latex_table
from reports.tables import Row, Table
from store.measures import MEASURES


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
    (opened,) = [line for line in lines if line.startswith(r"\begin{tabularx}")]
    assert opened.endswith(r"\arraybackslash}Xr@{}}")
    rows = [line for line in lines if line.endswith(r"\\")]
    assert len(rows) == 3
    assert all(len(re.findall(r"(?<!\\)&", row)) == 1 for row in rows)
    assert latex_table(Table("Nothing", ("Arm",), ())) == ""


def test_a_row_cannot_begin_with_what_would_be_an_option_of_the_row_before():
    for cell in ("[0, 1]", "*"):
        rows = latex_table(Table("A", ("Arm", "B"), (Row((cell, "1")),))).splitlines()
        assert any(line.startswith(f"{{{cell[0]}}}{cell[1:]} &") for line in rows)


def test_rows_that_have_their_first_words_in_common_stand_under_them_and_what_decides_is_bold():
    head = ("Arm", "Outcome", "Verdict", "p")
    rows = (
        Row(("fixed", "gap", "Supported", ".01"), "primary"),
        Row(("fixed", "fidelity", "Supported", ".02"), "primary"),
        Row(("matched", "gap", "Undecided", ".2")),
    )
    text = latex_table(Table("Verdicts", head, rows, words=3))
    assert r"\caption{Verdicts. Bold: what decides}" in text
    assert text.count(r"\multicolumn{3}{@{}l@{}}{\textbf{fixed}} \\") == 1
    assert text.count(r"\multicolumn{3}{@{}l@{}}{matched} \\") == 1
    assert "fidelity & Supported & .02" in text
    assert r"Outcome & Verdict & \textit{p} \\" in text


@pytest.fixture
def latex_tables(drawn) -> list[str]:
    found = re.findall(r"as a LaTeX table</summary>.*?<code>(.*?)</code>", drawn.html, re.DOTALL)
    return [unescape(text) for text in found]


def test_a_table_says_which_packages_it_needs(latex_tables):
    assert len(latex_tables) == 6
    for text in latex_tables:
        first, *others = text.splitlines()
        assert first.startswith(r"% needs \usepackage{booktabs,tabularx};")
        used = set(re.findall(r"\\[a-z]+", "\n".join(others)))
        assert used & OF_PACKAGES == {r"\toprule", r"\midrule", r"\bottomrule", r"\addlinespace",
                                      r"\arraybackslash"}  # fmt: skip


OF_PACKAGES = {
    r"\toprule", r"\midrule", r"\bottomrule", r"\addlinespace", r"\cmidrule", r"\arraybackslash",
    r"\multirow", r"\num", r"\resizebox", r"\textquotedbl", r"\makecell",
}  # fmt: skip
TEXT_WIDTH = 345
"""Points of a line in LaTeX's class article at 10 points, the narrowest of its pages."""


def test_numbers_leave_words_room_and_nothing_is_wider_than_the_text(latex_tables):
    for text in latex_tables:
        assert r"\begin{tabularx}{\linewidth}" in text
        rows = [line for line in text.splitlines() if line.endswith(r"\\")]
        cells = [shown(row).split(" & ") for row in rows if not row.startswith(r"\multicolumn")]
        widest = [max(map(len, column)) for column in zip(*cells, strict=True)]
        # a digit of 8 points is 4.25 wide, a gap between columns 8
        left = TEXT_WIDTH - 4.25 * sum(widest[2:]) - 8 * (len(widest) - 1)
        assert left > 120
        words = [word for row in cells for word in row[1].split()]
        assert 4.25 * max(map(len, words)) < 0.75 / 2 * left


def shown(row: str) -> str:
    """What LaTeX sets of a row, one character for each of its own."""
    return re.sub(r"\$|\\,|\\textit|[{}]| \\\\$", "", row.replace(r"\%", "%"))


def test_all_words_of_a_verdict_are_within_what_latex_knows_without_a_package():
    words = [*(each.word for each in VERDICTS.values()), *FORMS.values()]
    words += [measure_title(each.name) for each in MEASURES] + [each.unit for each in MEASURES]
    for text in words:
        assert latex(text).isascii(), text


HOSTILE = ("~^\\{}%$#_&<>|\"'`", "[0, 1]", "* a", "</td> <script> alert(1)", "Zoë–", "–")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
@pytest.mark.parametrize("options", ["10pt", "12pt", "10pt,twocolumn"])
def test_pdflatex_takes_every_table_and_none_is_wider_than_the_text(
    latex_tables, tmp_path, options
):
    rows = tuple(
        Row((f"arm {text}", text, text, f"{MINUS}1.0", text), "primary") for text in HOSTILE
    )
    hostile = latex_table(Table(HOSTILE[0], ("Arm", "A_b", "C%", "p", "n"), rows, words=3))
    text = "\n\n".join([*latex_tables, hostile])
    if "twocolumn" in options:
        text = re.sub(r"(\\(?:begin|end)\{table)\}", r"\1*}", text)
    needed = re.findall(r"% needs (\\usepackage\{[a-z,]+\});", text)[0]
    document = rf"\documentclass[{options}]{{article}}{needed}\begin{{document}}{text}"
    (tmp_path / "tables.tex").write_text(document + "\n\\end{document}\n", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    said = run.stdout.decode("latin-1")
    assert run.returncode == 0, said
    assert not re.search("Overfull|^!", said, re.MULTILINE), said


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
        lines = unescape(pasted["LaTeX"]).splitlines()
        rows = [line for line in lines if line.endswith(r"\\") and " & " in line]
        assert len(rows) == read + 1
        assert unescape(pasted["Markdown"]).count("\n") == read + 1
