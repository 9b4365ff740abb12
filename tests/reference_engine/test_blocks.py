"""The block pool: nothing leaks, equal prefixes are shared, the least recently used goes first."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from reference_engine.blocks import BlockPool, blocks_needed, extend_hashes
from reference_engine.sequence import SamplingParams, Sequence

PARAMS = SamplingParams(max_tokens=100)


def sequence(prompt_ids: list[int], id: int = 0) -> Sequence:
    return Sequence(id, prompt_ids, PARAMS)


def compute(pool: BlockPool, one: Sequence) -> int:
    """Admit `one` and compute all of its tokens; how many the cache gave."""
    found = pool.reuse(one)
    pool.extend(one, one.num_tokens)
    one.num_computed_tokens = one.num_tokens
    pool.publish(one)
    return found


@pytest.mark.parametrize(
    ("num_tokens", "blocks"), [(0, 0), (1, 1), (15, 1), (16, 1), (17, 2), (32, 2)]
)
def test_blocks_needed(num_tokens: int, blocks: int) -> None:
    """A begun block is a whole block."""
    assert blocks_needed(num_tokens, 16) == blocks


def test_equal_prefix_is_shared_block_by_block() -> None:
    """Two prompts share the whole blocks they have in common, and no others."""
    pool = BlockPool(16, 4)
    first, second = sequence(list(range(10))), sequence([*range(6), 99, 98, 97], 1)
    assert compute(pool, first) == 0
    assert compute(pool, second) == 4
    assert first.block_table[0] == second.block_table[0]
    assert set(first.block_table[1:]).isdisjoint(second.block_table[1:])
    pool.check([first, second])


def test_block_depends_on_all_tokens_before_it() -> None:
    """Equal tokens after a different beginning are not the same block."""
    pool = BlockPool(16, 4)
    compute(pool, sequence([1, 2, 3, 4, 5, 6, 7, 8, 9]))
    assert compute(pool, sequence([0, 2, 3, 4, 5, 6, 7, 8, 9], 1)) == 0


@pytest.mark.parametrize(("length", "found"), [(4, 0), (5, 4), (8, 4), (9, 8)])
def test_last_token_is_always_computed(length: int, found: int) -> None:
    """A prompt known in full still computes its last block: its logits are wanted."""
    pool = BlockPool(16, 4)
    compute(pool, sequence(list(range(12))))
    assert compute(pool, sequence(list(range(length)), 1)) == found


def test_freed_prefix_is_found_again_until_evicted() -> None:
    """A finished prompt's blocks serve the next one, and are given up when memory is short."""
    pool = BlockPool(3, 4)
    old = sequence(list(range(9)))
    compute(pool, old)
    pool.free(old)
    again = sequence(list(range(9)), 1)
    assert pool.lookup(again) == (8, 2)
    assert compute(pool, again) == 8
    pool.free(again)
    other = sequence([7] * 12, 2)
    compute(pool, other)
    assert pool.lookup(sequence(list(range(9)), 3)).num_tokens == 0
    pool.check([other])


def test_least_recently_used_goes_first_and_ends_of_chains_before_their_heads() -> None:
    """Eviction takes the oldest idle prompt's last block first."""
    pool = BlockPool(5, 4)
    older, newer = sequence([1] * 9), sequence([2] * 5, 1)
    compute(pool, older)
    compute(pool, newer)
    pool.free(older)
    pool.free(newer)
    assert pool.free_blocks == 5
    taken = sequence([3] * 12, 2)  # two blocks are free, the third is evicted
    compute(pool, taken)
    assert pool.lookup(sequence([1] * 9, 3)).num_tokens == 4
    assert pool.lookup(sequence([2] * 5, 4)).num_tokens == 4


def test_what_was_not_used_for_long_is_forgotten() -> None:
    """Counted from its last use; use again is a new beginning."""
    pool = BlockPool(16, 4, idle_s=10.0)
    first, second = sequence([1] * 9), sequence([2] * 9, 1)
    for one in (first, second):
        compute(pool, one)
    pool.free(first)
    pool.expire(5.0)
    pool.free(second)
    pool.expire(9.9)
    assert pool.lookup(sequence([1] * 9, 2)).num_tokens == 8
    pool.expire(10.0)
    assert pool.lookup(sequence([1] * 9, 3)).num_tokens == 0
    again = sequence([2] * 9, 4)
    assert compute(pool, again) == 8
    pool.expire(100.0)
    pool.free(again)
    assert pool.lookup(sequence([2] * 9, 5)).num_tokens == 8
    pool.check([])


