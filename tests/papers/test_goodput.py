"""The goodput search against queues whose goodput is known, and DistServe's read-out (V7)."""

from collections.abc import Callable

import numpy as np
import pytest

from benchsuite.metrics.goodput import Goal, Goodput, Reading, decide, interpolated
from benchsuite.metrics.steady import growth
from tests.queues import highest_rate, simulate, within_md1, within_mm1

TARGET = 0.9


def searched(
    goal: Goal, seed: int, *, is_constant: bool, limit_s: float, n: int
) -> tuple[Goodput, int]:
    """What a search finds of a simulated queue, and after how many measurements."""
    generator = np.random.default_rng(seed)
    readings: list[Reading] = []
    while not isinstance(step := decide(goal, readings), Goodput):
        run = simulate(step, n, generator, is_constant=is_constant)
        first = n // 10  # the queue began empty
        window_s = (float(run.arrived_s[first]), float(run.arrived_s[-1]))
        met = (run.left_s - run.arrived_s)[first:] <= limit_s
        found = growth(run.arrived_s, run.left_s, window_s)
        readings.append(Reading.of_share(step, met, TARGET, found))
    return step, len(readings)


@pytest.mark.parametrize(
    ("within", "is_constant", "limit_s"), [(within_mm1, False, 20.0), (within_md1, True, 6.0)]
)
def test_the_search_finds_the_analytic_rate(
    within: Callable[[float, float], float], is_constant: bool, limit_s: float
) -> None:
    """Within 2 %, and in its interval, of M/M/1 and of M/D/1."""
    true = highest_rate(within, limit_s, TARGET)
    goal = Goal(start=0.3, lowest=0.01, highest=4.0, max_looks=8, max_readings=200)
    found = [
        searched(goal, seed, is_constant=is_constant, limit_s=limit_s, n=50_000)[0]
        for seed in range(2)
    ]
    for each in found:
        assert each.rate == pytest.approx(true, rel=0.02)
        assert each.interval[0] <= true <= each.interval[1]  # type: ignore[operator]
        assert each.censored is None


def test_an_unstable_rate_is_refused_even_when_attainment_passes() -> None:
    """At 1.1 times capacity a run of 2,000 s queues up to 180 s: a limit of 300 s never sees it."""
    goal = Goal(start=0.5, lowest=0.1, highest=1.1, precision=0.05, max_looks=4)
    found, _ = searched(goal, 1, is_constant=True, limit_s=300.0, n=2200)
    at_top = found.rates[-1]
    assert (at_top.rate, at_top.value) == (1.1, 1.0)
    assert (at_top.is_stable, at_top.standing) == (False, "fail")
    assert found.rate is not None
    assert found.rate <= 1.02


def test_v7_the_first_crossing_by_a_straight_line() -> None:
    """DistServe: attainment 0.97 at 1.0/s and 0.81 at 1.5/s cross 0.90 at 1.21875/s; curves that
    never cross are censored, where its artefact returns the first rate."""
    assert interpolated([(1.0, 0.97 - 0.9), (1.5, 0.81 - 0.9)]) == pytest.approx(1.21875)
    assert interpolated([(1.0, 0.97 - 0.9), (1.5, 0.95 - 0.9)]) is None
    assert interpolated([(1.0, 0.85 - 0.9), (1.5, 0.81 - 0.9)]) is None
