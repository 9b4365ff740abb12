"""Series in time: what they say, where they become steady, whether a backlog grows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsuite.metrics.steady import (
    correlation_time,
    effective_size,
    growth,
    in_flight,
    mean_error,
    quantile_with_failures,
    steady_from,
)
from benchsuite.records.table import FloatArray
from tests.queues import simulate


def autoregressive(phi: float, n: int, seed: int) -> FloatArray:
    """x[i] = phi * x[i - 1] + noise."""
    noise = np.random.default_rng(seed).normal(size=n)
    values = np.empty(n)
    last = noise[0] / np.sqrt(1 - phi**2)
    for at, each in enumerate(noise):
        values[at] = last = phi * last + each
    return values


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_the_correlation_time_of_a_known_process(phi: float) -> None:
    """AR(1): (1 + phi) / (1 - phi)."""
    found = [correlation_time(autoregressive(phi, 20_000, seed)) for seed in range(3)]
    assert np.mean(found) == pytest.approx((1 + phi) / (1 - phi), rel=0.15)


def test_a_mean_s_error_holds_where_values_are_correlated() -> None:
    """Over 100 runs the means spread as each run said; as independent values they would not."""
    runs = [autoregressive(0.9, 2000, seed) for seed in range(100)]
    spread = np.std([run.mean() for run in runs])
    assert np.mean([mean_error(run) for run in runs]) == pytest.approx(spread, rel=0.25)
    assert np.mean([run.std() / np.sqrt(len(run)) for run in runs]) < 0.4 * spread


@given(st.lists(st.floats(-1e3, 1e3), max_size=50))
def test_values_never_say_more_than_their_number(values: list[float]) -> None:
    assert 0 <= effective_size(np.array(values)) <= len(values)


def test_a_planted_warm_up_is_cut_within_one_batch() -> None:
    """The first 200 of 2,000 are slower by four standard deviations."""
    values = np.random.default_rng(1).normal(1.0, 0.1, 2000)
    values[:200] += 0.4
    assert steady_from(values) == pytest.approx(200, abs=5)


def test_nothing_is_cut_from_what_is_steady() -> None:
    cuts = [steady_from(np.random.default_rng(seed).normal(size=1000)) for seed in range(20)]
    assert np.median(cuts) <= 100
    assert steady_from(np.ones(39)) == 0


@pytest.mark.parametrize(
    ("rate", "grows"), [(0.5, False), (0.8, False), (0.95, False), (1.1, True), (1.3, True)]
)
def test_a_backlog_grows_beyond_capacity_alone(rate: float, grows: bool) -> None:
    """M/D/1, 4,000 customers, capacity 1/s: the growth is what is missing."""
    run = simulate(rate, 4000, np.random.default_rng(2), is_constant=True)
    found = growth(run.arrived_s, run.left_s, (0.0, float(run.arrived_s[-1])))
    assert found is not None
    assert found.is_beyond(0.01, 3.0) == grows
    if grows:
        assert found.share == pytest.approx(1 - 1 / rate, rel=0.3)


def test_what_never_ends_stays_in_flight() -> None:
    begun, ended = np.array([0.0, 1.0, 2.0, np.nan]), np.array([1.5, np.nan, 3.0, 9.0])
    assert in_flight(begun, ended, np.array([0.5, 1.2, 2.5, 4.0])).tolist() == [1, 2, 2, 1]


def test_few_requests_say_nothing_of_a_trend() -> None:
    assert growth(np.arange(39.0), np.arange(39.0) + 1, (0.0, 39.0)) is None


def test_a_failed_request_waited_for_ever() -> None:
    """Failing the slowest 10 of 100 leaves the lower quantiles and makes the upper ones infinite,
    where leaving them out would have made both better."""
    values = np.arange(100.0)
    assert quantile_with_failures(values, 0, 0.95) == np.quantile(values, 0.95)
    assert quantile_with_failures(values[:90], 10, 0.5) == np.quantile(values, 0.5)
    assert quantile_with_failures(values[:90], 10, 0.95) == np.inf
    assert np.quantile(values[:90], 0.95) < np.quantile(values, 0.95)
    assert np.isnan(quantile_with_failures(np.array([]), 0, 0.5))
    assert quantile_with_failures(np.array([]), 1, 0.5) == np.inf


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=30), st.floats(0, 1))
def test_without_failures_it_is_the_plain_quantile(values: list[float], p: float) -> None:
    found = quantile_with_failures(np.array(values), 0, p)
    assert found == pytest.approx(np.quantile(values, p), rel=1e-9, abs=1e-9)
