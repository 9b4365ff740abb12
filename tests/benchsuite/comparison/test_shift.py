"""The shift function: found where it is, as sure as the data are, never surer."""

import math

import numpy as np
import pytest

from benchsuite.comparison.shift import LEVELS, Distribution, blocks, shift, within
from benchsuite.metrics.pool import Sample
from benchsuite.metrics.statistics import Quantile, quantiles
from benchsuite.records.table import FloatArray


def of(values: FloatArray) -> Distribution:
    """Every value is of a session of its own, in this order."""
    found = Sample(values, np.arange(len(values)))
    told = quantiles(values, blocks(found), LEVELS)
    return Distribution(len(values), told, np.sort(values), np.linspace(0, 1, len(values)))


def correlated(seed: int, n: int = 600, r: float = 0.9) -> FloatArray:
    """Latencies of a queue that remembers: exp of an AR(1)."""
    rng = np.random.default_rng(seed)
    noise, x = rng.normal(0, math.sqrt(1 - r * r), n), np.empty(n)
    x[0] = rng.normal()
    for at in range(1, n):
        x[at] = r * x[at - 1] + noise[at]
    found: FloatArray = np.exp(0.3 * x)
    return found


def test_a_slower_tail_is_found_in_the_tail_alone() -> None:
    """Six runs a side; every value above the p80 is twice as slow."""
    rng = np.random.default_rng(1)
    fast = [np.exp(rng.normal(0, 0.5, 2000)) for _ in range(12)]
    slow = [np.where(x > np.quantile(x, 0.8), 2 * x, x) for x in fast[6:]]
    steps = shift([of(x) for x in fast[:6]], [of(x) for x in slow], is_paired=False)
    by_level = {step.level: step for step in steps}
    for level in ("p10", "p50", "p70"):
        low, high = by_level[level].interval or (1.0, 0.0)
        assert low < 0 < high
        assert not by_level[level].is_within_runs
    assert by_level["p90"].change == pytest.approx(1.0, abs=0.1)
    assert (by_level["p90"].interval or (0, 0))[0] > 0.8


def test_a_run_against_itself_does_not_shift() -> None:
    one = of(correlated(1))
    assert all(step.change == 0.0 for step in shift([one], [one], is_paired=True))


def test_intervals_within_two_runs_hold_for_requests_that_waited_together() -> None:
    """Of the median of correlated latencies: 95 % asked, at least 88 % found; as if each request
    stood alone it would be near half."""
    hits = naive = 0
    for seed in range(200):
        a, b = correlated(seed), correlated(1000 + seed)
        found = within(of(a).quantiles["p50"], of(b).quantiles["p50"])
        assert found is not None
        hits += found[0] <= 0.0 <= found[1]
        alone = [quantiles(x, np.arange(len(x)), LEVELS)["p50"] for x in (a, b)]
        low, high = within(*alone) or (0.0, 0.0)
        naive += low <= 0.0 <= high
    assert hits >= 176
    assert naive < 140


def test_a_quantile_that_some_run_has_too_few_values_for_is_left_out() -> None:
    few, many = of(np.linspace(1, 2, 50)), of(np.linspace(1, 2, 5000))
    levels = [step.level for step in shift([few, many], [many, many], is_paired=False)]
    assert "p50" in levels
    assert "p99" not in levels


def test_what_reaches_zero_has_no_interval() -> None:
    good = Quantile(1.0, (0.5, 2.0), None)
    assert within(good, Quantile(1.0, (0.0, 2.0), None)) is None
    assert within(good, Quantile(None, None, 7)) is None
    low, high = within(good, good) or (0.0, 0.0)
    assert -low == pytest.approx(high)
