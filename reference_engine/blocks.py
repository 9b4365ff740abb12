"""Paged KV accounting: which block belongs to whom, and which blocks' content can be used again.

Whole blocks are known by a chained hash of all tokens up to their end, so an equal prefix is found
block by block (vLLM's prefix caching). A block nobody refers to keeps its content until it is
needed, least recently used first. Knows nothing of tensors.
"""

from array import array
from collections import Counter, OrderedDict
from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

from reference_engine.sequence import Sequence


def blocks_needed(num_tokens: int, block_size: int) -> int:
    """Whole blocks that hold `num_tokens` (0 tokens need 0 blocks)."""
    return -(-num_tokens // block_size)


class HeldBlocks:
    """Blocks of a sequence that has left them behind, while its KV is on its way."""

    __slots__ = ("block_table", "num_published_blocks")

    def __init__(self, sequence: Sequence) -> None:
        """Take over the sequence's references; it is left without blocks."""
        self.block_table = sequence.block_table
        self.num_published_blocks = sequence.num_published_blocks
        sequence.block_table = []
        sequence.num_published_blocks = 0


class PrefixHit(NamedTuple):
    """What of a sequence's tokens stands in the pool already."""

    num_tokens: int  # whole blocks, never the last token: its logits are wanted
    num_idle_blocks: int  # of those blocks, counted in `free_blocks` until taken


class BlockPool:
    """`num_blocks` blocks of `block_size` tokens.

    Each block is in exactly one state: referred to by sequences, idle (content known, evictable) or
    free. `free_blocks` counts the last two.
    """

    def __init__(
        self,
        num_blocks: int,
        block_size: int,
        *,
        caching: bool = True,
        max_idle_blocks: int | None = None,
        idle_s: float | None = None,
    ) -> None:
        """At most `max_idle_blocks` idle ones are kept, none for longer than `idle_s`."""
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.caching = caching
        self._free = list(range(num_blocks - 1, -1, -1))
        self._max_idle_blocks, self._idle_s = max_idle_blocks, idle_s
        self._now_s = 0.0
        self._idle: OrderedDict[int, float] = OrderedDict()  # since when; least recently used first
        self._references = [0] * num_blocks
        self._hash_of: list[bytes | None] = [None] * num_blocks
        self._block_of: dict[bytes, int] = {}

    @property
    def free_blocks(self) -> int:
        """Blocks that can be had now."""
        return len(self._free) + len(self._idle)

    @property
    def forgets(self) -> bool:
        """Whether content is dropped for its age."""
        return self._idle_s is not None

    @property
    def usage(self) -> float:
        """Share of blocks that sequences refer to."""
        return 1.0 - self.free_blocks / self.num_blocks

    def lookup(self, sequence: Sequence) -> PrefixHit:
        """How much of a waiting sequence's prefix `reuse` would find."""
        found = self._find(sequence)
        references = self._references
        return PrefixHit(
            len(found) * self.block_size, sum(not references[block] for block in found)
        )

    def reuse(self, sequence: Sequence) -> int:
        """Refer to every block its prefix finds; the number of tokens so gained.

        Precondition: the block table is empty.
        """
        assert not sequence.block_table, "a sequence with blocks asked for its prefix"
        found = self._find(sequence)
        for block in found:
            if not self._references[block]:
                del self._idle[block]
            self._references[block] += 1
        sequence.block_table.extend(found)
        sequence.num_published_blocks = len(found)
        return len(found) * self.block_size

    def extend(self, sequence: Sequence, num_tokens: int) -> None:
        """Append blocks until the table holds `num_tokens`. Precondition: enough are free."""
        table = sequence.block_table
        while len(table) * self.block_size < num_tokens:
            table.append(self._take())

    def publish(self, sequence: Sequence) -> None:
        """Offer the content of its whole computed blocks to others. To call after each step."""
        hashes = sequence.block_hashes
        whole = sequence.num_computed_tokens // self.block_size
        if not self.caching or whole <= sequence.num_published_blocks:
            return
        extend_hashes(sequence, whole, self.block_size)
        for index in range(sequence.num_published_blocks, whole):
            block = sequence.block_table[index]
            if self._hash_of[block] is None and hashes[index] not in self._block_of:
                self._hash_of[block] = hashes[index]
                self._block_of[hashes[index]] = block
        sequence.num_published_blocks = whole

    def free(self, sequence: Sequence | HeldBlocks) -> None:
        """Drop its references. What was published stays until evicted, ends of chains first."""
        for block in reversed(sequence.block_table):
            self._references[block] -= 1
            if not self._references[block]:
                if self._hash_of[block] is None:
                    self._free.append(block)
                else:
                    self._idle[block] = self._now_s
        sequence.block_table.clear()
        sequence.num_published_blocks = 0
        if self._max_idle_blocks is not None:
            while len(self._idle) > self._max_idle_blocks:
                self._free.append(self._evict())

    def expire(self, now_s: float) -> None:
        """Forget what has been idle for too long. What is freed from now on is idle since now."""
        self._now_s = now_s
        if self._idle_s is not None:
            while self._idle and next(iter(self._idle.values())) <= now_s - self._idle_s:
                self._free.append(self._evict())

    def sole_blocks(self, sequence: Sequence) -> int:
        """Blocks that would become free if it alone gave up its own."""
        return sum(self._references[block] == 1 for block in sequence.block_table)

    def check(self, sequences: Iterable[Sequence | HeldBlocks]) -> None:
        """Assert the invariant, given all sequences that hold blocks: nothing leaks, nothing is
        handed out twice, and the hash index is exact.
        """
        counted = Counter(block for sequence in sequences for block in sequence.block_table)
        expected = [counted[block] for block in range(self.num_blocks)]
        assert self._references == expected, "reference counts differ from the block tables"
        held = set(counted)
        free, idle = set(self._free), set(self._idle)
        assert len(free) == len(self._free), "a block is free twice"
        twice = (held & free) | (held & idle) | (free & idle)
        assert not twice, f"blocks {twice} have two states"
        assert len(held) + len(free) + len(idle) == self.num_blocks, "a block has leaked"
        named = {block for block, key in enumerate(self._hash_of) if key is not None}
        assert idle <= named, "an idle block has no content"
        assert not free & named, "a free block still has content"
        assert {self._hash_of[block]: block for block in named} == self._block_of, "stale index"

    def _find(self, sequence: Sequence) -> list[int]:
        """Blocks that hold its longest known prefix; none for one whose every state is wanted."""
        if not self.caching or sequence.params.embed:
            return []
        whole = (sequence.num_tokens - 1) // self.block_size
        extend_hashes(sequence, whole, self.block_size)
        found = []
        for key in sequence.block_hashes[:whole]:
            block = self._block_of.get(key)
            if block is None:
                break
            found.append(block)
        return found

    def _take(self) -> int:
        """A block with one reference; evicts the least recently used idle one if none is free."""
        block = self._free.pop() if self._free else self._evict()
        self._references[block] = 1
        return block

    def _evict(self) -> int:
        """Forget the content of the least recently used idle block."""
        block, _ = self._idle.popitem(last=False)
        key = self._hash_of[block]
        assert key is not None, "an idle block has no content"
        del self._block_of[key]
        self._hash_of[block] = None
        return block


def extend_hashes(sequence: Sequence, num_blocks: int, block_size: int) -> None:
    """Make `sequence.block_hashes` at least `num_blocks` long.

    hash[i] = BLAKE2b-128(hash[i - 1] + the block's ids, 4 bytes each); equal in every process.
    """
    hashes = sequence.block_hashes
    missing = num_blocks - len(hashes)
    if missing <= 0:
        return
    ids = sequence.token_ids(len(hashes) * block_size, missing * block_size)
    packed = array("I", ids).tobytes()
    width = 4 * block_size
    parent = hashes[-1] if hashes else b""
    for start in range(0, missing * width, width):
        parent = blake2b(parent + packed[start : start + width], digest_size=16).digest()
        hashes.append(parent)
