"""Rules that every arrival process keeps, then each one's own."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsuite.arrivals import (
    Arrivals,
    Bursts,
    ClosedLoop,
    Constant,
    Diurnal,
    Gamma,
    Hawkes,
    Mmpp,
    Poisson,
    Ramp,
    RateSeries,
    Timestamps,
    Users,
    Weibull,
)
from benchsuite.arrivals.hawkes import HawkesClass
from benchsuite.arrivals.mmpp import MmppState
from benchsuite.arrivals.ramp import RatePoint
from benchsuite.errors import ScenarioError
from benchsuite.streams import rng

RECORDED_S = np.sort(rng(7, "recorded").uniform(0, 500, 400))

rates = st.floats(0.01, 1000)
ramps = st.builds(
    lambda steps, spacing: Ramp(
        points=tuple(
            RatePoint(at=float(at), rate=rate)
            for at, (_, rate) in zip(
                np.cumsum([0.0] + [gap for gap, _ in steps[1:]]), steps, strict=True
            )
        ),
        spacing=spacing,
    ),
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 50)), min_size=2, max_size=6).filter(
        lambda steps: sum(gap * rate for gap, rate in steps[1:]) > 0.1
    ),
    st.sampled_from(["poisson", "even"]),
)
processes = st.one_of(
    st.builds(Constant, rate=rates),
    st.builds(Poisson, rate=rates),
    st.builds(Gamma, rate=rates, burstiness=st.floats(0.05, 20)),
    st.builds(Timestamps, speed=st.floats(0.1, 100), quantum=st.sampled_from([0.0, 1.0, 7.5])),
    st.builds(Weibull, rate=rates, shape=st.floats(0.3, 5)),
    st.builds(
        lambda states, rate: Mmpp(states=(MmppState(1.0, 2.0), *states), rate=rate),
        st.lists(st.builds(MmppState, st.floats(0, 50), st.floats(0.1, 60)), min_size=1),
        st.none() | rates,
    ),
    st.builds(Hawkes, rate=rates, memory=st.floats(0.01, 60), branching=st.floats(0, 0.99)),
    st.builds(
        lambda weight, after: Hawkes(
            rate=5, memory=2, classes={"a": HawkesClass(weight, {"b": after}), "b": HawkesClass()}
        ),
        st.floats(0.1, 9),
        st.floats(0, 0.9),
    ),
    st.builds(
        Diurnal,
        rate=rates,
        amplitude=st.floats(0, 1),
        period=st.floats(1, 1e5),
        peak=st.none() | st.floats(0, 1e5),
        burstiness=st.floats(0.1, 9),
    ),
    st.builds(
        lambda size, every, share, rate: Bursts(
            size=size, every=every, within=share * every, rate=rate
        ),
        st.integers(1, 50),
        st.floats(0.1, 60),
        st.floats(0, 1),
        st.just(0.0) | rates,
    ),
    st.builds(
        RateSeries,
        step=st.floats(0.1, 60),
        rates=st.lists(st.floats(0, 9), max_size=5).map(lambda more: (1.0, *more)),
        rate=st.none() | rates,
        repeat=st.booleans(),
        burstiness=st.floats(0.1, 9),
    ),
    ramps,
)


@given(process=processes, n=st.integers(0, 200), seed=st.integers(0, 2**32))
def test_due_times_ascend_from_zero_and_a_longer_schedule_begins_like_a_shorter_one(
    process, n, seed
):
    """Due times are finite, ascending, at most n; due_times(2n)[:n] equals due_times(n)."""
    short = process.due_times(n, rng(seed, "arrivals"), RECORDED_S)
    long = process.due_times(2 * n, rng(seed, "arrivals"), RECORDED_S)
    assert len(short) <= n
    assert np.all(np.isfinite(short))
    assert np.all(np.diff(short, prepend=0.0) >= 0)
    np.testing.assert_array_equal(long[: len(short)], short)
    assert len(short) == min(n, len(long))


@pytest.mark.parametrize(
    ("process", "cv"),
    [
        (Constant(rate=20), 0.0),
        (Poisson(rate=20), 1.0),
        (Gamma(rate=20), 1.0),
        (Gamma(rate=20, burstiness=0.25), 2.0),
        (Gamma(rate=20, burstiness=4), 0.5),
        (Weibull(rate=20, shape=0.5), math.sqrt(5)),
        (Diurnal(rate=20, amplitude=0), 1.0),
    ],
    ids=str,
)
def test_gaps_have_the_mean_and_the_variation_that_were_asked(process, cv):
    """Mean gap 1 / rate; coefficient of variation as the family has it; 5 standard errors."""
    n = 100_000
    gaps = np.diff(process.due_times(n, rng(3, "arrivals"), None))
    assert gaps.mean() == pytest.approx(1 / 20, rel=5 * max(cv, 1e-6) / math.sqrt(n))
    assert gaps.std() / gaps.mean() == pytest.approx(cv, abs=0.05 * cv + 1e-6)


def test_two_seeds_differ():
    """A seed is used: other seeds give other times."""
    first, second = (Poisson(rate=1).due_times(10, rng(s, "arrivals"), None) for s in (1, 2))
    assert not np.any(first == second)


def test_an_even_ramp_puts_each_session_where_the_cumulative_rate_says():
    """Rate 0 to 10 over 10 s: L(t) = t^2 / 2, so session k is due at sqrt(2 k), 50 in all."""
    ramp = Ramp(points=(RatePoint(at=0, rate=0), RatePoint(at=10, rate=10)), spacing="even")
    np.testing.assert_allclose(ramp.due_times(99, rng(0), None), np.sqrt(2 * np.arange(50)))


def test_a_ramp_steps_pauses_and_ends():
    """2/s for 2 s, nothing for 3 s, 1/s for 3 s; nothing after the last point."""
    points = [(0, 2), (2, 2), (2, 0), (5, 0), (5, 1), (8, 1)]
    ramp = Ramp(points=tuple(RatePoint(at=at, rate=r) for at, r in points), spacing="even")
    np.testing.assert_allclose(ramp.due_times(99, rng(0), None), [0, 0.5, 1, 1.5, 5, 6, 7])


def test_a_poisson_ramp_follows_its_rate():
    """1 to 99 per second: in each quarter as many as the integral says, within 5 sigma."""
    ramp = Ramp(points=(RatePoint(at=0, rate=1), RatePoint(at=100, rate=99)))
    due_s = ramp.due_times(10_000, rng(1, "arrivals"), None)
    edges = np.array([0, 25, 50, 75, 100])
    expected = np.diff(edges + 0.98 * edges**2 / 2)
    counts, _ = np.histogram(due_s, edges)
    assert np.all(np.abs(counts - expected) < 5 * np.sqrt(expected))


def test_timestamps_replay_faster_and_need_recorded_times():
    """Twice the speed is half the time; a workload without times is the user's mistake."""
    due_s = Timestamps(speed=2).due_times(3, rng(0), np.array([0.0, 1.0, 5.0, 9.0]))
    np.testing.assert_array_equal(due_s, [0, 0.5, 2.5])
    with pytest.raises(ScenarioError, match="recorded times"):
        Timestamps().due_times(3, rng(0), None)


