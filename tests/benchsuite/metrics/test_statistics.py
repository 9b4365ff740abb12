"""Quantiles, intervals, the window."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsuite.metrics.statistics import (
    MAX_GROUPS,
    MIN_SESSIONS,
    QUANTILES,
    binomial_ranks,
    mean_intervals,
    measurement_window,
    most_by_chance,
    quantiles,
    values_needed,
    wilson,
)
from benchsuite.records.table import FloatArray

nan = float("nan")
_VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60)


def _alone(n: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Every value in a session of its own."""
    return np.arange(n)


def _binomial_mass(n: int, p: float, count: int) -> float:
    log = math.lgamma(n + 1) - math.lgamma(count + 1) - math.lgamma(n - count + 1)
    return math.exp(log + count * math.log(p) + (n - count) * math.log(1 - p))


@pytest.mark.parametrize(
    ("p", "n"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368), (0.999, 3688), (0.01, 368)]
)
def test_values_needed_is_the_least_n_with_an_interval(p: float, n: int) -> None:
    assert values_needed(p) == n
    assert binomial_ranks(n - 1, p) is None
    assert binomial_ranks(n, p) is not None


@pytest.mark.parametrize("p", QUANTILES.values())
@pytest.mark.parametrize("extra", [0, 1, 7, 500])
def test_order_statistics_cover_at_least_95_percent(p: float, extra: int) -> None:
    """Exactly: the quantile lies between the ranks if lower <= count below it < upper; and a
    tighter pair on either side would leave out more than its 2.5 %."""
    n = values_needed(p) + extra
    ranks = binomial_ranks(n, p)
    assert ranks is not None
    lower, upper = ranks
    below = sum(_binomial_mass(n, p, count) for count in range(lower))
    above = sum(_binomial_mass(n, p, count) for count in range(upper, n + 1))
    assert max(below, above) <= 0.025 + 1e-9
    assert below + _binomial_mass(n, p, lower) > 0.025 - 1e-9
    assert above + _binomial_mass(n, p, upper - 1) > 0.025 - 1e-9


@pytest.mark.parametrize("n", [1, 10, 102, 368, 5000])
def test_most_by_chance_leaves_out_at_most_its_tail(n: int) -> None:
    most = most_by_chance(n, 0.01)
    more = 1 - sum(_binomial_mass(n, 0.01, count) for count in range(most + 1))
    assert more <= 0.025 + 1e-9
    assert most == 0 or more + _binomial_mass(n, 0.01, most) > 0.025


def test_ranks_of_a_huge_sample_are_those_of_the_normal_law() -> None:
    n, p = 10_000_000, 0.99
    ranks = binomial_ranks(n, p)
    assert ranks is not None
    half = 1.959964 * math.sqrt(n * p * (1 - p))
    assert ranks == pytest.approx((n * p - half, n * p + half), abs=3)


@given(_VALUES)
def test_quantiles_are_numpys_linear_ones(values: list[float]) -> None:
    """To the last bit, wherever they are not refused."""
    found = quantiles(np.array(values), _alone(len(values)))
    for name, p in QUANTILES.items():
        if found[name].value is not None:
            assert found[name].value == np.quantile(values, p)


def test_quantiles_of_a_million_values_are_numpys() -> None:
    """Of long tails and ties, to the last bit."""
    values = np.random.default_rng(5).lognormal(0, 2, 1_000_000).round(3)
    found = quantiles(values, _alone(len(values)))
    assert [each.value for each in found.values()] == [
        np.quantile(values, p) for p in QUANTILES.values()
    ]


