"""What several machines did of one run, each of its part."""

import numpy as np
import pytest

from benchsuite.records.node import Node
from benchsuite.results.sender import notes, senders
from tests.runs import failed, never_sent, record, run


def node(worker: int, **changes: float) -> Node:
    usual = {"clock_offset_s": 3600.0 * worker, "clock_uncertainty_s": 0.0004, **changes}
    return Node(worker=worker, address=f"10.0.0.{worker + 1}", **usual)


def test_each_machine_is_measured_by_its_own_requests() -> None:
    """Rates are of sessions, asked by its part of the schedule and sent; lateness is its own."""
    data = run(
        *(record(i, worker=i % 2, sent_s=i + 0.02 * (i % 2)) for i in range(6)),
        failed(6, worker=0, session_id=6),
        never_sent(7, worker=0, session_id=6, turn=1),
        planned_due_s=np.arange(7.0),
    )
    first, second = senders(data, (node(0), node(1)))
    assert (first.sessions, second.sessions) == (4, 3)
    rates = (first.asked_per_s, first.sent_per_s, second.sent_per_s)
    assert rates == pytest.approx((0.5, 0.5, 0.5))
    assert first.send_delay.p99 == pytest.approx(0)
    assert second.send_delay.p99 == pytest.approx(0.02)


def test_a_machine_that_was_lost_at_once_has_no_rate() -> None:
    """It sent nothing, which is not a failure of the report."""
    data = run(record(0, worker=0), record(2, worker=0), planned_due_s=np.arange(4.0))
    lost = senders(data, (node(0), node(1)))[1]
    assert (lost.sessions, lost.sent_per_s, lost.send_delay.n) == (0, None, 0)
    assert lost.describe() == "10.0.0.2: 0 sessions, clock within 0.4 ms"


def test_late_machines_and_loose_clocks_are_warned_of() -> None:
    """By address; one that is neither is not mentioned."""
    data = run(*(record(i, worker=i % 3, sent_s=i + 0.02 * (i % 3 == 1)) for i in range(6)))
    found = senders(data, (node(0), node(1), node(2, clock_drift_s=-0.006)))
    late, loose = notes(found, 0.005)
    assert late == "10.0.0.2 sent late: p99 20 ms"
    assert loose.startswith("10.0.0.3: its clock is known within 6.4 ms")
