"""Numbers as a person reads them."""

import pytest

from benchsuite.report.quantities import bounds, milliseconds, number, percent, visible


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.000123456, "0.000123"),
        (0.9, "0.9"),
        (20.06, "20.1"),
        (20, "20"),
        (999.4, "999"),
        (999.6, "1,000"),
        (1234567.8, "1,234,568"),
        (-3.14159, "−3.14"),
        (float("nan"), "–"),
        (float("inf"), "∞"),
        (float("-inf"), "−∞"),
    ],
)
def test_a_number_has_three_significant_digits(value: float, text: str) -> None:
    """And is whole with commas from 1,000 on."""
    assert number(value) == text


@pytest.mark.parametrize(
    ("value_s", "text"),
    [(0.182, "182 ms"), (0.00003, "0.03 ms"), (1e-9, "1 ns"), (5e-16, "< 1 ns"), (0, "0 ms")],
)
def test_a_duration_is_in_milliseconds(value_s: float, text: str) -> None:
    """Seconds inside, milliseconds where a person reads."""
    assert milliseconds(value_s) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (1, "100 %"),
        (0, "0 %"),
        (0.9, "90 %"),
        (0.9961, "99.6 %"),
        (0.99951, "99.95 %"),
        (0.999999, "> 99.99 %"),
        (1e-7, "< 0.01 %"),
    ],
)
def test_a_share_is_whole_only_if_nothing_is_missing(share: float, text: str) -> None:
    """99.9999 % is not rounded to all, nor a millionth to none."""
    assert percent(share) == text


def test_bounds_of_nothing_are_a_dash() -> None:
    """A missing interval is not an interval of zero."""
    assert bounds(None) == "–"
    assert bounds((0.86, 0.93)) == "86 % to 93 %"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ascii", "plain ascii"),
        ("naïve 漢字 🙂", "naïve 漢字 🙂"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("a\u202eb", "a\\u202eb"),
        ("\x1b[31m", "\\u001b[31m"),
        ("a\u2028b\u0000", "a\\u2028b\\u0000"),
        ("\ud800", "\\ud800"),
    ],
)
def test_hidden_characters_are_written_out(text: str, shown: str) -> None:
    """What reorders, breaks or vanishes is shown by its number."""
    assert visible(text) == shown
