"""Rates that change, by themselves or by what came before; recorded times and their clocks."""

from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from benchsuite.arrivals import Bursts, Diurnal, Hawkes, Mmpp, RateSeries, Timestamps, Users
from benchsuite.arrivals.hawkes import HawkesClass
from benchsuite.arrivals.mmpp import MmppState
from benchsuite.errors import BenchsuiteError
from benchsuite.streams import rng

CALM_AND_BUSY = (MmppState(rate=2, stay=30), MmppState(rate=50, stay=3))


def due(process, n: int, seed: int = 3):
    return process.due_times(n, rng(seed, "arrivals"), None)


def fano(due_s, window_s: float) -> float:
    """Variance of counts over their mean, in windows of `window_s`."""
    counts, _ = np.histogram(due_s, np.arange(0, due_s[-1], window_s))
    return float(counts.var() / counts.mean())


def test_an_mmpp_has_the_mean_rate_of_its_states():
    """By their share of time: (2 * 30 + 50 * 3) / 33; scaled where `rate` says so. Counts vary more
    than Poisson's."""
    natural, scaled = (Mmpp(states=CALM_AND_BUSY, rate=rate) for rate in (None, 40))
    due_s = due(natural, 60_000)
    assert len(due_s) / due_s[-1] == pytest.approx(210 / 33, rel=0.1)
    assert fano(due_s, 10) > 10
    due_s = due(scaled, 60_000)
    assert len(due_s) / due_s[-1] == pytest.approx(40, rel=0.2)


def test_hawkes_arrivals_have_their_mean_rate_and_cluster():
    """Fano factor of long windows: 1 / (1 - branching)^2, 11.1 for 0.7."""
    due_s = due(Hawkes(rate=20, memory=0.5, branching=0.7), 60_000)
    assert len(due_s) / due_s[-1] == pytest.approx(20, rel=0.05)
    assert fano(due_s, 20) == pytest.approx(1 / 0.3**2, rel=0.2)
    poisson_s = due(Hawkes(rate=20, memory=0.5, branching=0.0), 60_000)
    assert fano(poisson_s, 20) == pytest.approx(1, rel=0.15)


def test_hawkes_classes_cause_each_other():
    """Shares are those of the branching matrix, and a class that another causes follows it."""
    process = Hawkes(
        rate=4,
        memory=0.1,
        classes={"agent": HawkesClass(weight=1), "tool": HawkesClass(1e-9, after={"agent": 2.0})},
    )
    marks = list(islice(process.marks(rng(1, "arrivals")), 30_000))
    counts = Counter(marks)
    assert counts["tool"] / counts["agent"] == pytest.approx(2.0, rel=0.05)
    assert marks[0] == "agent" or process.base_rates()[1] < 1e-6
    times = due(process, 30_000, seed=1)
    is_tool = np.array(marks) == "tool"
    since_agent_s = times - np.maximum.accumulate(np.where(is_tool, 0, times))
    assert np.mean(since_agent_s[is_tool]) < 0.2


def test_a_day_has_its_peak_and_its_trough():
    """Rate 10 with amplitude 0.8: 18 at the peak, 2 half a period from it; the mean is the mean."""
    due_s = due(Diurnal(rate=10, amplitude=0.8, period=1000, peak=250), 100_000)
    assert len(due_s) / due_s[-1] == pytest.approx(10, rel=0.02)
    phase = due_s % 1000
    rounds = due_s[-1] / 1000
    at_peak = np.count_nonzero(abs(phase - 250) < 20) / 40 / rounds
    at_trough = np.count_nonzero(abs(phase - 750) < 20) / 40 / rounds
    assert at_peak == pytest.approx(18, rel=0.06)
    assert at_trough == pytest.approx(2, rel=0.15)


def test_a_day_without_a_peak_begins_at_its_lowest():
    """Unset, the peak is half a period away."""
    due_s = due(Diurnal(rate=10, amplitude=1, period=1000), 8000)
    assert np.count_nonzero(due_s < 50) < 10
    assert np.count_nonzero(abs(due_s - 500) < 25) > 800


