"""First tokens by deadline: EDF, S-EDF, and who may join whom."""

import pytest

from reference_engine.policies import Deadline
from reference_engine.sequence import SamplingParams, Sequence
from tests.reference_engine.policies.views import decoding, ids, prefilling, view, waiting


def due(id: int, prompt: int, slo_s: float) -> Sequence:
    return Sequence(id, [1] * prompt, SamplingParams(max_tokens=9, ttft_slo_s=slo_s))


def first(order: str, *queue: Sequence, now_s: float = 0.0, rate: float | None = 100.0) -> int:
    """Whose prompt is read."""
    policy = Deadline(order=order, step_tokens=10)  # type: ignore[arg-type]
    step = policy.plan(view(waiting=queue, now_s=now_s, prefill_tokens_per_s=rate))
    return step.prefill[0].sequence.id


def test_orders_differ_where_they_should() -> None:
    """300 tokens take 3 s: due in 4 s leaves 1 s of slack; 20 due in 2 s leave 1.8 s."""
    long, short = due(0, 300, 4.0), due(1, 20, 2.0)
    assert first("fcfs", short, long) == 0
    assert first("edf", long, short) == 1
    assert first("s_edf", long, short) == 0
    assert first("s_edf", long, short, rate=None) == 1  # nothing known of times yet


def test_the_late_come_last() -> None:
    """At 1.5 s the long one cannot make it any more: it goes behind, under S-EDF only."""
    long, short = due(0, 300, 2.0), due(1, 20, 9.0)
    assert first("edf", long, short, now_s=1.5) == 0
    assert first("s_edf", long, short, now_s=1.5) == 1


def test_a_biased_prediction_misjudges() -> None:
    """Half the bias and the same prompt seems to be in time."""
    policy = Deadline(prediction_bias=0.5)
    one = due(0, 300, 2.0)
    seen = view(prefill_tokens_per_s=100.0)
    assert policy.slack_s(one, 300, seen) == pytest.approx(0.5)
    assert Deadline().slack_s(one, 300, seen) == pytest.approx(-1.0)


def test_the_objective_is_the_requests_the_priority_s_or_the_policy_s() -> None:
    """In this order."""
    policy = Deadline(ttft_slo_s=6.0, ttft_slo_s_by_priority={"3": 0.5})
    urgent = Sequence(0, [1], SamplingParams(max_tokens=1, priority=3), now_s=10.0)
    both = Sequence(0, [1], SamplingParams(max_tokens=1, priority=3, ttft_slo_s=2.0))
    assert policy.deadline_s(urgent) == 10.5
    assert policy.deadline_s(both) == 2.0
    assert policy.deadline_s(waiting(0, 1)) == 6.0


def test_one_begun_gives_way_between_groups_of_layers() -> None:
    """The urgent one runs; the other one keeps its place and its layers."""
    begun = prefilling(0, 100, 0)
    begun.num_layers_done = 1
    policy = Deadline(step_tokens=50, ttft_slo_s=9.0)
    seen = view(waiting=[due(1, 50, 0.5)], running=[begun, decoding(2, 5)])
    step = policy.plan(seen)
    assert ids(step.decode) == [2]
    assert [(w.sequence.id, w.layers) for w in step.prefill] == [(1, range(2))]
    step = policy.plan(view(running=[begun]))
    assert [(w.sequence.id, w.layers) for w in step.prefill] == [(0, range(1, 2))]


def test_others_join_while_the_first_keeps_its_slack() -> None:
    """30 tokens more are 0.3 s: too much for one with 0.2 s to spare."""
    policy = Deadline(step_tokens=60)
    for slo_s, joined in ((0.4, [0]), (0.6, [0, 1])):
        queue = [due(0, 20, slo_s), due(1, 30, 5.0)]
        step = policy.plan(view(waiting=queue, prefill_tokens_per_s=100.0))
        assert ids(step.prefill) == joined


def test_nobody_overtakes_one_that_waits_for_memory() -> None:
    """Else a long prompt might never be read; one that is begun goes on."""
    queue = [due(0, 100, 1.0), due(1, 4, 5.0)]
    seen = view(waiting=queue, running=[prefilling(2, 8, 0)], free_blocks=10)
    assert ids(Deadline().plan(seen).prefill) == [2]
