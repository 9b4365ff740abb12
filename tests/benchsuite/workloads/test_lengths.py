"""Token-length distributions."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchsuite.streams import rng
from benchsuite.workloads.lengths import Empirical, Fixed, Lengths, LogNormal, Uniform, tied

uniforms = st.builds(
    lambda low, more: Uniform(low=low, high=low + more), st.integers(1, 5000), st.integers(0, 5000)
)
log_normals = st.builds(
    lambda median, tail, low, more: LogNormal(
        median=median, p99=median * tail, min=low, max=low + more
    ),
    st.floats(50, 100),
    st.floats(2, 50),
    st.integers(1, 60),
    st.integers(20, 5000),
)
empiricals = st.builds(
    lambda pairs: Empirical(values=[v for v, _ in pairs], weights=[w for _, w in pairs]),
    st.lists(st.tuples(st.integers(1, 9999), st.floats(0.01, 9)), min_size=1, max_size=9),
)


def draws(lengths: Lengths, n: int, seed: int = 1) -> np.ndarray:
    generator = rng(seed, "lengths")
    return np.array([lengths.draw(generator) for _ in range(n)])


@given(uniforms | log_normals | empiricals, st.integers(0, 2**32))
def test_lengths_are_whole_within_bounds_and_at_least_one(lengths, seed):
    """Whatever the parameters, a length is an int >= 1 that keeps the bounds given."""
    found = [lengths.draw(rng(seed, i)) for i in range(20)]
    assert all(type(n) is int and n >= 1 for n in found)
    match lengths:
        case Uniform():
            assert all(lengths.low <= n <= lengths.high for n in found)
        case LogNormal():
            assert all(lengths.min <= n <= lengths.max for n in found)
        case Empirical():
            assert set(found) <= set(lengths.values)


@pytest.mark.parametrize(
    "lengths",
    [
        Fixed(value=7),
        Uniform(low=1, high=9),
        LogNormal(median=100, p99=900, max=300),
        Empirical(values=(1, 2, 3)),
        Empirical(values=(1, 2, 3), weights=(1, 2, 3)),
    ],
    ids=lambda lengths: type(lengths).__name__,
)
def test_a_draw_takes_one_random_number(lengths):
    """So that changing one distribution leaves every other draw of the stream alone."""
    drawn, plain = rng(1, "x"), rng(1, "x")
    lengths.draw(drawn)
    plain.random()
    assert drawn.random() == plain.random()


def test_log_normal_has_the_quantiles_that_were_asked():
    """median and p99 come out again, within sampling error."""
    found = draws(LogNormal(median=512, p99=4096), 40_000)
    assert np.median(found) == pytest.approx(512, rel=0.02)
    assert np.percentile(found, 99) == pytest.approx(4096, rel=0.05)


def test_log_normal_is_truncated_not_clipped():
    """The share at a bound is its own share, not that of all that lies beyond it."""
    found = draws(LogNormal(median=100, sigma=1, min=50, max=200), 20_000)
    assert np.mean(found == 200) < 0.01
    assert np.mean(found == 50) < 0.02


def test_uniform_reaches_both_ends_equally():
    """Each of 1..4 comes a quarter of the time, within 5 standard errors."""
    counts = np.bincount(draws(Uniform(low=1, high=4), 10_000))[1:]
    assert np.all(np.abs(counts - 2500) < 5 * np.sqrt(10_000 * 0.25 * 0.75))


def test_empirical_keeps_its_weights():
    """Weights 1 : 3 give shares 1/4 and 3/4; without weights all values are alike."""
    weighted = draws(Empirical(values=(10, 20), weights=(1, 3)), 10_000)
    assert np.mean(weighted == 20) == pytest.approx(0.75, abs=0.025)
    assert np.mean(draws(Empirical(values=(10, 20)), 10_000) == 20) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    "written",
    [
        {"type": "fixed", "value": 0},
        {"type": "uniform", "low": 3, "high": 2},
        {"type": "log_normal", "median": 10},
        {"type": "log_normal", "median": 10, "p99": 20, "sigma": 1},
        {"type": "log_normal", "median": 10, "p99": 10},
        {"type": "log_normal", "median": 10, "p99": 20, "min": 9, "max": 8},
        {"type": "log_normal", "median": 10, "p99": 11, "min": 1000000},
        {"type": "empirical", "values": []},
        {"type": "empirical", "values": [1, 2], "weights": [1]},
        {"type": "normal", "mean": 3},
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(written):
    """Parameters that make no distribution are refused when the scenario is read."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(written, Lengths)


@given(rho=st.sampled_from([-0.7, 0.3, 0.95]), seed=st.integers(0, 99))
@settings(max_examples=10)
def test_a_rank_correlation_ties_two_lengths(rho, seed):
    """Spearman's rho of many pairs is the one asked, whatever the two distributions are."""
    one, other = rng(seed, "one"), rng(seed, "other")
    shares = np.array([tied(rho, one, other) for _ in range(4000)])
    assert np.all((shares >= 0) & (shares < 1))
    found = np.corrcoef(shares.argsort(axis=0).argsort(axis=0).T)[0, 1]
    assert found == pytest.approx(rho, abs=0.06)


def test_lengths_that_are_not_tied_are_those_of_before():
    """Without a correlation each takes its own number, in order."""
    pair = tied(0.0, rng(1, "one"), rng(1, "other"))
    assert pair == (rng(1, "one").random(), rng(1, "other").random())