def test_bursts_come_together_above_what_is_always_there():
    """`size` at once every `every` seconds; without a rate nothing else."""
    np.testing.assert_array_equal(due(Bursts(size=3, every=10), 7), [10, 10, 10, 20, 20, 20, 30])
    spread_s = due(Bursts(size=100, every=10, within=2), 100)
    assert spread_s[0] >= 10
    assert 1.5 < spread_s[-1] - spread_s[0] < 2
    both_s = due(Bursts(size=50, every=10, rate=5), 20_000)
    assert len(both_s) / both_s[-1] == pytest.approx(10, rel=0.05)
    assert np.count_nonzero(both_s == 20) == 50


def test_a_rate_series_holds_each_rate_for_a_step():
    """Counts per step as the rates say, then it ends, or begins again."""
    once = RateSeries(step=100, rates=(10, 0, 30))
    due_s = due(once, 10_000)
    counts, _ = np.histogram(due_s, [0, 100, 200, 300])
    assert counts[1] == 0
    assert counts[0] == pytest.approx(1000, rel=0.2)
    assert counts[2] == pytest.approx(3000, rel=0.1)
    assert due_s[-1] < 300
    again_s = due(RateSeries(step=100, rates=(10, 0, 30), repeat=True, rate=4), 10_000)
    assert len(again_s) / again_s[-1] == pytest.approx(4, rel=0.1)
    assert not np.any((again_s % 300 > 100) & (again_s % 300 < 200))


@pytest.mark.parametrize(
    ("text", "rates"),
    [("2\n8\n", (2, 8)), ("# at,rate\n60,2\n120,8\n", (2, 8)), ("\n2\n\n8", (2, 8))],
)
def test_a_rate_series_reads_a_file(tmp_path: Path, text: str, rates: tuple[float, ...]):
    """A rate a line, or times and rates, whose first time is the beginning."""
    path = tmp_path / "rates.csv"
    path.write_text(text)
    from_file = RateSeries(step=60, path=str(path))
    np.testing.assert_array_equal(due(from_file, 999), due(RateSeries(step=60, rates=rates), 999))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\nfast\n", "2: expected a number of at least 0, found 'fast'"),
        ("0,1\n0,2\n", "2: expected a time after 0, found '0,2'"),
        ("1,2,3\n", "1: expected a rate, or at,rate"),
        ("0\n0\n", "expected a rate above 0"),
        ("", "expected a rate in each line"),
    ],
)
def test_a_broken_rate_file_says_where(tmp_path: Path, text: str, message: str):
    """File and line, and what was expected."""
    path = tmp_path / "rates.csv"
    path.write_text(text)
    with pytest.raises(BenchsuiteError, match=message) as error:
        due(RateSeries(step=60, path=str(path)), 9)
    assert "rates.csv" in str(error.value)


def test_steps_of_a_trace_s_clock_are_spread_and_said():
    """Each stays within its step, in order, the same for the same seed; steps nobody spread are
    told too; times of a fine clock are left alone."""
    coarse_s = np.repeat(np.arange(50) * 3.0, 8)
    coarse_s[8 * 7 :] -= 0.003  # as in Mooncake's trace, whose clock of 3 s also says 113.999 s
    coarse_s[8 * 9 :] += 0.001
    quiet, spread = Timestamps(speed=2), Timestamps(speed=2, quantum=3)
    assert "steps of 3 s" in quiet.notes(coarse_s)[0]
    assert "spread evenly within steps of 3 s" in spread.notes(coarse_s)[0]
    due_s = spread.due_times(400, rng(1, "arrivals"), coarse_s)
    assert np.array_equal(np.floor(due_s * 2 / 3), np.repeat(np.arange(50), 8))
    assert len(np.unique(due_s)) == 400
    fine_s = np.sort(rng(1, "fine").uniform(0, 100, 400))
    assert quiet.notes(fine_s) == ()
    np.testing.assert_array_equal(quiet.due_times(400, rng(0), fine_s), fine_s / 2)


def test_users_think_and_come_one_after_the_other():
    """Exponential times with the mean, or always the same; first sessions spread evenly."""
    users = Users(users=4, think=10)
    drawn = [users.think_s(rng(1, "think", i)) for i in range(2000)]
    assert np.mean(drawn) == pytest.approx(10, rel=0.1)
    assert Users(users=4, think=10, spacing="even").think_s(rng(0)) == 10
    assert [users.first_due_s(user) for user in range(4)] == [0, 2.5, 5, 7.5]
    assert Users(users=4, think=10, arrive_within=0).first_due_s(3) == 0