@given(st.lists(st.floats(-1e3, 1e3), min_size=6, max_size=400), st.integers(1, 5))
def test_a_quantile_lies_in_its_interval_and_the_interval_in_the_sample(
    values: list[float], session_size: int
) -> None:
    found = quantiles(np.array(values), np.arange(len(values)) // session_size)
    for each in found.values():
        assert (each.value is None) == (each.interval is None) == (each.needed is not None)
        if each.interval is not None and each.value is not None:
            assert min(values) <= each.interval[0] <= each.value <= each.interval[1] <= max(values)


def test_a_refused_quantile_says_how_many_values_it_takes() -> None:
    found = quantiles(np.arange(100.0), _alone(100))
    assert found["p95"].value is not None
    assert found["p99"] == (None, None, 368)
    assert found["p999"] == (None, None, 3688)


@pytest.mark.parametrize("n", [0, 1, 5])
def test_tiny_samples_refuse_everything(n: int) -> None:
    found = quantiles(np.ones(n), _alone(n))
    assert all(each.value is None for each in found.values())
    assert found["p50"].needed == 6


def test_equal_values_have_an_interval_without_width() -> None:
    found = quantiles(np.full(400, 0.25), _alone(400))
    assert found["p99"] == (0.25, (0.25, 0.25), None)


def test_values_of_one_session_count_as_one() -> None:
    """Eight copies of each value say no more than one of each: nearly the same interval (the one
    sampled, k / (k - 1) wider), and eight times as many are asked for."""
    values = np.random.default_rng(1).normal(size=1000)
    plain = quantiles(values, _alone(1000))
    copied = quantiles(np.repeat(values, 8), np.repeat(np.arange(1000), 8))
    assert copied["p50"].interval == pytest.approx(plain["p50"].interval, abs=0.02)
    assert plain["p999"].needed == 3688
    assert copied["p999"].needed == pytest.approx(8 * 3688, rel=0.01)


def test_sessions_that_are_alike_cost_nothing() -> None:
    """Values that differ within sessions and not between them are as good as independent."""
    values = np.tile(np.arange(8.0), 50)
    found = quantiles(values, np.repeat(np.arange(50), 8))
    assert found["p99"].interval is not None


def test_one_session_is_one_observation() -> None:
    found = quantiles(np.arange(1000.0), np.zeros(1000, dtype=np.int64))
    assert found["p50"] == (None, None, 6000)


@pytest.mark.parametrize(
    ("met", "num", "interval"),
    [
        (0, 0, None),
        (0, 10, (0.0, 0.2775)),
        (10, 10, (0.7225, 1.0)),
        (1, 2, (0.0945, 0.9055)),
        (999_999, 1_000_000, (0.999994, 0.9999998)),
    ],
)
def test_wilson(met: int, num: int, interval: tuple[float, float] | None) -> None:
    """Never beyond 0 or 1, never without width."""
    assert wilson(met, num) == (interval and pytest.approx(interval, abs=1e-4))


@given(st.integers(1, 10_000), st.data())
def test_wilson_holds_the_share(num: int, data: st.DataObject) -> None:
    met = data.draw(st.integers(0, num))
    interval = wilson(met, num)
    assert interval is not None
    assert 0 <= interval[0] <= met / num <= interval[1] <= 1


def _columns(*per_session: list[float]) -> tuple[FloatArray, FloatArray]:
    """(sums, counts) of one metric whose values these are."""
    return (
        np.array([[float(sum(values))] for values in per_session]),
        np.array([[float(len(values))] for values in per_session]),
    )


def test_mean_interval_is_about_two_standard_errors() -> None:
    values = np.random.default_rng(2).normal(10.0, 1.0, 400)
    (interval,) = mean_intervals(values[:, None], np.ones((400, 1)))
    error = 1.96 * values.std() / 20
    assert interval == pytest.approx((values.mean() - error, values.mean() + error), abs=0.02)


def test_mean_interval_is_the_same_every_time() -> None:
    columns = _columns(*([float(i)] for i in range(20)))
    assert mean_intervals(*columns) == mean_intervals(*columns)


def test_mean_interval_counts_sessions_not_values() -> None:
    """A value that its session repeats tells nothing new."""
    values = [[float(i % 7)] for i in range(30)]
    once, often = _columns(*values), _columns(*([v] * 50 for [v] in values))
    assert mean_intervals(*once)[0] == pytest.approx(mean_intervals(*often)[0])


def test_mean_interval_needs_enough_sessions() -> None:
    few = [[1.0]] * (MIN_SESSIONS - 1)
    assert mean_intervals(*_columns(*few)) == [None]
    assert mean_intervals(*_columns(*few, [])) == [None]
    assert mean_intervals(*_columns(*few, [1.0])) == [(1.0, 1.0)]


def test_mean_intervals_of_nothing() -> None:
    assert mean_intervals(np.zeros((0, 2)), np.zeros((0, 2))) == [None, None]
    assert mean_intervals(np.zeros((3, 1)), np.zeros((3, 1))) == [None]


def test_mean_interval_of_many_sessions_is_that_of_few_groups() -> None:
    """Dealing sessions into groups changes the width by some percent at most."""
    num = 12 * MAX_GROUPS + 5
    values = np.random.default_rng(3).exponential(1.0, num)
    (interval,) = mean_intervals(values[:, None], np.ones((num, 1)))
    assert interval is not None
    width = 2 * 1.96 * values.std() / math.sqrt(num)
    assert interval[1] - interval[0] == pytest.approx(width, rel=0.08)
    assert interval[0] < values.mean() < interval[1]


@pytest.mark.parametrize(
    ("origin_s", "finished_s", "limits", "window_s"),
    [
        ([0.0, 1.0, 9.0], [2.0, 3.0, 30.0], {}, (0.0, 9.0)),  # the drain is cut
        ([0.0, 1.0, 9.0], [2.0, 3.0, 30.0], {"warmup_s": 0.5}, (0.5, 9.0)),
        ([0.0, 1.0, 9.0], [2.0, 3.0, 30.0], {"duration_s": 10.0}, (0.0, 10.0)),
        ([0.0, 0.0, 0.0], [2.0, 3.0, 4.0], {}, (0.0, 4.0)),  # a burst has no steady part
        ([0.0, nan, 1.0], [2.0, nan, nan], {}, (0.0, 2.0)),
        ([0.0, 1.0], [nan, nan], {}, (0.0, 1.0)),  # nothing was answered
        ([0.0, 1.0], [0.5, 2.0], {"warmup_s": 5.0}, (5.0, 5.0)),  # the warm-up took it all
        ([], [], {"warmup_s": 5.0}, (5.0, 5.0)),
        ([], [], {"duration_s": 5.0}, (0.0, 5.0)),
    ],
)
def test_measurement_window(
    origin_s: list[float],
    finished_s: list[float],
    limits: dict[str, float],
    window_s: tuple[float, float],
) -> None:
    found = measurement_window(np.array(origin_s), np.array(finished_s), **limits)
    assert found == pytest.approx(window_s)


def test_the_last_request_lies_in_the_window() -> None:
    start_s, end_s = measurement_window(np.array([0.0, 7.0]), np.array([1.0, 8.0]))
    assert start_s <= 7.0 < end_s


def test_a_mean_s_interval_covers_where_requests_waited_together() -> None:
    """AR(1) of 0.8, 400 values, 100 runs: blocks cover the mean in about 90 % of them; the same
    values out of order, as if they were independent, in about half."""
    generator = np.random.default_rng(1)
    noise, values = generator.normal(size=(500, 100)), np.zeros((500, 100))
    for at in range(1, 500):
        values[at] = 0.8 * values[at - 1] + noise[at]
    values = values[100:]
    covered = [_num_that_hold_zero(rows) for rows in (values, generator.permutation(values))]
    assert covered[0] >= 84
    assert covered[1] <= 60


def _num_that_hold_zero(values: FloatArray) -> int:
    found = mean_intervals(values, np.ones(values.shape))
    return sum(each is not None and each[0] <= 0 <= each[1] for each in found)
