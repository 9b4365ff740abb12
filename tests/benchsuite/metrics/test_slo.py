"""Attainment: who is in the denominator, what is a miss."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsuite.metrics.attainment import attainment, num_unrecorded
from benchsuite.metrics.objectives import Idle, Line, Pace
from benchsuite.metrics.slo import OBSERVED, Slo
from benchsuite.metrics.slo_metrics import slo_metrics
from benchsuite.metrics.slo_presets import PRESETS
from benchsuite.metrics.statistics import wilson
from benchsuite.metrics.throughput import request_rate
from benchsuite.records.record import Record
from benchsuite.records.table import RunData
from tests.runs import failed, never_sent, record, run


def _of(data: RunData, **limits: Any) -> Any:
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
    for name in OBSERVED:
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
    share, good_rate, *_ = slo_metrics({"chat": Slo(ttft=1.0), "code": Slo(ttft=1.0)})
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
        if metric.interval is not None:
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


def _metric(name: str, data: RunData, **classes: Slo) -> Any:
    (found,) = [one for one in slo_metrics(classes) if one.name == name]
    return found.lacks(data) if found.lacks and found.lacks(data) else found.values(data)


def test_a_limit_may_depend_on_the_request() -> None:
    """The sum of its parts: 0.1 s and 10 ms for each of 10 prompt tokens is 0.2 s."""
    data = run(record(0, due_s=0.0), record(1, due_s=0.0, prompt_tokens=9))
    found = _of(data, ttft=Line(base=0.1, per_prompt_token=0.01))
    assert found.met == 1
    assert (found.slos["ttft"].limit, found.slos["ttft"].rule) == (
        None,
        "≤ 100 ms + 10 ms per prompt token",
    )
    images = replace(data, images=np.array([2, 1]))
    assert _of(images, ttft=Line(per_image=0.1)).met == 1


def test_a_strict_limit_is_missed_by_a_value_at_it() -> None:
    data = run(record(0, due_s=0.0, chunks=((0.25, 1), (0.5, 1))))
    assert _of(data, ttft=0.25).met == 1
    assert _of(data, ttft=0.25, strict=True).met == 0


def test_a_target_is_of_all_limits_or_of_each() -> None:
    """Of ten requests one misses ttft, another tpot."""
    slow_start, slow_tokens = ((0.6, 1), (0.65, 1)), ((0.2, 1), (0.9, 1))
    chunks = [slow_start, slow_tokens, *[((0.2, 1), (0.25, 1))] * 8]
    data = run(*(record(i, chunks=each) for i, each in enumerate(chunks)))
    limits = {"ttft": 0.5, "tpot": 0.1, "target": 0.9}
    assert _of(data, **limits).is_met is False
    assert _of(data, **limits, joint=False).is_met is True
    assert _of(data, ttft=0.5, tpot=0.1).is_met is None


def test_a_percentile_is_kept_if_so_many_requests_keep_its_limit() -> None:
    """Failures are requests that do not."""
    good = [record(i) for i in range(99)]
    assert _of(run(*good, failed(99)), ttft=0.3, at="p99").is_met is True
    found = _of(run(*good, failed(99), failed(100)), ttft=0.3, at="p99")
    assert (found.slos["ttft"].is_met, found.is_met) == (False, False)


def test_a_mean_and_the_tokens_of_all_judge_no_single_request() -> None:
    """They have their own verdict; attainment is then of what ended well."""
    slow = record(1, chunks=((0.2, 1), (1.2, 1)))
    data = run(record(0), slow)
    found = _of(data, tpot=0.5, at="mean")
    assert found.slos["tpot"].mean == pytest.approx((0.1 + 1.0) / 2)
    assert (found.is_met, found.share) == (False, 1.0)
    tokens = _of(data, itl=0.5, at="p50").slos["itl"]
    assert (tokens.num, tokens.met, tokens.share, tokens.is_met) == (4, 3, 0.75, True)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"preset": "distserve-chat-13"}, "did you mean 'distserve-chat-13b'"),
        ({"preset": "nothing like it"}, "list slo_presets"),
        ({"preset": "splitwise-9"}, "needs `idle`"),
        ({"preset": "andes-reader", "qoe": 0.9}, "needs `pace`"),
        ({"itl": 0.1}, "say `at: p99`"),
        ({"fluidity": 0.9}, "needs `pace`"),
        ({"qoe": 0.9, "ttft": Line(base=1.0), "tpot": 0.1}, "needs `pace`"),
    ],
)
def test_an_slo_that_says_too_little_is_refused(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Slo(**keys)


def test_a_preset_sets_what_the_class_does_not() -> None:
    found = Slo(preset="distserve-chat-13b", tpot=0.2)
    limits = {name: one.limit for name, one in found.objectives.items()}
    assert limits == {"ttft": 0.25, "tpot": 0.2}
    assert found.wanted == 0.9


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_judged(name: str) -> None:
    """With what it asks for besides; a run that is quick in all passes, a failed one does not."""
    given = {"pace": Pace(1.0, 0.1), "qoe": 0.5, "idle": Idle(1.0, 1.0, 1.0)}
    slo = Slo(preset=name, **{need: given[need] for need in PRESETS[name].needs})
    quick = [record(i, chunks=((0.001, 1), (0.002, 1), (0.003, 1))) for i in range(3)]
    found = attainment(run(*quick), {"default": slo})["default"]
    assert found.is_met in (True, None)
    assert all(target.share == 1.0 for target in found.slos.values())
    lost = attainment(run(failed(0), failed(1)), {"default": slo})["default"]
    assert lost.share == 0.0


def test_tardiness_is_how_late_the_latest_deadline_was() -> None:
    """Zero in time, nothing for a failure, and absent where nothing is a deadline."""
    data = run(record(0), record(1, chunks=((0.5, 1), (0.9, 1))), failed(2))
    found = _metric("tardiness", data, default=Slo(ttft=0.3, e2e_latency=0.6))
    assert np.allclose(found, [0.0, 0.3, np.nan], equal_nan=True)
    assert "no limit on" in _metric("tardiness", data, default=Slo(tpot=0.1))


def test_the_worst_class_is_told_from_the_others() -> None:
    """A policy may give one class up; absent where there is but one."""
    data = run(*(record(i, slo_class="chat") for i in range(8)), failed(8, slo_class="batch"))
    slo = Slo(ttft=0.3)
    assert _metric("worst_class_attainment", data, default=slo).tolist() == [0.0]
    assert "two classes" in _metric("worst_class_attainment", data, chat=slo)


@given(st.lists(st.floats(0.01, 2.0), min_size=1, max_size=30), st.floats(0.1, 1.0))
def test_the_scale_is_the_smallest_that_attains_the_target(
    first_s: list[float], target: float
) -> None:
    """At it the target is met; a little below it is not."""
    data = run(*(record(i, due_s=0.0, chunks=((s, 1),)) for i, s in enumerate(first_s)))
    scale = float(_metric("slo_scale", data, default=Slo(ttft=0.5, target=target))[0])
    enough = len(first_s) * target - 1e-6
    assert _of(data, ttft=0.5 * scale * (1 + 1e-9)).met >= enough
    assert _of(data, ttft=0.5 * scale * (1 - 1e-9)).met < enough + 1


def test_no_scale_makes_up_for_failures() -> None:
    data = run(record(0), failed(1))
    assert np.isnan(_metric("slo_scale", data, default=Slo(ttft=0.3))[0])
    assert _of(data, ttft=0.3).scale is None
