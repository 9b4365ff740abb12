"""What a workload holds, against numbers that can be had by hand."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchsuite.request import Message, Request, Scripted, Session
from benchsuite.streams import rng
from benchsuite.workloads import description
from benchsuite.workloads.blocks import (
    behind,
    leading,
    num_blocks,
    num_equal,
    packed,
    unpacked,
)
from benchsuite.workloads.description import Spread, fano, gap_cv, spearman
from benchsuite.workloads.formats import Mooncake
from benchsuite.workloads.prefix_cache import BlockKeys, PrefixCache
from benchsuite.workloads.prompts import Blocks, Piece, Pieces
from benchsuite.workloads.tokenizer import load
from benchsuite.workloads.trace import Trace

BUNDLED = load("bundled")
DATA = Path(__file__).parents[2] / "data"


def request(prompt, request_id: int = 0, tokens: int = 32) -> Request:
    return Request(id=request_id, prompt=prompt, prompt_tokens=tokens, max_output_tokens=1)


def pieces(*found: tuple[str, int]) -> Pieces:
    return Pieces(BUNDLED, 1, tuple(Piece((name,), tokens) for name, tokens in found))


def test_poisson_arrivals_have_factors_of_one_and_a_metronome_of_zero() -> None:
    """The definitions: CV of the gaps and Fano factor of the counts."""
    at_s = rng(1, "arrivals").exponential(0.1, 40_000).cumsum()
    assert gap_cv(at_s) == pytest.approx(1, abs=0.02)
    assert fano(at_s, 1.0) == pytest.approx(1, abs=0.07)
    even_s = np.arange(0, 1000, 0.25)
    assert gap_cv(even_s) == pytest.approx(0)
    assert fano(even_s, 10.0) == 0
    assert fano(even_s[:10], 1.0) is None
    assert gap_cv(even_s[:2]) is None


def test_clumps_are_told_by_the_window_that_holds_them() -> None:
    """Ten at once every 10 s: var / mean of the counts in 1 s is 9, in 10 s it is 0."""
    at_s = np.repeat(np.arange(0.0, 1000.0, 10.0), 10)
    assert fano(at_s, 1.0) == pytest.approx(9, rel=0.02)
    assert fano(at_s, 10.0) == 0


def test_rank_correlation() -> None:
    """1 for a rising relation, -1 for a falling one, ties by their mean rank; else None."""
    x = np.array([1.0, 2.0, 3.0, 4.0])
    assert spearman(x, np.exp(x)) == pytest.approx(1)
    assert spearman(x, -x) == pytest.approx(-1)
    assert spearman(x, np.array([1.0, 1.0, 2.0, 2.0])) == pytest.approx(0.8944, abs=1e-4)
    assert spearman(x, np.ones(4)) is None


def test_a_spread_leaves_out_what_nobody_knows() -> None:
    """NaN is no value."""
    found = Spread.of([3.0, float("nan"), 1.0, 2.0])
    assert (found.n, found.mean, found.at["p50"], found.at["p100"]) == (3, 2.0, 2.0, 3.0)
    assert Spread.of([]).mean is None


def test_equal_beginnings_are_equal_blocks() -> None:
    """Up to the first block that differs; a partial block is none."""
    keys = BlockKeys(16, BUNDLED.count)
    one, two = keys.of(pieces(("a", 40), ("b", 10))), keys.of(pieces(("a", 40), ("c", 10)))
    assert len(one) == len(two) == 3
    assert one[:2] == two[:2]
    assert one[2] != two[2]
    assert keys.of(pieces(("a", 15))) == ()
    assert keys.of(pieces(("a", 64)))[:2] == one[:2]


def test_a_conversation_begins_with_what_was_said() -> None:
    """Messages are known by their words and roles."""
    keys = BlockKeys(4, BUNDLED.count)
    said = Message("user", "one two three four five six seven eight")
    more = Message("assistant", "nine ten eleven twelve thirteen")
    before, after = keys.of(Scripted((said,), 8)), keys.of(Scripted((said, more), 13))
    assert before == after[: len(before)]
    assert keys.of(Scripted((Message("system", said.content),), 8))[0] != before[0]


def test_hash_ids_mean_something_within_their_scope() -> None:
    """Ids of a trace are its blocks; of another size they are cut anew, and shared as before."""
    first = Blocks(BUNDLED, 1, ("block", "x"), ((1, 4),), 32, 128, ("tail",))
    other = Blocks(BUNDLED, 1, ("block", "y"), ((1, 4),), 32, 128, ("tail",))
    own = BlockKeys(None, BUNDLED.count)
    assert num_blocks(own.of(first)) == 4
    assert not set(unpacked(own.of(first))) & set(unpacked(own.of(other)))
    finer = BlockKeys(16, BUNDLED.count)
    assert len(finer.of(first)) == 8
    longer = Blocks(BUNDLED, 1, ("block", "x"), ((1, 4), 9), 32, 160, ("tail",))
    assert finer.of(longer)[:8] == finer.of(first)


@given(
    st.lists(st.integers(0, 6), max_size=12),
    st.lists(st.integers(0, 6), max_size=12),
    st.integers(0, 14),
)
def test_packed_ids_are_the_ids(ids: list[int], others: list[int], num: int) -> None:
    """However packed: cut in two, packed again, and compared with others."""
    runs = packed(ids)
    assert list(unpacked(runs)) == ids
    front, back = leading(runs, num), behind(runs, num)
    assert list(unpacked(front)) == ids[:num]
    assert list(unpacked(back)) == ids[num:]
    assert packed((*front, *back)) == runs
    differs = (at for at, (one, other) in enumerate(zip(ids, others)) if one != other)  # noqa: B905
    assert num_equal(runs, packed(others)) == next(differs, min(len(ids), len(others)))


@given(st.lists(st.lists(st.integers(0, 12), max_size=6), max_size=12), st.integers(1, 8))
@settings(max_examples=60)
def test_a_smaller_cache_never_finds_more(prompts: list[list[int]], size: int) -> None:
    """Of prompts whose blocks are chained; and never holds more than fits."""
    chains = [[hash_of(prompt[: i + 1]) for i in range(len(prompt))] for prompt in prompts]
    endless, small = PrefixCache(None), PrefixCache(size)
    seen: set[int] = set()
    for chain in chains:
        expected = next((i for i, key in enumerate(chain) if key not in seen), len(chain))
        assert endless.ask(packed(chain)) == expected
        assert small.ask(packed(chain)) <= min(expected, size)
        seen.update(chain)
    assert len(small._blocks) <= size


def hash_of(chain: list[int]) -> int:
    return int("1" + "".join(f"{one:02d}" for one in chain))


def test_the_ends_of_prompts_are_forgotten_first() -> None:
    """A shared beginning stays as long as it is asked for."""
    cache = PrefixCache(3)
    assert cache.ask(((1, 3),)) == 0
    assert cache.ask((1, 2, 4)) == 2
    assert cache.ask(((1, 3),)) == 2
    assert cache.ask((9,)) == 0
    assert cache.ask((1, 2)) == 2


def test_a_trace_is_described() -> None:
    """Ten Mooncake requests: the first block of 512 tokens is all that they share at least."""
    trace = Trace(source=Mooncake(path=str(DATA / "mooncake.jsonl")))
    sessions = list(trace.sessions(BUNDLED, 1))
    starts_s = [session.start_s or 0.0 for session in sessions]
    found, columns = description.describe(sessions, starts_s, BUNDLED.count, cache_tokens=(512,))
    assert (found.num_requests, found.num_sessions, found.rate) == (10, 10, None)
    total = sum(columns.prompt_tokens)
    ids = [list(row.hash_ids) for row in trace.source.rows()]  # type: ignore[union-attr]
    seen: set[int] = set()
    hits = 0
    for row in ids:
        hits += next((i for i, one in enumerate(row) if one not in seen), len(row)) * 512
        seen.update(row)
    endless, small = found.prefix_hits
    assert endless.share == pytest.approx(hits / total)
    assert small.share == pytest.approx(9 * 512 / total)


def test_prompts_meet_the_cache_in_time() -> None:
    """A later turn after what came in its gap; what forked, by its own times."""
    talk = [pieces(("a", 16)), pieces(("a", 16), ("b", 16))]
    session = Session(0, (request(talk[0], 0, 16), request(talk[1], 1)), gaps_s=(5.0,))
    between = Session(1, (request(pieces(("a", 16), ("b", 16)), 2),))
    found, _ = description.describe([session, between], [0.0, 1.0], BUNDLED.count)
    assert found.prefix_hits[0].share == pytest.approx((0 + 16 + 32) / 80)
    assert (found.gaps_s.n, found.turns.mean) == (1, 1.5)
