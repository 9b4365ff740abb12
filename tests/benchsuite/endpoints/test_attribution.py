"""Tokens over chunks: the sum is the total, whatever the chunks are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsuite.endpoints.attribution import attribute, in_proportion
from tests.dialects import count_tokens

texts = st.lists(st.text(min_size=1, max_size=8), max_size=12)


@given(texts, st.integers(1, 60))
def test_tokens_sum_to_the_total(pieces: list[str], total: int) -> None:
    """Every token of the server's total is in some chunk; no chunk has less than its due."""
    tokens, tokens_from = attribute(pieces, [None] * len(pieces), total, count_tokens)
    assert tokens_from == "usage"
    assert sum(tokens) == (total if pieces else 0)
    assert all(count >= (1 if total >= len(pieces) else 0) for count in tokens)
    if pieces:
        assert tokens[0] >= 1
    if total > 1 and pieces:
        assert tokens[-1] >= 1


@given(st.lists(st.lists(st.sampled_from(["a ", "bb "]), min_size=1, max_size=5), min_size=1))
def test_an_exact_tokenizer_gives_the_exact_tokens(groups: list[list[str]]) -> None:
    """Where our count of the chunks is the server's total, each chunk has its own count."""
    pieces = ["".join(group) for group in groups]
    exact = [len(group) for group in groups]
    assert list(attribute(pieces, [None] * len(pieces), sum(exact), count_tokens)[0]) == exact


@given(st.lists(st.integers(1, 9), min_size=2, max_size=12), st.integers(0, 3))
def test_running_usage_is_exact(steps: list[int], rest: int) -> None:
    """Differences of running counts are the chunks' tokens; what follows belongs to the last."""
    running = [sum(steps[: i + 1]) for i in range(len(steps))]
    tokens, tokens_from = attribute(["x"] * len(steps), running, running[-1] + rest, count_tokens)
    assert tokens_from == "running_usage"
    assert list(tokens) == [*steps[:-1], steps[-1] + rest]


@pytest.mark.parametrize(
    ("num_chunks", "total", "expected"),
    [
        (3, 3, [1, 1, 1]),
        (3, 4, [1, 1, 2]),  # the end-of-sequence token, counted and not sent
        (3, 8, [2, 3, 3]),
        (1, 5, [5]),
        (1, 1, [1]),
        (5, 1, [1, 0, 0, 0, 0]),
        (5, 2, [1, 0, 0, 0, 1]),
        (5, 3, [1, 0, 1, 0, 1]),
        (16, 10, [1, 1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 1, 0, 1, 0, 1]),
    ],
)
def test_equal_chunks(num_chunks: int, total: int, expected: list[int]) -> None:
    """Rows of the rule for chunks of one word each."""
    assert (
        list(attribute(["w "] * num_chunks, [None] * num_chunks, total, count_tokens)[0])
        == expected
    )


@pytest.mark.parametrize(
    ("num_chunks", "total"), [(15, 16), (62, 64), (63, 64), (1002, 1024), (16, 10)]
)
def test_counts_seen_on_real_servers(num_chunks: int, total: int) -> None:
    """Fewer or more chunks than tokens, as real engines and proxies send them."""
    pieces = ["w "] * (num_chunks - 1) + ["\U0001f600"]
    tokens, _ = attribute(pieces, [None] * num_chunks, total, count_tokens)
    assert sum(tokens) == total
    assert max(tokens[:-1]) == 1


def test_held_back_bytes_belong_to_their_character() -> None:
    """Tokens that made no text of their own are in the chunk whose character they completed."""
    assert list(attribute(["a", "\u20ac", "b"], [None] * 3, 5, count_tokens)[0]) == [1, 3, 1]


@pytest.mark.parametrize(
    ("running", "total"),
    [
        ([1, None, 3], 3),  # a chunk without
        ([3, 3, 3], 3),  # the total on every chunk
        ([0, 1, 2], 3),  # counts from before the chunk
        ([1, 3, 2], 3),  # falls
        ([1, 2, 4], 3),  # beyond the total
    ],
)
def test_counts_that_do_not_run_are_not_used(running: list[int | None], total: int) -> None:
    """Running counts that contradict themselves leave only the total to believe."""
    tokens, tokens_from = attribute(["a", "b", "c"], running, total, count_tokens)
    assert (list(tokens), tokens_from) == ([1, 1, 1], "usage")


def test_running_usage_may_stand_still() -> None:
    """One token can come as two chunks (a tool's name, then its arguments): the second has none."""
    tokens, tokens_from = attribute(["f", "(", "x"], [1, 1, 2], 2, count_tokens)
    assert (list(tokens), tokens_from) == ([1, 0, 1], "running_usage")


def test_without_usage_the_tokenizer_counts_the_whole_text() -> None:
    """Not chunk by chunk: words cut into pieces are not more tokens than the text has."""
    tokens, tokens_from = attribute(["hel", "lo ", "wor", "ld"], [None] * 4, None, count_tokens)
    assert (list(tokens), tokens_from) == ([1, 0, 0, 1], "tokenizer")


@pytest.mark.parametrize("total", [None, 0])
def test_chunks_are_counted_only_when_nothing_else_is_known(total: int | None) -> None:
    """A server that says 0 for a text it sent is not believed, nor a tokenizer that does."""
    tokens, tokens_from = attribute(["a", "b"], [None, None], total, lambda text: 0)
    assert (list(tokens), tokens_from) == ([1, 1], "chunks")


def test_no_chunks_have_no_tokens() -> None:
    """A total without any text has no chunk to go to."""
    assert attribute([], [], 5, count_tokens) == ([], "usage")
    assert attribute([], [], None, count_tokens) == ([], "tokenizer")


def test_the_tokenizer_is_asked_once_for_equal_texts() -> None:
    """Chunks are mostly words of one vocabulary; a tokenizer is slow."""
    asked: list[str] = []

    def count(text: str) -> int:
        asked.append(text)
        return 2

    attribute([" the", " a"] * 50, [None] * 100, 150, count)
    assert sorted(asked) == [" a", " the"]


@given(st.lists(st.integers(0, 9), max_size=20), st.integers(1, 5), st.integers(1, 500))
def test_tokens_in_proportion(rest: list[int], first: int, total: int) -> None:
    """The sum is the total, the first chunk keeps a token, no chunk is off by more than one."""
    own = [first, *rest]
    tokens = in_proportion(own, total)
    assert (sum(tokens), tokens[0] > 0) == (total, True)
    assert all(abs(n - total * m / sum(own)) < 1 for n, m in zip(tokens, own, strict=True))
