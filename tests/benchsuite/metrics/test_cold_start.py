"""First tokens after a pause."""

import numpy as np
import pytest

from benchsuite.metrics.cold_start import (
    cold_start_idle,
    cold_starts,
    idle_before,
    lacks_rest,
)
from benchsuite.records.table import RunData
from tests.runs import record, run


def _burst(start_id: int, due_s: float, first_s: float) -> list[object]:
    """One request after a pause, then nine that overlap."""
    cold = record(start_id, due_s=due_s, chunks=((first_s, 1), (first_s + 1.0, 1)))
    at_s = due_s + first_s
    return [cold] + [
        record(start_id + i, due_s=at_s + 0.1 * i, chunks=((0.2, 1), (1.2, 1)))
        for i in range(1, 10)
    ]


def _run(*pauses_s: float, lets_go_after_s: float = 60.0) -> RunData:
    records, at_s = _burst(0, 0.0, 5.2), 8.3
    for pause_s in pauses_s:
        is_cold = pause_s >= lets_go_after_s
        at_s += pause_s
        records += _burst(len(records), at_s, 5.2 if is_cold else 0.2)
        at_s += 5.2 * is_cold + 2.1
    return run(*records, window_s=(0.0, 1e6))


def test_a_sweep_of_pauses_finds_where_the_server_lets_go() -> None:
    """It keeps warm for 60 s: the first request and those after 90 s and 120 s are cold."""
    data = _run(10.0, 30.0, 90.0, 120.0)
    found = cold_starts(data)
    assert np.flatnonzero(found.is_cold).tolist() == [0, 30, 40]
    assert found.penalty_s == pytest.approx(5.0)
    assert 80.0 < cold_start_idle(data)[0] < 95.0


def test_a_warm_server_has_no_cold_start_and_no_penalty() -> None:
    """The first request is as quick as the others."""
    records = _burst(0, 0.0, 0.2) + _burst(10, 30.0, 0.2)
    data = run(*records)
    assert not cold_starts(data).is_cold.any()
    assert cold_starts(data).penalty_s == 0.0
    assert np.isnan(cold_start_idle(data)[0])


def test_a_slow_request_under_load_is_no_cold_start() -> None:
    """Something was in flight when it was sent."""
    records = [*_burst(0, 0.0, 0.2), record(10, due_s=0.3, chunks=((9.0, 1), (9.1, 1)))]
    assert not cold_starts(run(*records)).is_cold.any()


def test_idle_time_is_since_the_last_answer() -> None:
    data = run(
        record(0, due_s=0.0, chunks=((1.0, 1), (5.0, 1))),
        record(1, due_s=2.0, chunks=((0.5, 1),)),  # ends while the first still runs
        record(2, due_s=8.0),
    )
    assert np.allclose(idle_before(data), [np.inf, np.nan, 3.0], equal_nan=True)


def test_without_pauses_they_are_absent() -> None:
    steady = run(*(record(i, due_s=0.4 * i, chunks=((0.1, 1), (0.9, 1))) for i in range(20)))
    assert lacks_rest(steady) == "no pause of 1 s without a request in flight"
    alone = run(*(record(i, due_s=60.0 * i) for i in range(5)))
    assert lacks_rest(alone) == "0 warm requests; it takes 6"
