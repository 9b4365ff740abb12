"""Slots are handed out without gaps and nothing is overwritten on a move."""

from hypothesis import given
from hypothesis import strategies as st

from reference_engine.executors.seats import Move, Seats
from reference_engine.sequence import SamplingParams, Sequence


def new_sequences(count: int) -> list[Sequence]:
    return [Sequence(i, [1], SamplingParams(max_tokens=1)) for i in range(count)]


def test_a_gap_is_closed_by_the_last() -> None:
    """When one leaves and none comes, the highest slot moves down, with its tokens."""
    seats, sequences = Seats(4), new_sequences(4)
    assert seats.arrange(sequences) == []
    seats[sequences[3]].num_tokens = 17
    seats.leave(sequences[1])
    assert seats.arrange([]) == [Move(source=3, target=1, num_tokens=17)]
    assert seats[sequences[3]].slot == 1
    assert sequences[1] not in seats


def test_a_newcomer_takes_the_gap_and_nobody_moves() -> None:
    """A full house stays as it is when one guest replaces another."""
    seats, sequences = Seats(3), new_sequences(4)
    seats.arrange(sequences[:3])
    seats.leave(sequences[0])
    assert seats.arrange([sequences[3]]) == []
    assert seats[sequences[3]].slot == 0


def test_leaving_without_a_seat_is_nothing() -> None:
    """A sequence cancelled before its first step may be released all the same."""
    seats = Seats(1)
    seats.leave(new_sequences(1)[0])
    assert seats.arrange([]) == []


@given(st.lists(st.tuples(st.integers(0, 5), st.sets(st.integers(0, 7))), max_size=12))
def test_contents_follow_their_sequence(visits: list[tuple[int, set[int]]]) -> None:
    """Whoever comes and goes: slots 0 .. n - 1 are taken, and each holds its own sequence's KV."""
    seats = Seats(8)
    memory: list[Sequence | None] = [None] * 8
    present: list[Sequence] = []
    for arriving, leaving in visits:
        for sequence in [s for i, s in enumerate(present) if i in leaving]:
            present.remove(sequence)
            seats.leave(sequence)
        newcomers = new_sequences(min(arriving, 8 - len(present)))
        for move in seats.arrange(newcomers):
            memory[move.target] = memory[move.source]
        for sequence in newcomers:
            memory[seats[sequence].slot] = sequence
        present += newcomers
        assert sorted(seats[s].slot for s in present) == list(range(len(present)))
        assert all(memory[seats[s].slot] is s for s in present)
