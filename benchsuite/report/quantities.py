"""How a quantity is written for a person: seconds become milliseconds, counts get commas."""

import math
import unicodedata

from benchsuite.metrics.base import Interval

_BIDI = {*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x061C, 0x200E, 0x200F}
_HIDDEN = {"Cc", "Cs", "Zl", "Zp"}  # controls, lone surrogates, line and paragraph separators


def number(value: float) -> str:
    """Three significant digits below 1,000, whole with commas from there; a dash for NaN."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    size = abs(value)
    if size >= 999.5 or value == int(value):
        return f"{value:,.0f}".replace("-", "−")
    text = f"{value:.{min(2 - math.floor(math.log10(size)), 9)}f}"
    if size < 1:
        text = text.rstrip("0").rstrip(".")
    return text.replace("-", "−")


def milliseconds(value_s: float) -> str:
    """A duration with its unit: `182 ms`; `30 ns` below a microsecond, `< 1 ns` below one."""
    if 0 < value_s < 1e-9:
        return "< 1 ns"  # what is left of sums in binary, on virtual time
    if 0 < value_s < 1e-6:
        return f"{number(value_s * 1e9)} ns"
    return f"{number(value_s * 1e3)} ms"


def percent(share: float) -> str:
    """A share with its unit; 100 % and 0 % only where nothing is missing or there."""
    if math.isnan(share):
        return "–"
    digits = 1 if 0.001 <= share <= 0.999 else 2
    text = f"{share * 100:.{digits}f}"
    if share < 1 and float(text) == 100:
        return "> 99.99 %"
    if share > 0 and float(text) == 0:
        return "< 0.01 %"
    return f"{float(text):g} %"


def bounds(interval: Interval | None) -> str:
    """An interval of shares; a dash where there is none."""
    return "–" if interval is None else f"{percent(interval[0])} to {percent(interval[1])}"


def visible(text: str) -> str:
    r"""`text` with what would be invisible or reorder its neighbours written out (`\u202e`)."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_written(character) for character in text)


def _written(character: str) -> str:
    if character in "\n\t":
        return character
    if unicodedata.category(character) in _HIDDEN or ord(character) in _BIDI:
        return f"\\u{ord(character):04x}"
    return character
