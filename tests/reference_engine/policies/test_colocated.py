"""Colocated: whole prompts first, then decode."""

from reference_engine.policies import Colocated
from tests.reference_engine.policies.views import decoding, ids, view, waiting


def test_prompts_go_before_answers() -> None:
    """While a prompt can be let in, nobody decodes (the stall that chunking removes)."""
    step = Colocated().plan(view(waiting=[waiting(1, 300)], running=[decoding(0, 5)]))
    assert ids(step.prefill) == [1]
    assert step.prefill[0].length == 300
    assert not step.decode


def test_then_all_decode() -> None:
    """Without a prompt that fits, every running answer advances."""
    running = [decoding(0, 5), decoding(1, 6)]
    step = Colocated().plan(view(waiting=[waiting(2, 4000)], running=running))
    assert ids(step.decode) == [0, 1]
    assert not step.prefill


def test_prompts_are_never_cut() -> None:
    """Those that exceed the budget together go in several steps; one beyond it goes alone."""
    queue = [waiting(0, 60), waiting(1, 30), waiting(2, 20)]
    policy = Colocated(prefill_tokens=100)
    assert ids(policy.plan(view(waiting=queue)).prefill) == [0, 1]
    step = policy.plan(view(waiting=[waiting(0, 300), waiting(1, 5)]))
    assert [(w.sequence.id, w.length) for w in step.prefill] == [(0, 300)]


def test_nothing_to_do_is_an_empty_step() -> None:
    """Empty queue, empty batch: wait."""
    assert Colocated().plan(view()).is_empty