def test_nothing_is_due_in_a_closed_loop():
    """A closed loop has a concurrency, or users, and no due times."""
    assert Users(users=4, think=1).due_times(10, rng(0), None) is None
    assert ClosedLoop(concurrency=4).due_times(10, rng(0), None) is None


@pytest.mark.parametrize(
    ("written", "choice"),
    [
        ({"type": "constant", "rate": 2}, Constant(rate=2)),
        ({"type": "gamma", "rate": 8, "burstiness": 0.5}, Gamma(rate=8, burstiness=0.5)),
        ({"type": "timestamps", "speed": 2}, Timestamps(speed=2)),
        ({"type": "closed_loop", "concurrency": 64}, ClosedLoop(concurrency=64)),
        (
            {"type": "ramp", "points": [{"at": 0, "rate": 1}, {"at": 9, "rate": 2}]},
            Ramp(points=(RatePoint(at=0, rate=1), RatePoint(at=9, rate=2))),
        ),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_scenario_words(written, choice):
    """What is written in a scenario becomes the choice that bears its tag."""
    assert msgspec.convert(written, Arrivals) == choice


@pytest.mark.parametrize(
    "written",
    [
        {"type": "poisson", "rate": 0},
        {"type": "poisson", "rate": -1},
        {"type": "poisson", "rate": 1, "burstiness": 2},
        {"type": "gamma", "rate": 1, "burstiness": 0},
        {"type": "closed_loop", "concurrency": 0},
        {"type": "users", "users": 3, "think": 0},
        {"type": "weibull", "rate": 1, "shape": 0.01},
        {"type": "mmpp", "states": [{"rate": 1, "stay": 1}]},
        {"type": "mmpp", "states": [{"rate": 0, "stay": 1}, {"rate": 0, "stay": 1}]},
        {"type": "hawkes", "rate": 1, "memory": 1},
        {"type": "hawkes", "rate": 1, "memory": 1, "branching": 1},
        {"type": "hawkes", "rate": 1, "memory": 1, "classes": {"a": {"after": {"b": 0.1}}}},
        {"type": "hawkes", "rate": 1, "memory": 1, "classes": {"a": {"after": {"a": 1.1}}}},
        {"type": "bursts", "size": 3, "every": 1, "within": 2},
        {"type": "rate_series", "step": 1},
        {"type": "rate_series", "step": 1, "rates": [0, 0]},
        {"type": "rate_series", "step": 1, "rates": [1], "path": "x.csv"},
        {"type": "ramp", "points": [{"at": 0, "rate": 1}]},
        {"type": "ramp", "points": [{"at": 1, "rate": 1}, {"at": 2, "rate": 1}]},
        {"type": "ramp", "points": [{"at": 0, "rate": 1}, {"at": 2, "rate": -1}]},
        {"type": "ramp", "points": [{"at": 0, "rate": 0}, {"at": 2, "rate": 0}]},
        {
            "type": "ramp",
            "points": [{"at": 0, "rate": 1}, {"at": 3, "rate": 1}, {"at": 2, "rate": 1}],
        },
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(written):
    """Rates, shapes and points that make no sense are refused when the scenario is read."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(written, Arrivals)
