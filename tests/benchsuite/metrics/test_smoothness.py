"""Stalls, deadlines and waiting readers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsuite.metrics.objectives import Pace
from benchsuite.metrics.slo import Slo, slo_of
from benchsuite.metrics.smoothness import (
    fluid_token_rate,
    fluidity,
    idle_latency,
    jitter,
    lacks_fluid,
    longest_stall,
    pace_metrics,
    qoe,
    stalls,
)
from benchsuite.records.table import RunData
from tests.runs import failed, record, run

PACE = Pace(0.3, 0.03)
Gaps = list[float]


def _answer(request_id: int, first_s: float, gaps_s: Gaps, **changes: object) -> object:
    at_s = np.concatenate(([first_s], first_s + np.cumsum(gaps_s)))
    return record(request_id, due_s=0.0, chunks=tuple((float(at), 1) for at in at_s), **changes)


def _run(*gaps_s: Gaps, first_s: float = 0.2) -> RunData:
    return run(*(_answer(i, first_s, gaps) for i, gaps in enumerate(gaps_s)))


def _slowly(first_s: float, gaps_s: Gaps, pace: Pace) -> tuple[float, float, float]:
    """Fluidity, quality and idle latency, token by token, as they are defined."""
    late_s = first_s - float(pace.first)
    met, missed, slack_s = 0, 0, 0.0
    if late_s <= 0:
        met, slack_s = 1, -late_s
    else:
        missed = 1 + int(np.floor(late_s / pace.gap))
    for gap_s in gaps_s:
        if gap_s <= slack_s + pace.gap:
            met, slack_s = met + 1, slack_s + pace.gap - gap_s
        else:
            missed, slack_s = missed + int(np.floor((gap_s - slack_s) / pace.gap)), 0.0
    at_s = first_s + np.concatenate(([0.0], np.cumsum(gaps_s)))
    wanted_s = float(pace.first) + pace.gap * np.arange(len(at_s))
    read_s = [at_s[0]]
    for arrived_s in at_s[1:]:
        read_s.append(max(arrived_s, read_s[-1] + pace.gap))
    delay_s = np.maximum(np.array(read_s) - wanted_s, 0.0).sum()
    return (
        met / (met + missed),
        1 - delay_s / sum(read_s),
        max(0.0, float((at_s - wanted_s).max())),
    )


@given(
    st.lists(
        st.tuples(st.integers(10, 999), st.lists(st.integers(1, 200), max_size=12)),
        min_size=1,
        max_size=6,
    )
)
def test_all_answers_at_once_are_as_each_token_by_token(
    answers: list[tuple[int, list[int]]],
) -> None:
    """The columns do what the definitions say. No time is a whole number of deadlines, where
    rounding would decide."""
    times_s = [
        ((ms + 0.0567) / 1e3, [(one + 0.1234) / 1e3 for one in gaps]) for ms, gaps in answers
    ]
    data = run(*(_answer(i, first_s, gaps) for i, (first_s, gaps) in enumerate(times_s)))
    slow = np.array([_slowly(first_s, gaps, PACE) for first_s, gaps in times_s])
    assert np.allclose(fluidity(data, PACE), slow[:, 0])
    assert np.allclose(qoe(data, PACE), slow[:, 1])
    assert np.allclose(idle_latency(data, PACE), slow[:, 2], atol=1e-9)


def test_planted_stalls_are_counted_and_measured() -> None:
    """Two of 0.5 s in the one, none in the other; a slow but even answer has none."""
    stalled = [0.02] * 20
    stalled[4] = stalled[11] = 0.5
    data = _run(stalled, [0.02] * 20, [0.02])
    assert stalls(data).tolist() == [2.0, 0.0, 0.0]
    assert longest_stall(data) == pytest.approx([0.5, 0.02, 0.02])
    even = _run([0.4] * 10)
    assert stalls(even).tolist() == [0.0]


def test_jitter_is_the_mean_change_from_gap_to_gap() -> None:
    data = _run([0.1, 0.3, 0.1], [0.1, 0.1, 0.1], [0.1])
    assert np.allclose(jitter(data), [0.2, 0.0, np.nan], equal_nan=True)


def test_answers_without_a_token_or_a_gap_are_undefined() -> None:
    data = run(failed(0), record(1, chunks=((0.1, 1),)))
    for measure in (stalls, longest_stall, jitter):
        assert np.isnan(measure(data)).all(), measure.__name__
    assert np.isnan(fluidity(data, PACE)).tolist() == [True, False]
    assert np.isnan(qoe(data, PACE)).tolist() == [True, False]


def test_tokens_of_one_arrival_share_the_gap_before_it() -> None:
    """Four tokens after 0.12 s keep a pace of 0.03 s as four single ones do."""
    data = run(record(0, due_s=0.0, chunks=((0.3, 1), (0.42, 4))))
    assert fluidity(data, PACE).tolist() == [1.0]
    assert idle_latency(data, PACE) == pytest.approx([0.0], abs=1e-12)


def test_the_fluid_rate_is_that_of_the_pace() -> None:
    """Of even answers it is 1 / gap; a stall in 2 of 100 lowers it, in 1 of 100 it does not."""
    even = [[0.02] * 30] * 100
    rate = fluid_token_rate(_run(*even))[0]
    assert rate == pytest.approx(50.0, rel=0.011)
    stalled = [0.02] * 29 + [2.0]
    assert fluid_token_rate(_run(*even[1:], stalled))[0] == pytest.approx(rate, rel=0.011)
    assert fluid_token_rate(_run(*even[2:], stalled, stalled))[0] < 0.7 * rate


def test_too_few_answers_have_no_fluid_rate() -> None:
    data = _run(*[[0.02] * 3] * 99)
    assert lacks_fluid(data) == "99 answers of two tokens; it takes 100"
    assert np.isnan(fluid_token_rate(data)[0])


def _smooth_goodput(data: RunData) -> float:
    slos = {"default": Slo(ttft=0.3, tpot=0.05)}
    metrics = pace_metrics(lambda name: slo_of(slos, name).reader)
    (found,) = [one for one in metrics if one.name == "smooth_goodput"]
    return float(found.values(data)[0])


def test_holding_tokens_back_does_not_raise_smooth_goodput() -> None:
    """A server that spreads a stall over all gaps has a better tail and readers who wait as long;
    one that drops a request that will be late loses its tokens."""
    stall = [0.02] * 19 + [1.5]
    spread = [float(np.sum(stall) / 20)] * 20
    honest, paced = (_run(gaps, [0.02] * 20) for gaps in (stall, spread))
    assert longest_stall(paced).max() < longest_stall(honest).max()
    assert _smooth_goodput(paced) <= _smooth_goodput(honest)
    dropped = run(_answer(0, 0.2, [0.02] * 20), failed(1, due_s=0.0))
    assert _smooth_goodput(dropped) < _smooth_goodput(honest)


def test_without_a_pace_they_are_absent() -> None:
    data = _run([0.02] * 3)
    for metric in pace_metrics(lambda name: None):
        assert metric.lacks is not None
        assert "no pace" in (metric.lacks(data) or "")
