"""The seam between an engine and its scheduling: three pure answers, no clock, no I/O."""

from collections.abc import Callable, Collection
from enum import StrEnum
from typing import NamedTuple, Protocol

from reference_engine.blocks import PrefixHit
from reference_engine.sequence import Sequence
from reference_engine.step import EncodeWork, Step


class Role(StrEnum):
    """What a worker is for. A sequence leaves it with the last phase that is its own."""

    ANY = "any"
    ENCODE = "encode"
    PREFILL = "prefill"  # encodes too, if no worker does only that
    DECODE = "decode"


class WorkerView(NamedTuple):
    """All that a policy may see of a worker. Looks only: a policy changes nothing."""

    role: Role
    waiting: Collection[Sequence]  # most urgent first, then oldest
    running: Collection[Sequence]  # those that hold blocks, in order of admission
    arriving: Collection[Sequence]  # prefilled elsewhere, to be received; most urgent first
    free_blocks: int
    block_size: int  # tokens
    max_sequences: int
    num_layers: int
    now_s: float
    prefill_tokens_per_s: float | None  # over all steps so far that prefilled; None: there was none
    lookup: Callable[[Sequence], PrefixHit]  # what the prefix cache holds of a waiting sequence
    sole_blocks: Callable[[Sequence], int]  # blocks that preempting a running one surely frees
    swapped: Collection[Sequence] = ()  # KV in host memory; most urgent first. See swapping.py
    free_swap_blocks: int = 0  # of host memory
    media: Collection[EncodeWork] = ()  # to be read here, of sequences that wait here or elsewhere
    has_read: Callable[[bytes], bool] = frozenset[
        bytes
    ]().__contains__  # a medium's key: it is kept

    def unread_tokens(self) -> dict[bytes, int]:
        """Tokens of images and sound that are still to be encoded here, by key: each once."""
        there = [work.media for work in self.media]
        return {one.key: one.num_tokens for one in there if not self.has_read(one.key)}


class SchedulingPolicy(Protocol):
    """Who runs next, and where.

    What `plan` may ask for: prefill of a waiting sequence from `lookup(sequence).num_tokens` on
    (which admits it: the blocks of ALL its known tokens are then taken, so a later chunk never
    lacks one), prefill of an admitted one from `num_computed_tokens` on, decode of those in phase
    decoding. Blocks that `preempt` frees may be counted on in the same step. A prefill may pass
    only some layers: the next one then has the same tokens and begins at `num_layers_done`.
    `receive` takes the blocks of all known tokens of an arriving sequence.
    """

    def workers(self) -> tuple[Role, ...]:
        """Who exists."""
        ...

    def route(self, sequence: Sequence, views: tuple[WorkerView, ...]) -> int:
        """Index of the worker that runs the sequence's next phase: asked when it comes, when it
        leaves a worker whose role has ended, and when it is preempted where it cannot prefill. One
        that is prefilled holds blocks (`block_table`), any other none.
        """
        ...

    def readers(self, sequence: Sequence, views: tuple[WorkerView, ...]) -> tuple[int, ...]:
        """Indexes of the workers that read its media, one for each; it waits at the first. Empty:
        all are read where `route` says.
        """
        ...

    def plan(self, view: WorkerView) -> Step:
        """What this worker runs now. Empty = wait until something changes.

        Must not be empty while a sequence could run: nobody asks again before then. A step of
        nothing but decodes, of all that are here, is carried out again without asking as long as
        nobody waits, arrives, is swapped or has ended and there are blocks for all (as in
        `Worker._goes_on`): a policy must answer so again, whatever the time.
        """
        ...
