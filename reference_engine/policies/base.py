"""The seam between an engine and its scheduling: three pure answers, no clock, no I/O."""

from collections.abc import Callable, Collection
from enum import StrEnum
from typing import NamedTuple, Protocol

from reference_engine.blocks import PrefixHit
from reference_engine.sequence import Sequence
from reference_engine.step import Step


class Role(StrEnum):
    """What a worker is for."""

    ANY = "any"


class WorkerView(NamedTuple):
    """All that a policy may see of a worker. Looks only: a policy changes nothing."""

    role: Role
    waiting: Collection[Sequence]  # most urgent first, then oldest
    running: Collection[Sequence]  # those that hold blocks, in order of admission
    free_blocks: int
    block_size: int  # tokens
    max_sequences: int
    num_layers: int
    now_s: float
    lookup: Callable[[Sequence], PrefixHit]  # what the prefix cache holds of a waiting sequence
    sole_blocks: Callable[[Sequence], int]  # blocks that preempting a running one surely frees


class SchedulingPolicy(Protocol):
    """Who runs next, and where.

    What `plan` may ask for: prefill of a waiting sequence from `lookup(sequence).num_tokens` on
    (which admits it: the blocks of ALL its known tokens are then taken, so a later chunk never
    lacks one), prefill of an admitted one from `num_computed_tokens` on, decode of those in phase
    decoding. Blocks that `preempt` frees may be counted on in the same step.
    """

    def workers(self) -> tuple[Role, ...]:
        """Who exists."""
        ...

    def route(self, sequence: Sequence, views: tuple[WorkerView, ...]) -> int:
        """Index of the worker that runs the sequence's next phase."""
        ...

    def plan(self, view: WorkerView) -> Step:
        """What this worker runs now. Empty = wait until something changes.

        Must not be empty while a sequence could run: nobody asks again before then.
        """
        ...
