"""What a policy sees, made by hand."""

from typing import Any

from reference_engine.blocks import PrefixHit, blocks_needed
from reference_engine.policies.base import Role, WorkerView
from reference_engine.sequence import Phase, SamplingParams, Sequence

BLOCK_SIZE = 4
NUM_LAYERS = 2


def waiting(id: int, prompt: int) -> Sequence:
    return Sequence(id, [1] * prompt, SamplingParams(max_tokens=100))


def prefilling(id: int, prompt: int, computed: int) -> Sequence:
    """All blocks of its prompt, the first `computed` tokens done."""
    one = waiting(id, prompt)
    one.phase = Phase.PREFILLING
    one.num_computed_tokens = computed
    one.block_table = [0] * blocks_needed(prompt, BLOCK_SIZE)
    return one


def decoding(id: int, computed: int) -> Sequence:
    """Its last block is full when `computed` is a multiple of the block size."""
    one = prefilling(id, computed, computed)
    one.phase = Phase.DECODING
    one.output_ids = [1]
    return one


def view(**changes: Any) -> WorkerView:
    defaults: dict[str, Any] = {
        "role": Role.ANY,
        "waiting": (),
        "running": (),
        "arriving": (),
        "prefill_tokens_per_s": None,
        "free_blocks": 100,
        "block_size": BLOCK_SIZE,
        "max_sequences": 8,
        "num_layers": NUM_LAYERS,
        "now_s": 0.0,
        "lookup": lambda sequence: PrefixHit(0, 0),
        "sole_blocks": lambda sequence: len(sequence.block_table),
    }
    return WorkerView(**defaults | changes)


def ids(works: tuple[Any, ...]) -> list[int]:
    """Sequence ids of prefill or decode works."""
    return [work.sequence.id for work in works]
