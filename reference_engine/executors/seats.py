"""Which sequence sits in which KV slot. Knows nothing of tensors.

Those that sit are kept together in the lowest slots: attention over neighbours is one operation,
and a gap would cost one more per layer and step; closing it is a single copy.
"""

from collections.abc import ItemsView
from collections.abc import Sequence as Seq
from typing import NamedTuple

from reference_engine.sequence import Sequence


class Seat:
    """A slot, and how many tokens of it are filled."""

    __slots__ = ("num_tokens", "slot")

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.num_tokens = 0


class Move(NamedTuple):
    """Copy `num_tokens` from one slot to another."""

    source: int
    target: int
    num_tokens: int


class Seats:
    """At most `num_slots` sequences."""

    def __init__(self, num_slots: int) -> None:
        self._num_slots = num_slots
        self._seats: dict[Sequence, Seat] = {}
        self._has_gaps = False

    def __contains__(self, sequence: Sequence) -> bool:
        return sequence in self._seats

    def __getitem__(self, sequence: Sequence) -> Seat:
        return self._seats[sequence]

    def items(self) -> ItemsView[Sequence, Seat]:
        """Everyone who sits, with the seat."""
        return self._seats.items()

    def leave(self, sequence: Sequence) -> None:
        """Free its slot, if it has one."""
        if self._seats.pop(sequence, None) is not None:
            self._has_gaps = True

    def arrange(self, newcomers: Seq[Sequence]) -> list[Move]:
        """Seat `newcomers` and close gaps: n sequences then sit in slots 0 .. n - 1.

        The moves are to be made before the newcomers' slots are written.
        """
        if not newcomers and not self._has_gaps:
            return []
        count = len(self._seats) + len(newcomers)
        assert count <= self._num_slots, f"{count} sequences for {self._num_slots} KV slots"
        taken = {seat.slot for seat in self._seats.values()}
        gaps = [slot for slot in range(count) if slot not in taken]
        outside = [seat for seat in self._seats.values() if seat.slot >= count]
        moves = []
        for seat in outside:
            target = gaps.pop(0)
            moves.append(Move(seat.slot, target, seat.num_tokens))
            seat.slot = target
        for sequence, slot in zip(newcomers, gaps, strict=True):
            self._seats[sequence] = Seat(slot)
        self._has_gaps = False
        return moves
