"""Attainment: who is in the denominator, what is a miss."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsuite.metrics.slo import Slo, attainment, num_unrecorded, slo_metrics
from benchsuite.metrics.statistics import wilson
from benchsuite.metrics.throughput import request_rate
from benchsuite.records.record import Record
from benchsuite.records.table import RunData
from tests.runs import failed, never_sent, record, run


def _of(data: RunData, **limits: float) -> Any:
    return attainment(data, {"default": Slo(**limits)})["default"]


def test_a_value_at_its_limit_meets_it() -> None:
    data = run(record(0, due_s=0.0, chunks=((0.25, 1), (0.5, 1))))
    assert _of(data, ttft=0.25).met == 1
    assert _of(data, ttft=0.2499).met == 0


def test_a_share_has_its_interval_and_its_rate() -> None:
    data = run(*(record(i, due_s=0.0) for i in range(3)), failed(3, due_s=0.0), window_s=(0.0, 2.0))
    found = _of(data, ttft=0.3)
    assert (found.num, found.met, found.share, found.good_rate) == (4, 3, 0.75, 1.5)
    assert found.interval == wilson(3, 4)
    assert found.slos["ttft"].limit == 0.3


@pytest.mark.parametrize(
    "miss",
    [
        failed(1),
        failed(1, status="timeout"),
        failed(1, status="cancelled"),
        failed(1, sent_s=None, finished_s=None),  # due, and never sent
        record(1, status="error", error_class="stream_cut"),  # though its tokens came in time
        record(1, chunks=()),  # an answer without a token
    ],
)
def test_misses(miss: Record) -> None:
    found = _of(run(record(0), miss), ttft=10.0)
    assert (found.num, found.met) == (2, 1)


@pytest.mark.parametrize("chunks", [((0.1, 1),), ((0.1, 9),)])
def test_one_token_cannot_miss_a_limit_between_tokens(chunks: Any) -> None:
    """There is no such time. A failure misses it all the same."""
    found = _of(run(record(0, chunks=chunks)), tpot=0.001, itl_p99=0.001)
    assert found.met == 1
    assert _of(run(failed(0)), tpot=0.001).met == 0


def test_an_answer_that_shows_nothing_misses_ttfo() -> None:
    reasoning = record(0, chunk_kind=(1, 1, 1, 1))
    assert _of(run(reasoning), ttfo=10.0).met == 0
    assert _of(run(reasoning), ttft=10.0).met == 1


def test_every_limit_that_can_be_set_is_looked_at() -> None:
    """Each is met when it is generous and missed when it is not."""
    for name in Slo.__struct_fields__:
        assert _of(run(record(0)), **{name: 10.0}).met == 1, name
        assert _of(run(record(0)), **{name: 0.01}).met == 0, name


def test_requests_outside_the_window_do_not_count() -> None:
    data = run(record(0), record(5), failed(9), window_s=(1.0, 9.0))
    assert _of(data, ttft=1.0).num == 1


def test_classes_have_their_own_limits() -> None:
    """One that is not named has those of `default`."""
    slow = record(0, slo_class="batch")
    quick, other = record(1, slo_class="chat"), record(2, slo_class="code")
    slos = {"default": Slo(ttft=0.3), "batch": Slo(e2e_latency=0.1), "chat": Slo(ttft=0.1)}
    found = attainment(run(slow, quick, other), slos)
    assert {name: each.met for name, each in found.items()} == {"batch": 0, "chat": 0, "code": 1}
    assert set(found["batch"].slos) == {"e2e_latency"}


def test_a_class_without_limits_is_not_judged() -> None:
    data = run(record(0, slo_class="batch"), record(1, slo_class="chat"))
    assert set(attainment(data, {"chat": Slo(ttft=1.0)})) == {"chat"}
    assert attainment(data, {"default": Slo()}) == {}


def test_turns_given_up_count_where_the_failed_one_counts() -> None:
    records = (
        failed(0, due_s=1.0, session_id=7),
        never_sent(1, session_id=7, turn=1),
        never_sent(2, session_id=7, turn=2),
        failed(3, due_s=0.0, session_id=8),  # before the window
        never_sent(4, session_id=8, turn=1),
    )
    assert _of(run(*records, window_s=(0.5, 9.0)), ttft=1.0).num == 3


def test_sessions_that_left_no_record_are_misses() -> None:
    """A worker was lost: what it should have sent was due all the same."""
    data = run(record(0), record(1), planned_due_s=np.array([0.0, 1.0, 2.0, 3.0, 2000.0]))
    assert num_unrecorded(data) == 2
    found = _of(data, ttft=1.0)
    assert (found.num, found.met, found.slos["ttft"].share) == (4, 2, 0.5)


def test_unrecorded_sessions_of_several_classes_are_in_the_total_alone() -> None:
    records = record(0, slo_class="chat"), record(1, slo_class="code")
    data = run(*records, planned_due_s=np.array([0.0, 1.0, 2.0]))
    slos = {"default": Slo(ttft=1.0)}
    assert [each.num for each in attainment(data, slos).values()] == [1, 1]
    share = slo_metrics(slos)[0]
    assert share.values(data)[0] == pytest.approx(2 / 3)


def test_the_total_is_over_all_classes_that_have_limits() -> None:
    records = (
        record(0, due_s=0.0, slo_class="chat"),
        failed(1, due_s=0.0, slo_class="code"),
        record(2, due_s=0.0, slo_class="free"),
    )
    data = run(*records, window_s=(0.0, 4.0))
    share, good_rate = slo_metrics({"chat": Slo(ttft=1.0), "code": Slo(ttft=1.0)})
    assert share.values(data).tolist() == [0.5]
    assert good_rate.values(data).tolist() == [0.25]
    assert share.interval is not None
    assert good_rate.interval is not None
    low, high = share.interval(data) or (0.0, 0.0)
    assert good_rate.interval(data) == pytest.approx((low * 2 / 4, high * 2 / 4))


def test_good_rate_is_a_part_of_the_request_rate() -> None:
    """Both count what ended in the window, whenever it was due; attainment counts what was due."""
    slow = ((0.6, 1), (0.7, 1))
    data = run(
        record(0, due_s=0.8),  # due before the window, good, ends inside
        record(1, due_s=1.5),
        record(2, due_s=2.0, chunks=slow),
        record(3, due_s=4.8),  # due inside, good, ends outside
        window_s=(1.0, 5.0),
    )
    slos = {"default": Slo(ttft=0.5)}
    assert request_rate(data).tolist() == [3 / 4]
    assert slo_metrics(slos)[1].values(data).tolist() == [2 / 4]
    found = attainment(data, slos)["default"]
    assert (found.num, found.met, found.good_rate) == (3, 2, 2 / 4)


def test_an_empty_run_attains_nothing_and_says_so() -> None:
    slos = {"default": Slo(ttft=1.0)}
    assert attainment(run(), slos) == {}
    for metric in slo_metrics(slos):
        assert metric.interval is not None
        assert metric.interval(run()) is None
    assert np.isnan(slo_metrics(slos)[0].values(run())[0])


@given(
    st.lists(
        st.tuples(st.booleans(), st.floats(0.01, 1.0), st.floats(0.01, 1.0)),
        min_size=1,
        max_size=20,
    )
)
def test_joint_attainment_lies_within_what_the_marginals_allow(
    rows: list[tuple[bool, float, float]],
) -> None:
    """At most the least marginal; at least 1 - the sum of what the marginals lack (Frechet)."""
    data = run(
        *(
            record(i, chunks=((first_s, 1), (first_s + gap_s, 1)), status="ok" if ok else "error")
            for i, (ok, first_s, gap_s) in enumerate(rows)
        )
    )
    found = _of(data, ttft=0.5, tpot=0.5)
    marginals = [target.share for target in found.slos.values()]
    assert found.share <= min(marginals)
    assert found.share >= 1 - sum(1 - share for share in marginals) - 1e-9
