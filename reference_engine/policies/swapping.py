"""Preemption by swap, whatever the policy: which victims' KV goes to host memory, and which comes
back (vLLM, SOSP'23, section 4.5). Pure.
"""

from reference_engine.blocks import blocks_needed
from reference_engine.policies.base import SchedulingPolicy, WorkerView
from reference_engine.policies.planning import receive
from reference_engine.sequence import Phase, Sequence
from reference_engine.step import Step


def plan(policy: SchedulingPolicy, view: WorkerView) -> Step:
    """The policy's step. Swapped sequences come back before anything as urgent as they begins.
    Victims that host memory has room for are swapped, the others computed again; the policy is
    asked anew when that is done.
    """
    back: tuple[Sequence, ...] = ()
    if view.swapped:
        back, view = _come_back(view)
    step = policy.plan(view)
    if step.preempt and view.free_swap_blocks:
        swapped = swappable(step.preempt, view)
        if swapped:
            lost = tuple(one for one in step.preempt if one not in swapped)
            return Step(preempt=lost, swap_out=swapped)
    return step._replace(swap_in=back) if back else step


def swappable(victims: tuple[Sequence, ...], view: WorkerView) -> tuple[Sequence, ...]:
    """Those that decode and fit into what is free of host memory, in their order."""
    free = view.free_swap_blocks
    chosen = []
    for one in victims:
        num_blocks = blocks_needed(one.num_computed_tokens, view.block_size)
        if one.phase is Phase.DECODING and num_blocks <= free:
            free -= num_blocks
            chosen.append(one)
    return tuple(chosen)


def _come_back(view: WorkerView) -> tuple[tuple[Sequence, ...], WorkerView]:
    """Who does, and what is left for the policy: neither their blocks and those that they may soon
    need, nor anybody who is to wait behind one that does not fit yet.
    """
    back = receive(view, view.free_blocks, view.swapped)
    taken = sum(blocks_needed(one.num_tokens, view.block_size) + 1 for one in back)
    left = view._replace(
        free_blocks=max(0, view.free_blocks - taken),
        max_sequences=view.max_sequences - len(back),
    )
    stay = list(view.swapped)[len(back) :]
    if not stay:
        return back, left

    def before(one: Sequence) -> bool:
        return (one.params.priority, one.id) < (stay[0].params.priority, stay[0].id)

    return back, left._replace(
        waiting=tuple(filter(before, view.waiting)),
        arriving=tuple(filter(before, view.arriving)),
    )
