"""What a browser makes of the page: it draws, says nothing, asks for nothing."""

import pytest

pytestmark = pytest.mark.browser


def test_every_chart_is_drawn_without_a_complaint_or_a_request(tab, analyzed):
    tab.open(analyzed.page)
    tab.draw_all()
    charts = tab.evaluate("document.querySelectorAll('[data-chart]').length")
    marks = tab.evaluate(
        "[...document.querySelectorAll('[data-chart]')].filter((box) => "
        "box.querySelector('.mark-symbol path, .mark-line path')).length"
    )
    assert charts > 10
    assert marks == charts
    assert tab.complaints() == []
    assert tab.requests() == []


@pytest.mark.parametrize("width", [390, 1400])
def test_the_page_never_scrolls_sideways(tab, drawn, width):
    tab.open(drawn.page, width=width)
    tab.draw_all()
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_charts_far_below_are_drawn_only_when_they_come_near(tab, drawn):
    tab.open(drawn.page)
    tab.wait("document.querySelectorAll('.drawn').length >= 0")
    last = "[...document.querySelectorAll('[data-chart]')].at(-1)"
    assert not tab.evaluate(f"{last}.classList.contains('drawn')")
    tab.evaluate(f"{last}.scrollIntoView({{behavior: 'instant'}})")
    tab.wait(f"{last}.classList.contains('drawn')")


def test_printing_draws_every_chart(tab, drawn):
    tab.open(drawn.page, dark=True)
    tab.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    tab.wait(
        "[...document.querySelectorAll('[data-chart]')]"
        ".every((box) => box.classList.contains('drawn'))"
    )
    assert tab.complaints() == []


def test_turning_dark_redraws_the_charts_in_other_colours(tab, drawn):
    colour = "document.querySelector('.drawn .mark-line path').getAttribute('stroke')"
    tab.open(drawn.page)
    tab.draw_all()
    light = tab.evaluate(colour)
    tab.ask(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}]
    )
    tab.wait(f"document.querySelector('.drawn .mark-line path') && {colour} !== '{light}'")


def test_without_scripts_the_findings_and_tables_are_there(tab, drawn):
    tab.ask("Emulation.setScriptExecutionDisabled", value=True)
    for domain in ("Page", "DOM"):
        tab.ask(f"{domain}.enable")
    tab.ask("Page.navigate", url=drawn.page.resolve().as_uri())
    tab.wait("document.readyState === 'complete'")
    assert tab.evaluate("document.querySelectorAll('.claim .forest').length") >= 6
    assert tab.evaluate("document.querySelectorAll('noscript').length") > 0
    assert tab.evaluate("document.querySelectorAll('tbody tr').length") > 50


def test_a_specification_curve_fits_a_phone_and_needs_no_script(tab, analyzed):
    tab.ask("Emulation.setScriptExecutionDisabled", value=True)
    tab.open(analyzed.page, width=390)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    widths = tab.evaluate(
        "[...document.querySelectorAll('.curve-plot, .curve-strip')]"
        ".map((drawing) => Math.round(drawing.getBoundingClientRect().width))"
    )
    assert len(widths) > 40
    assert len(set(widths)) == 1
    assert 250 < widths[0] < 390


def test_a_verdict_s_sign_has_its_own_colour_wherever_it_stands(tab, drawn):
    tab.open(drawn.page)
    colours = tab.evaluate("""
        [...new Set([...document.querySelectorAll('.glyph')].map(
            (each) => `${[...each.classList].pop()} ${getComputedStyle(each).color}`))]
    """)
    kinds = [colour.split(" ", 1)[0] for colour in colours]
    assert len(kinds) == len(set(kinds)) >= 3, colours
    of = dict(colour.split(" ", 1) for colour in colours)
    assert len({of["supported"], of["contradicted"], of["undecided"]}) == 3
