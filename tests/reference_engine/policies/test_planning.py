"""The pieces of policies: who decodes, who is let in, who gives way."""

from reference_engine.blocks import PrefixHit
from reference_engine.policies.planning import admit, decode_all_that_fit, prefill_running
from tests.reference_engine.policies.views import decoding, ids, prefilling, view, waiting


def test_all_decode_when_blocks_suffice() -> None:
    """A sequence takes a block only where its last one is full; prefilling ones do not decode."""
    running = [decoding(0, 4), decoding(1, 5), prefilling(2, 8, 4), decoding(3, 8)]
    plan = decode_all_that_fit(view(running=running, free_blocks=2))
    assert (ids(plan.decode), plan.preempt, plan.free_blocks) == ([0, 1, 3], (), 0)


def test_youngest_gives_way() -> None:
    """Short of blocks, the one that arrived last is preempted, whatever the order of admission."""
    oldest, youngest, middle = decoding(0, 4), decoding(9, 4), decoding(5, 4)
    plan = decode_all_that_fit(view(running=[youngest, oldest, middle], free_blocks=1))
    assert ids(plan.decode) == [0, 5]
    assert plan.preempt == (youngest,)
    assert plan.free_blocks == 0


def test_prefilling_gives_way_too() -> None:
    """A half-read prompt that is younger frees its blocks for an answer under way."""
    young = prefilling(7, 8, 4)
    plan = decode_all_that_fit(view(running=[decoding(0, 4), young], free_blocks=0))
    assert (ids(plan.decode), plan.preempt, plan.free_blocks) == ([0], (young,), 1)


def test_only_sole_blocks_are_counted_on() -> None:
    """Blocks that others share are not freed; nobody decodes on hope."""
    running = [decoding(0, 4), decoding(1, 5)]
    plan = decode_all_that_fit(view(running=running, free_blocks=0, sole_blocks=lambda s: 0))
    assert plan.decode == ()
    assert [one.id for one in plan.preempt] == [1, 0]


def test_a_sequence_that_needs_no_block_decodes_however_short_memory_is() -> None:
    """Inside its last block a sequence needs nothing."""
    plan = decode_all_that_fit(view(running=[decoding(0, 5)], free_blocks=0))
    assert ids(plan.decode) == [0]


def test_admission_stops_at_the_first_that_does_not_fit() -> None:
    """First come, first served: a small prompt does not overtake a large one."""
    queue = [waiting(0, 8), waiting(1, 400), waiting(2, 4)]
    works = admit(view(waiting=queue), free_blocks=20, budget_tokens=1000)
    assert ids(tuple(works)) == [0]


def test_admission_leaves_a_block_for_each_that_runs() -> None:
    """Running sequences may each need one soon; an idle worker admits to the last block."""
    busy = view(waiting=[waiting(2, 8)], running=[decoding(0, 5), decoding(1, 5)])
    assert not admit(busy, free_blocks=3, budget_tokens=1000)
    assert admit(busy, free_blocks=4, budget_tokens=1000)
    assert admit(view(waiting=[waiting(2, 8)]), free_blocks=2, budget_tokens=1000)


def test_admission_starts_after_the_cached_prefix() -> None:
    """Cached tokens cost no budget; their idle blocks cost memory."""
    cached = view(waiting=[waiting(0, 16)], lookup=lambda sequence: PrefixHit(12, 3))
    ((_, start, length, layers),) = admit(cached, free_blocks=4, budget_tokens=1000)
    assert (start, length, layers) == (12, 4, range(2))
    assert not admit(cached, free_blocks=3, budget_tokens=1000)


def test_batch_size_limits_admission() -> None:
    """No more than max_sequences run at once."""
    queue = [waiting(i, 4) for i in range(1, 5)]
    works = admit(view(waiting=queue, running=[decoding(0, 5)], max_sequences=3), 100, 1000)
    assert ids(tuple(works)) == [1, 2]


def test_running_prompts_go_on_where_they_stopped() -> None:
    """Chunks follow each other and end with the prompt."""
    running = [prefilling(0, 10, 4), decoding(1, 5), prefilling(2, 10, 0)]
    works = prefill_running(view(running=running), budget_tokens=8)
    assert [(w.sequence.id, w.start, w.length) for w in works] == [(0, 4, 6), (2, 0, 2)]
