"""Student's t against tables and scipy."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsuite.comparison.student import incomplete_beta, quantile, upper_tail

DEGREES = st.floats(0.5, 5000)


@pytest.mark.parametrize(
    ("p", "degrees", "t"),
    [
        (0.975, 1, 12.706204736),
        (0.975, 4, 2.776445105),
        (0.95, 6, 1.943180281),
        (0.9875, 6, 2.968686684),
        (0.995, 30, 2.749995654),
    ],
)
def test_quantiles_are_those_of_the_tables(p: float, degrees: float, t: float) -> None:
    assert quantile(p, degrees) == pytest.approx(t, rel=1e-9)
    assert quantile(1 - p, degrees) == pytest.approx(-t, rel=1e-9)


def test_one_degree_is_cauchy_s() -> None:
    for t in (-30.0, -1.0, 0.0, 0.5, 2.0, 1e6):
        assert upper_tail(t, 1) == pytest.approx(0.5 - math.atan(t) / math.pi, rel=1e-6)


def test_infinity_has_no_tail() -> None:
    assert upper_tail(math.inf, 3) == 0.0
    assert upper_tail(-math.inf, 3) == 1.0


@given(t=st.floats(-1e3, 1e3), degrees=DEGREES)
def test_as_scipy_has_it(t: float, degrees: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    assert upper_tail(t, degrees) == pytest.approx(stats.t.sf(t, degrees), rel=1e-8, abs=1e-14)


@given(p=st.floats(0.001, 0.999), degrees=DEGREES)
def test_the_quantile_undoes_the_tail(p: float, degrees: float) -> None:
    assert upper_tail(quantile(p, degrees), degrees) == pytest.approx(1 - p, abs=1e-9)


@given(x=st.floats(0, 1), a=st.floats(0.1, 50), b=st.floats(0.1, 50))
def test_the_two_halves_of_a_beta_add_up(x: float, a: float, b: float) -> None:
    x = 1 - (1 - x)  # else the complement is that of another x, by rounding
    assert incomplete_beta(x, a, b) + incomplete_beta(1 - x, b, a) == pytest.approx(1, abs=1e-9)
