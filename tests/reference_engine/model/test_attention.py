"""How tokens are grouped for attention. That attention is right is test_transformer's matter."""

from hypothesis import given
from hypothesis import strategies as st

from reference_engine.model.attention import Piece, in_rows, runs_of


def test_single_tokens_come_first_and_by_slot() -> None:
    """Decodes before chunks, each by slot: neighbours in memory are neighbours in the pass."""
    pieces = [Piece(4, 0, 9), Piece(3, 7, 1), Piece(0, 5, 2), Piece(1, 2, 1)]
    assert [pieces[i].slot for i in in_rows(pieces)] == [1, 3, 0, 4]


def test_equal_neighbours_attend_together_and_a_gap_parts_them() -> None:
    """One group for adjacent slots, another behind a free slot."""
    pieces = [Piece(slot, 99, 1) for slot in (0, 1, 2, 5, 6)]
    assert runs_of(pieces, slack_tokens=0) == [range(3), range(3, 5)]


def test_a_long_context_is_not_padded_onto_short_ones() -> None:
    """A group ends where padding would cost more than another group."""
    contexts = [100, 110, 3000, 100]
    pieces = [Piece(slot, context - 1, 1) for slot, context in enumerate(contexts)]
    assert runs_of(pieces, slack_tokens=50) == [range(2), range(2, 3), range(3, 4)]
    assert runs_of(pieces, slack_tokens=10_000) == [range(4)]


@given(
    st.dictionaries(st.integers(0, 40), st.integers(0, 4000), min_size=1),
    st.integers(0, 2000),
)
def test_groups_cover_all_in_order_and_waste_at_most_the_slack(
    starts: dict[int, int], slack_tokens: int
) -> None:
    """Groups are neighbouring slots, leave none out, and pad by no more than allowed."""
    pieces = [Piece(slot, starts[slot], 1) for slot in sorted(starts)]
    groups = runs_of(pieces, slack_tokens)
    assert [row for rows in groups for row in rows] == list(range(len(pieces)))
    for rows in groups:
        slots = [pieces[row].slot for row in rows]
        assert slots == list(range(slots[0], slots[0] + len(slots)))
        contexts = [pieces[row].start + 1 for row in rows]
        assert sum(max(contexts) - context for context in contexts) <= slack_tokens