def test_no_more_is_kept_than_told() -> None:
    """The least recently used goes first, though there is room."""
    pool = BlockPool(16, 4, max_idle_blocks=3)
    older, newer = sequence([1] * 9), sequence([2] * 9, 1)
    for one in (older, newer):
        compute(pool, one)
    pool.free(older)
    pool.free(newer)
    assert pool.lookup(sequence([1] * 9, 2)).num_tokens == 4
    assert pool.lookup(sequence([2] * 9, 3)).num_tokens == 8
    assert pool.free_blocks == 16
    pool.check([])


def test_without_caching_nothing_is_shared() -> None:
    """caching=False: equal prompts get their own blocks."""
    pool = BlockPool(16, 4, caching=False)
    compute(pool, sequence([1] * 9))
    assert compute(pool, sequence([1] * 9, 1)) == 0


def test_hashes_are_the_same_in_every_process() -> None:
    """Golden digest: BLAKE2b-128 of the ids as little-endian 32-bit words, chained."""
    one = sequence([0, 1, 2, 3, 4, 5, 6, 70000])
    extend_hashes(one, 2, 4)
    assert [key.hex() for key in one.block_hashes] == [
        "35ce1b7dc4da8ce51a7591561b3595db",
        "87e99ae2544c72b28da46a71a2ad8140",
    ]


def test_sole_blocks_are_those_nobody_else_holds() -> None:
    """A shared block is not freed by one of its holders."""
    pool = BlockPool(16, 4)
    first, second = sequence([1] * 9), sequence([1] * 9, 1)
    compute(pool, first)
    compute(pool, second)
    assert pool.sole_blocks(first) == 1
    pool.free(second)
    assert pool.sole_blocks(first) == 3


def test_check_finds_a_leak() -> None:
    """The invariant fails when a block has a holder that nobody knows."""
    pool = BlockPool(4, 4)
    compute(pool, sequence([1] * 9))
    with pytest.raises(AssertionError, match="reference counts"):
        pool.check([])


class PoolTraffic(RuleBasedStateMachine):
    """Any order of admitting, growing and freeing keeps the pool whole."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = BlockPool(12, 2, max_idle_blocks=4, idle_s=3.0)
        self.now_s = 0.0
        self.held: list[Sequence] = []
        self.content: dict[int, tuple[int, ...]] = {}  # block -> all ids up to its end

    @rule(prompt=st.lists(st.integers(0, 1), min_size=1, max_size=12), computed=st.floats(0, 1))
    def admit(self, prompt: list[int], computed: float) -> None:
        one = sequence(prompt, len(self.held))
        hit = self.pool.lookup(one)
        missing = blocks_needed(one.num_tokens - hit.num_tokens, 2)
        if missing + hit.num_idle_blocks > self.pool.free_blocks:
            return
        before = self.pool.free_blocks
        assert self.pool.reuse(one) == hit.num_tokens < one.num_tokens
        for index, block in enumerate(one.block_table):
            assert self.content[block] == tuple(prompt[: 2 * (index + 1)])
        self.pool.extend(one, one.num_tokens)
        assert self.pool.free_blocks == before - missing - hit.num_idle_blocks
        one.num_computed_tokens = hit.num_tokens
        self.held.append(one)
        self._compute(one, hit.num_tokens + round(computed * (len(prompt) - hit.num_tokens)))

    @precondition(lambda self: self.held)
    @rule(data=st.data(), token=st.integers(0, 1))
    def decode(self, data: st.DataObject, token: int) -> None:
        one = data.draw(st.sampled_from(self.held))
        if not self.pool.free_blocks:
            return
        one.output_ids.append(token)
        self.pool.extend(one, one.num_tokens)
        self._compute(one, one.num_tokens)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def free(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.held))
        self.held.remove(one)
        sole, before = self.pool.sole_blocks(one), self.pool.free_blocks
        self.pool.free(one)
        assert self.pool.free_blocks == before + sole

    @rule(after_s=st.floats(0, 4))
    def time_passes(self, after_s: float) -> None:
        self.now_s += after_s
        before = self.pool.free_blocks
        self.pool.expire(self.now_s)
        assert self.pool.free_blocks == before

    def _compute(self, one: Sequence, num_tokens: int) -> None:
        one.num_computed_tokens = num_tokens
        ids = one.token_ids(0, num_tokens)
        for index in range(num_tokens // 2):
            self.content[one.block_table[index]] = tuple(ids[: 2 * (index + 1)])
        self.pool.publish(one)

    @invariant()
    def is_whole(self) -> None:
        self.pool.check(self.held)


PoolTraffic.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestPoolTraffic = PoolTraffic.TestCase
