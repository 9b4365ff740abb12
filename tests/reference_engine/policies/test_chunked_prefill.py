"""Chunked prefill: one token budget for decodes and prompt chunks."""

from hypothesis import given
from hypothesis import strategies as st

from reference_engine.policies import ChunkedPrefill
from tests.reference_engine.policies.views import decoding, ids, prefilling, view, waiting


def test_answers_advance_in_every_step() -> None:
    """A long prompt is cut to what decodes leave of the budget."""
    running = [decoding(0, 5), prefilling(1, 90, 40)]
    step = ChunkedPrefill(token_budget=100).plan(
        view(waiting=[waiting(2, 300), waiting(3, 5)], running=running)
    )
    assert ids(step.decode) == [0]
    assert [(w.sequence.id, w.start, w.length) for w in step.prefill] == [(1, 40, 50), (2, 0, 49)]


def test_nothing_new_begins_when_memory_is_short() -> None:
    """A step that preempts neither admits nor prefills."""
    running = [decoding(0, 4), prefilling(1, 8, 4)]
    step = ChunkedPrefill().plan(view(waiting=[waiting(2, 1)], running=running, free_blocks=0))
    assert [one.id for one in step.preempt] == [1]
    assert ids(step.decode) == [0]
    assert not step.prefill


def test_nothing_to_do_is_an_empty_step() -> None:
    """Empty queue, empty batch: wait."""
    assert ChunkedPrefill().plan(view()).is_empty


@given(
    budget=st.integers(1, 64),
    answers=st.integers(0, 5),
    begun=st.lists(st.integers(2, 50), max_size=3),
    prompts=st.lists(st.integers(1, 80), max_size=5),
    free=st.integers(0, 60),
)
def test_budget_is_kept_and_spent(
    budget: int, answers: int, begun: list[int], prompts: list[int], free: int
) -> None:
    """Decodes and chunks never exceed the budget unless decodes alone do, no work is empty, and a
    step is empty only if nothing could run.
    """
    running = [decoding(i, 5) for i in range(answers)]
    running += [prefilling(10 + i, length, 1) for i, length in enumerate(begun)]
    queue = [waiting(20 + i, length) for i, length in enumerate(prompts)]
    step = ChunkedPrefill(token_budget=budget).plan(
        view(waiting=queue, running=running, free_blocks=free, max_sequences=10)
    )
    prefilled = sum(work.length for work in step.prefill)
    assert len(step.decode) == answers
    assert prefilled == 0 or prefilled + answers <= budget
    assert all(work.length > 0 for work in step.prefill)
    if step.is_empty:
        assert not running
        assert not queue or free * 4 < prompts[0]
