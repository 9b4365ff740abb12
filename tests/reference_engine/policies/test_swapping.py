"""Who is swapped and who comes back: pure answers."""

from reference_engine.policies import ChunkedPrefill
from reference_engine.policies.swapping import plan
from reference_engine.sequence import Phase, Sequence
from tests.reference_engine.policies.views import decoding, ids, prefilling, view, waiting

POLICY = ChunkedPrefill()


def swapped(id: int, computed: int) -> Sequence:
    one = decoding(id, computed)
    one.phase, one.block_table = Phase.SWAPPED, []
    return one


def test_victims_are_swapped_as_far_as_there_is_room() -> None:
    """The youngest first; what does not fit, or is amid its prompt, is computed again."""
    running = [decoding(0, 4), decoding(1, 8), decoding(2, 12)]
    alone = view(running=running, free_blocks=0, sole_blocks=lambda one: 0)
    assert [one.id for one in plan(POLICY, alone).preempt] == [2, 1, 0]
    step = plan(POLICY, alone._replace(free_swap_blocks=4))
    assert [one.id for one in step.swap_out] == [2, 0]
    assert [one.id for one in step.preempt] == [1]
    assert not step.decode  # asked again when they are gone
    amid = view(running=[decoding(0, 4), prefilling(1, 8, 4)], free_blocks=0, free_swap_blocks=9)
    assert [one.id for one in plan(POLICY, amid).preempt] == [1]


def test_they_come_back_when_their_blocks_are_free() -> None:
    """With one in reserve for each that runs; until then nobody less urgent begins."""
    one, new = swapped(1, 8), waiting(2, 4)  # three blocks: the next token needs one more
    short = view(running=[decoding(0, 6)], swapped=[one], waiting=[new], free_blocks=3)
    step = plan(POLICY, short)
    assert (step.swap_in, step.prefill, ids(step.decode)) == ((), (), [0])
    assert plan(POLICY, short._replace(free_blocks=4)).swap_in == (one,)
    assert plan(POLICY, short._replace(free_blocks=4)).prefill == ()
    both = plan(POLICY, short._replace(free_blocks=6))
    assert (both.swap_in, ids(both.prefill)) == ((one,), [2])
    older = swapped(3, 8)
    assert ids(plan(POLICY, short._replace(swapped=[older])).prefill) == [2]
