"""Numbers as the page shows them: rounded text that carries its full value and its source.

Only here is anything rounded. A number in the page is ``<data value="..." data-from="...">``, so a
test (or a reader) can walk the page and compare each with ``results.json`` or the store.
"""

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup, escape

from analyze.comparison import Comparison
from analyze.results import Interval, Results

MINUS: Final = "\N{MINUS SIGN}"
NO_BREAK: Final = "\N{NO-BREAK SPACE}"
THIN: Final = "\N{NARROW NO-BREAK SPACE}"
_MOST_DECIMALS: Final = 6
_SUPERSCRIPTS: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True, slots=True)
class Number:
    """A number to show. source: its path in results.json, or ``sql:query[row].column``."""

    value: float
    source: str
    shown: str

    def __html__(self) -> str:
        """Return the number as a data element."""
        return Markup('<data value="{}" data-from="{}">{}</data>').format(
            repr(self.value), self.source, self.shown
        )

    def __str__(self) -> str:
        return self.shown


Shown = Number | str
"""What a table cell holds: a cited number, or words where there is none."""


class Citations:
    """Where each value stands in results.json, or in a comparison's JSON."""

    def __init__(self, results: Results | Comparison) -> None:
        self._owners: dict[int, tuple[str, object]] = {}
        for path, owner in _owners(results, ""):
            self._owners.setdefault(id(owner), (path, owner))

    def path(self, owner: object, field: str) -> str:
        """Return e.g. ``findings[0].outcomes[1].estimate``.

        Raises KeyError where the owner is no part of the results.
        """
        prefix = self._owners[id(owner)][0]
        return f"{prefix}.{field}" if prefix else field

    def number(self, owner: object, field: str, shown: str, index: int | None = None) -> Number:
        """Cite one field of a part of the results (or one item of a tuple field)."""
        value = getattr(owner, field)
        path = self.path(owner, field)
        if index is not None:
            return Number(value[index], f"{path}[{index}]", shown)
        return Number(value, path, shown)

    def plain(self, owner: object, field: str, decimals: int) -> Shown:
        """Cite a field with a fixed number of decimals; a dash where there is none."""
        value = getattr(owner, field)
        return "–" if value is None else self.number(owner, field, fixed(value, decimals))

    def count(self, owner: object, field: str) -> Number:
        """Cite a whole number."""
        return self.number(owner, field, whole(getattr(owner, field)))

    def p(self, owner: object, field: str = "p_value") -> Shown:
        """Cite a p-value as ``.012`` or ``< .001``; a dash where there is none."""
        value = getattr(owner, field)
        return "–" if value is None else self.number(owner, field, p_text(value))

    def share(self, owner: object, field: str) -> Number:
        """Cite a fraction as a percentage."""
        return self.number(owner, field, percent(getattr(owner, field)))

    def interval(self, interval: Interval | None, decimals: int) -> Markup:
        """Cite an interval as ``[low, high]``; a dash where there is none."""
        if interval is None:
            return Markup("–")
        return Markup("[{}, {}]").format(
            self.plain(interval, "low", decimals), self.plain(interval, "high", decimals)
        )


def _owners(value: object, path: str) -> Iterator[tuple[str, object]]:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield path, value
        for field in dataclasses.fields(value):
            inner = f"{path}.{field.name}" if path else field.name
            yield from _owners(getattr(value, field.name), inner)
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _owners(item, f"{path}[{index}]")


def fixed(value: float, decimals: int) -> str:
    """Write a number with so many decimals, a true minus sign and no negative zero.

    A number that would show as 0 without being 0 keeps one significant digit, so that
    nothing reads as exactly nothing.
    """
    if math.isnan(value):
        return "undefined"
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    if value != 0 and abs(value) >= 1e6:
        return _scientific(value)
    text = f"{value:.{decimals}f}"
    if value != 0 and float(text) == 0:
        place = -math.floor(math.log10(abs(value)))
        text = f"{value:.{place}f}" if place <= _MOST_DECIMALS else _scientific(value)
    if float_is_zero(text):
        text = text.removeprefix("-")
    return text.replace("-", MINUS)


