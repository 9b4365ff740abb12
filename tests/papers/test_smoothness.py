"""Numbers of papers on how evenly tokens come."""

import pytest

from benchsuite.metrics.latency import tpot
from benchsuite.metrics.objectives import Pace
from benchsuite.metrics.smoothness import fluidity, idle_latency, qoe
from benchsuite.records.table import RunData
from tests.runs import record, run


def _answer(*after_due_s: float) -> RunData:
    return run(record(0, due_s=0.0, chunks=tuple((at, 1) for at in after_due_s)))


def _with_gaps(first_s: float, *gaps_s: float) -> RunData:
    at_s = [first_s]
    for gap_s in gaps_s:
        at_s.append(at_s[-1] + gap_s)
    return _answer(*at_s)


def test_v10_etalon_fluidity_tells_a_stall_from_slowness() -> None:
    """Etalon (arXiv:2407.07000), D_p = 0.3 s and D_d = 0.03 s: one stall of 0.5 s misses 11 of 32
    deadlines, the same time spread evenly 18 of 22; TPOT is 42.9 ms in both."""
    pace = Pace(0.3, 0.03)
    stall = _with_gaps(0.25, *[0.02] * 10, 0.5, *[0.02] * 10)
    even = _with_gaps(0.25, *[0.9 / 21] * 21)
    assert fluidity(stall, pace)[0] == pytest.approx(1 - 11 / 32)
    assert fluidity(even, pace)[0] == pytest.approx(1 - 18 / 22)
    assert tpot(stall)[0] == pytest.approx(tpot(even)[0])


@pytest.mark.parametrize(
    ("after_due_s", "expected"),
    [
        ([0.5 + 0.05 * i for i in range(10)], 1.0),
        ([1.0 + 0.05 * i for i in range(10)], 1 - 5.0 / 14.5),
        ([0.5 + 0.05 * i for i in range(5)] + [2.0] * 5, 0.655),
    ],
    ids=["on time", "half a second late", "a stall"],
)
def test_v11_andes_qoe_of_ten_tokens(after_due_s: list[float], expected: float) -> None:
    """Andes (arXiv:2404.16283), a reader of 10 tokens/s who waits 0.5 s for the first: faster
    delivery earns nothing; a start that is 0.5 s late and a stall of 1 s score alike."""
    assert qoe(_answer(*after_due_s), Pace(0.5, 0.1))[0] == pytest.approx(expected, abs=5e-4)


def test_v12_smooth_goodput_idle_latency_of_a_pause() -> None:
    """Smooth goodput (arXiv:2410.14257), 0.05 s a token from 0.5 s on: 50 tokens at 0.02 s, a pause
    of 3 s, 50 more leave the reader idle for 1.5 s, although TPOT is 0.050 s."""
    paused = _with_gaps(0.5, *[0.02] * 49, 3.02, *[0.02] * 49)
    assert idle_latency(paused, Pace(0.5, 0.05))[0] == pytest.approx(1.5)
    assert tpot(paused)[0] == pytest.approx(0.050, abs=4e-4)
    exact = _with_gaps(0.5, *[0.05] * 99)
    assert idle_latency(exact, Pace(0.5, 0.05))[0] == pytest.approx(0.0, abs=1e-12)
