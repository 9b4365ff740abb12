"""The generator's own error."""

import numpy as np
import pytest

from benchsuite.metrics import generator
from tests.runs import never_sent, record, run

nan = float("nan")


def test_send_delay_is_sent_minus_due() -> None:
    data = run(record(0, due_s=1.0, sent_s=1.25), never_sent(1, due_s=2.0))
    assert generator.send_delay(data) == pytest.approx([0.25, nan], nan_ok=True)


def test_a_closed_loop_has_no_send_delay_but_an_issue_delay() -> None:
    """Two slots: the third request takes the slot that was freed first, the fourth the next."""
    data = run(
        record(0, due_s=None, sent_s=0.0, finished_s=2.0),
        record(1, due_s=None, sent_s=0.1, finished_s=1.0),
        record(2, due_s=None, sent_s=1.05, finished_s=3.0),
        record(3, due_s=None, sent_s=2.2, finished_s=4.0),
    )
    assert np.isnan(generator.send_delay(data)).all()
    assert generator.issue_delay(data) == pytest.approx([nan, nan, 0.05, 0.2], nan_ok=True)


def test_fewer_requests_than_slots_have_no_issue_delay() -> None:
    data = run(*(record(i, due_s=None, sent_s=0.01 * i) for i in range(4)))
    assert np.isnan(generator.issue_delay(data)).all()


def test_issue_delay_is_unknown_in_an_open_loop_and_in_sessions_of_several_turns() -> None:
    assert np.isnan(generator.issue_delay(run(record(0), record(9)))).all()
    turns = (record(i, due_s=None, sent_s=float(i), turn=i, session_id=0) for i in range(3))
    assert np.isnan(generator.issue_delay(run(*turns))).all()
    assert len(generator.issue_delay(run())) == 0


def test_client_lag_and_connect_time_are_as_recorded() -> None:
    data = run(record(0, chunk_lag_s=(0.5, 0.25, 0.0, 0.125), connect_s=0.75))
    assert generator.client_lag(data).tolist() == [0.5, 0.25, 0.0, 0.125]
    assert generator.connect_time(data).tolist() == [0.75]
