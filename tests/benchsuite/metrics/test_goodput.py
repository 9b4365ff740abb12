"""Which rate next, and when to stop."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchsuite.metrics.goodput import Goal, Goodput, Reading, decide
from benchsuite.metrics.steady import Growth

GOAL = Goal(start=4.0, lowest=1.0, highest=64.0, precision=0.05)


def reading(rate: float, margin: float, **changes: Any) -> Reading:
    usual: dict[str, Any] = {"value": 0.9 + margin, "error": 0.001, "num": 100}
    return Reading(rate=rate, margin=margin, **{**usual, **changes})


def server(goal: Goal, capacity: float, error: float = 0.001) -> tuple[Goodput, list[Reading]]:
    """A search of a server whose margin falls through zero at `capacity`, without noise."""
    readings: list[Reading] = []
    while not isinstance(step := decide(goal, readings), Goodput):
        readings.append(reading(step, (capacity - step) / capacity, error=error))
    return step, readings


def test_it_doubles_until_a_rate_fails_and_then_halves_the_gap() -> None:
    found, readings = server(GOAL, 20.0)
    assert [each.rate for each in readings[:6]] == [4, 8, 16, 32, 24, 20]
    assert found.rate == pytest.approx(20.0, rel=0.001)


@given(st.floats(1.05, 60.0), st.floats(1.0, 64.0))
@settings(max_examples=40)
def test_what_it_finds_lies_in_its_interval_as_narrow_as_asked(
    capacity: float, start: float
) -> None:
    goal = Goal(start=start, lowest=1.0, highest=64.0, precision=0.05)
    found, readings = server(goal, capacity, error=1e-9)
    low, high = found.interval
    assert low is not None
    assert high is not None
    assert low <= capacity <= high <= low * 1.05**2  # two gaps where a rate is on the line
    assert found.rate == pytest.approx(capacity, rel=0.01)
    assert len(readings) <= 16 + goal.max_looks


def test_a_server_that_passes_everywhere_is_censored() -> None:
    """Never extrapolated: at least the highest rate that was asked for."""
    found, _ = server(GOAL, 1e9)
    assert (found.rate, found.interval, found.censored) == (64.0, (64.0, None), "above")
    assert found.interpolated is None


def test_a_server_that_passes_nowhere_is_censored() -> None:
    found, _ = server(GOAL, 0.5)
    assert (found.rate, found.interval, found.censored) == (None, (None, 1.0), "below")


def test_a_rate_that_is_not_decided_is_measured_again() -> None:
    """Until its readings together say more than Z errors, or there were enough of them."""
    readings = [reading(4.0, 0.004, error=0.002)]
    assert decide(GOAL, readings) == 4.0
    assert decide(GOAL, [*readings, *readings, *readings]) == 8.0  # 0.004 > 3 * 0.002 / sqrt(3)


def test_a_rate_on_the_line_is_given_up_after_enough_looks() -> None:
    """What lies on it is told apart from below and from above, not forced to one side."""
    even = [reading(4.0, 0.0001, error=0.01)] * GOAL.max_looks
    readings = [*even, reading(2.0, 0.1), reading(8.0, -0.1)]
    assert decide(GOAL, readings) in (3.0, 6.0)


def test_a_growing_backlog_fails_whatever_the_margin() -> None:
    grows = Growth(per_s=0.4, error=0.01, share=0.1)
    assert decide(GOAL, [reading(4.0, 0.1, growth=grows)]) == 2.0
    slow = Growth(per_s=0.004, error=0.0001, share=0.001)
    assert decide(GOAL, [reading(4.0, 0.1, growth=slow)]) == 8.0


def test_a_rate_the_client_cannot_deliver_bounds_what_can_be_said() -> None:
    """The server may do more: censored, with the highest rate that was measured well."""
    readings: list[Reading] = []
    while not isinstance(step := decide(GOAL, readings), Goodput):
        readings.append(reading(step, 0.1, trusted=step <= 20))
    assert step.censored == "above"
    assert step.rate == pytest.approx(20, rel=0.05)
    assert step.interval[1] is None


def test_it_ends_after_so_many_measurements() -> None:
    goal = Goal(start=4.0, lowest=1.0, highest=64.0, precision=1e-9, max_readings=10)
    found, readings = server(goal, 20.1)
    assert len(readings) == 10
    assert "10 measurements" in found.reason


def test_a_share_is_judged_by_what_it_says_with_its_correlation() -> None:
    """100 misses in a row say less than 100 misses here and there."""
    n = 1000
    scattered, together = np.ones((2, n), dtype=np.bool_)
    scattered[np.random.default_rng(1).permutation(n)[:100]] = False
    together[300:400] = False
    one, other = (Reading.of_share(1.0, met, 0.9, None) for met in (scattered, together))
    assert one.margin == other.margin == 0.0
    assert one.error == pytest.approx(0.0095, rel=0.15)
    assert other.error > 5 * one.error


def test_a_mean_is_judged_against_its_limit() -> None:
    values = np.random.default_rng(1).normal(0.04, 0.01, 400)
    found = Reading.of_mean(2.0, values, 0.05, None)
    assert found.margin == pytest.approx(0.01, abs=0.002)
    assert found.error == pytest.approx(0.0005, rel=0.2)


@pytest.mark.parametrize("start", [0.5, 65.0])
def test_the_start_lies_between_the_ends(start: float) -> None:
    with pytest.raises(ValueError, match="lowest <= start <= highest"):
        Goal(start=start, lowest=1.0, highest=64.0)


def test_whole_numbers_are_searched_in_whole_steps() -> None:
    """A concurrency of 10 passes and one of 11 fails: there is nothing between."""
    goal = Goal(start=3.0, lowest=1.0, highest=64.0, precision=0.001, is_whole=True)
    readings: list[Reading] = []
    while not isinstance(step := decide(goal, readings), Goodput):
        assert step == int(step)
        readings.append(reading(step, 0.1 if step <= 10 else -0.1))
    assert step.interval == (10.0, 11.0)
