"""Pure pieces that policies are put together from: decode all that fit, prefill within a budget,
pick who gives way.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from reference_engine.blocks import blocks_needed
from reference_engine.policies.base import Role, WorkerView
from reference_engine.sequence import Phase, Sequence
from reference_engine.step import DecodeWork, EncodeWork, PrefillWork

_COMING: Final = (Phase.TRANSFERRING, Phase.SWAPPED)  # in the batch, their KV under way
_DECODING: Final = Phase.DECODING  # reading it off the enum costs as much as the comparison


class DecodePlan(NamedTuple):
    """Which sequences decode, who gives way for them, and the blocks left over."""

    decode: tuple[DecodeWork, ...]
    preempt: tuple[Sequence, ...]
    free_blocks: int


def decode_all_that_fit(view: WorkerView) -> DecodePlan:
    """Decode every running sequence; if blocks run out, the least urgent, of those the youngest,
    give theirs up.

    The most urgent and oldest never gives way, and alone it fits, so it advances: no deadlock.
    """
    size = view.block_size
    decoding = [s for s in view.running if s.phase is _DECODING]
    needed = sum([s.num_computed_tokens == len(s.block_table) * size for s in decoding])
    if needed <= view.free_blocks:
        return DecodePlan(tuple(map(DecodeWork, decoding)), (), view.free_blocks - needed)
    return _decode_with_victims(view)


def _decode_with_victims(view: WorkerView) -> DecodePlan:
    """Walk from the most urgent and oldest on; whoever lacks a block takes those of the last."""
    size = view.block_size
    here = [one for one in view.running if one.phase not in _COMING]
    ranked = sorted(here, key=lambda one: (one.params.priority, one.id))
    some_arrive = len(here) < len(view.running)
    free = view.free_blocks
    decode: list[DecodeWork] = []
    victims: list[Sequence] = []
    position = 0
    while position < len(ranked):
        sequence = ranked[position]
        lacking = (
            sequence.phase is _DECODING
            and sequence.num_computed_tokens == len(sequence.block_table) * size
        )
        if lacking and not free:
            if some_arrive and position == len(ranked) - 1:
                break  # wait: those that are still arriving can give way once they are here
            victim = ranked.pop()
            victims.append(victim)
            free += view.sole_blocks(victim)
            continue
        free -= lacking
        if sequence.phase is _DECODING:
            decode.append(DecodeWork(sequence))
        position += 1
    return DecodePlan(tuple(decode), tuple(victims), free)


def prefill_running(view: WorkerView, budget_tokens: int) -> list[PrefillWork]:
    """Next chunks of sequences already admitted, in order of admission."""
    works = []
    for sequence in view.running:
        if budget_tokens <= 0:
            break
        if sequence.phase is Phase.PREFILLING:
            start = sequence.num_computed_tokens
            length = min(sequence.num_tokens - start, budget_tokens)
            budget_tokens -= length
            works.append(PrefillWork(sequence, start, length, range(view.num_layers)))
    return works


def admit(
    view: WorkerView, free_blocks: int, budget_tokens: int, *, whole: bool = False
) -> list[PrefillWork]:
    """First chunks of waiting sequences in order of arrival, until one does not fit.

    With `whole`, prompts are not cut: the first may then exceed the budget, the others not.
    One free block stays in reserve for each running sequence, which may soon need it; a worker
    with nothing running admits whatever fits.
    """
    works: list[PrefillWork] = []
    batch = len(view.running)
    for sequence in view.waiting:
        if sequence.needs_encoder:
            continue
        if batch >= view.max_sequences or budget_tokens <= 0:
            break
        hit = view.lookup(sequence)
        missing = sequence.num_tokens - hit.num_tokens
        if whole and works and missing > budget_tokens:
            break
        taken = blocks_needed(missing, view.block_size) + hit.num_idle_blocks
        if taken + batch > free_blocks:
            break
        length = missing if whole else min(missing, budget_tokens)
        works.append(PrefillWork(sequence, hit.num_tokens, length, range(view.num_layers)))
        free_blocks -= taken
        budget_tokens -= length
        batch += 1
    return works


def receive(view: WorkerView, free_blocks: int, queue: Iterable[Sequence]) -> tuple[Sequence, ...]:
    """Those of `queue` in their order, until one does not fit; the same reserve as `admit`."""
    received: list[Sequence] = []
    batch = len(view.running)
    for sequence in queue:
        taken = blocks_needed(sequence.num_tokens, view.block_size)
        if batch >= view.max_sequences or taken + batch > free_blocks:
            break
        free_blocks -= taken
        batch += 1
        received.append(sequence)
    return tuple(received)


def least_loaded(views: tuple[WorkerView, ...], *roles: Role) -> int:
    """Index of the worker of these roles with the fewest sequences; of equals the first."""
    there = [index for index, view in enumerate(views) if view.role in roles]
    return min(
        there,
        key=lambda index: (
            len(views[index].waiting) + len(views[index].running) + len(views[index].arriving)
        ),
    )


def encode_waiting(view: WorkerView, budget_tokens: int) -> tuple[EncodeWork, ...]:
    """What is to be read of images and sound, in order; the first goes in any case, further ones
    within the budget.
    """
    works: list[EncodeWork] = []
    for work in view.media:
        if works and work.media.num_tokens > budget_tokens:
            break
        budget_tokens -= work.media.num_tokens
        works.append(work)
    return tuple(works)


def num_tokens(works: Iterable[PrefillWork]) -> int:
    """Tokens that the works prefill."""
    return sum(work.length for work in works)