def float_is_zero(text: str) -> bool:
    """Say whether a decimal text is zero: "-0.00" is."""
    return not any(digit in text for digit in "123456789")


def _scientific(value: float) -> str:
    mantissa, exponent = f"{value:.1e}".split("e")
    power = str(int(exponent)).translate(_SUPERSCRIPTS)
    return f"{mantissa.replace('-', MINUS)}{THIN}×{THIN}10{power}"


def decimals_for(error: float | None, estimate: float | None = None) -> int:
    """Return how many decimals an estimate deserves: two significant digits of its error.

    Without an error, three significant digits of the estimate.
    """
    for size, digits in ((error, 2), (estimate, 3)):
        if size is not None and math.isfinite(size) and size != 0:
            place = digits - 1 - math.floor(math.log10(abs(size)))
            return min(max(place, 0), _MOST_DECIMALS)
    return 2


def interval_decimals(interval: Interval | None, estimate: float | None) -> int:
    """Return how many decimals an estimate deserves that is known with an interval alone."""
    if interval is None or not math.isfinite(interval.high - interval.low):
        return decimals_for(None, estimate)
    return decimals_for((interval.high - interval.low) / 4, estimate)


def p_text(p: float) -> str:
    """Write a p-value to three decimals without the leading zero: ``.012``, ``< .001``.

    A fourth decimal where three would hide on which side of .05 it is.
    """
    if math.isnan(p):
        return "undefined"
    if p < 0.001:
        return f"<{THIN}.001"
    if p >= 0.9995:
        return "1" if p == 1 else f">{THIN}.999"
    text = f"{p:.3f}"
    if text == "0.050" and p != 0.05:
        text = f"{p:.4f}"
    return text.removeprefix("0")


def p_clause(p: Number | str) -> Markup:
    """Write ``p = .012`` or ``p < .001`` around a cited p-value."""
    shown = str(p)
    joint = "" if shown.startswith(("<", ">")) else f"={NO_BREAK}"
    return Markup("<i>p</i>{}{}{}").format(NO_BREAK, joint, p)


def percent_tenths(fraction: float) -> str:
    """Write a share as a percentage with one decimal."""
    return f"{100 * fraction:.1f}{THIN}%"


def percent(fraction: float) -> str:
    """Write a fraction as a percentage; only exact bounds read 0 % and 100 %."""
    if math.isnan(fraction):
        return "undefined"
    if 0 < fraction < 0.005:
        return f"<{THIN}1{THIN}%"
    if 0.995 <= fraction < 1:
        return f">{THIN}99{THIN}%"
    return f"{100 * fraction:.0f}{THIN}%"


def level_text(level: float) -> str:
    """Write a confidence level: ``95 %``, ``98.3 %``; ``99.9996 %`` never as 100 %."""
    miss = 100 * (1 - level)
    close = min(math.ceil(-math.log10(miss)), 11) if 0 < miss < 0.1 else 0
    return f"{100 * level:.{4 + close}g}{THIN}%"


def look_level_text(level: float) -> str:
    """Write the level of a look to three significant digits, without the leading zero: ``.0120``.

    Smaller than a millionth, as that.
    """
    if level < 1e-6:
        return f"<{THIN}.000001"
    return f"{level:.{2 - math.floor(math.log10(level))}f}".removeprefix("0")


def whole(value: float) -> str:
    """Write a whole number, thousands set apart."""
    return f"{int(value):,}".replace(",", THIN) if abs(value) >= 10_000 else f"{int(value)}"


def strength_text(strength: float) -> str:
    """Write an augmentation strength: a fraction, as declared, or a mean of some."""
    return f"{strength:.4g}"


def attribute(text: str) -> Markup:
    """Escape a text for an attribute of hand-written SVG."""
    return escape(text)
