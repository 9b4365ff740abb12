"""KV of a worker's preempted sequences in host memory, until there are blocks for it again."""

import asyncio
from collections import deque
from typing import Any, NamedTuple

from reference_engine.arrivals import Arrivals, Host, insert
from reference_engine.blocks import blocks_needed
from reference_engine.sequence import Phase, Sequence
from reference_engine.stats import Stats


class _Kept(NamedTuple):
    num_blocks: int
    kv: Any


class SwapSpace:
    """`num_blocks` blocks of host memory. A sequence in `queue` holds some of them and none of the
    device; one that is coming back holds both, until its KV has been copied.
    """

    def __init__(self, worker: Host, arrivals: Arrivals, num_blocks: int, stats: Stats) -> None:
        self.num_blocks = num_blocks
        self.free_blocks = num_blocks
        self.queue: deque[Sequence] = deque()  # most urgent first, then oldest
        self._kept: dict[Sequence, _Kept] = {}  # of the queue, and of those coming back
        self._worker = worker
        self._arrivals = arrivals
        self._stats = stats
        self._loop = asyncio.get_running_loop()

    @property
    def usage(self) -> float:
        """Share of its blocks that sequences hold."""
        return 1.0 - self.free_blocks / self.num_blocks if self.num_blocks else 0.0

    async def put(self, sequence: Sequence) -> None:
        """Out of the batch. No step runs meanwhile. One that ends on its way stays in the batch, to
        be removed like any other.
        """
        sequence.enter(Phase.SWAPPED, self._loop.time())
        num_blocks = blocks_needed(sequence.num_computed_tokens, self._worker.pool.block_size)
        blocks = sequence.block_table[:num_blocks]
        try:
            kv = await self._worker.executor.swap_out(blocks)
        except Exception as error:  # noqa: BLE001 - whatever a device may throw, told to its client
            self._arrivals.fail(sequence, error)
        if sequence.finish_reason is not None:
            return
        self._worker.give_up(sequence)
        sequence.num_preemptions += 1
        self._stats.preemptions += 1
        self._stats.swapped_out_blocks += num_blocks
        self.free_blocks -= num_blocks
        self._kept[sequence] = _Kept(num_blocks, kv)
        insert(self.queue, sequence)

    def bring_back(self, sequence: Sequence) -> None:
        """Into the batch, with blocks that are filled beside the worker's steps."""
        self.queue.remove(sequence)
        num_blocks, kv = self._kept[sequence]
        self._stats.swapped_in_blocks += num_blocks

        def done() -> None:
            self._free(sequence)

        self._arrivals.fill(sequence, self._worker.executor.swap_in, kv, done)

    def drop(self, sequence: Sequence) -> bool:
        """Forget an ended one; whether it was in the queue."""
        if sequence not in self.queue:
            return False
        self.queue.remove(sequence)
        self._free(sequence)
        return True

    def check(self) -> None:
        """Assert that no block of it is lost or held twice."""
        held = sum(kept.num_blocks for kept in self._kept.values())
        assert self.free_blocks + held == self.num_blocks, "a swap block has leaked"
        assert self.free_blocks >= 0, "more is swapped than there is room for"
        there = set(self.queue)
        assert len(there) == len(self.queue), "a sequence is swapped twice"
        assert there <= set(self._kept) <= there | self._arrivals.under_way, "KV of nobody is kept"

    def _free(self, sequence: Sequence) -> None:
        self.free_blocks += self._kept.pop(sequence).num_blocks
