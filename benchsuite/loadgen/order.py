"""Which request of a session may go, now that others have ended. Pure: no clock, no network."""

from collections.abc import Sequence
from typing import Protocol

from benchsuite.request import Session


class Order(Protocol):
    """One session under way: its requests leave here as the last that they wait for ends.

    Every request is given out once: as one that begins (`roots`, `ended`), or as one that will
    never be sent (`lost`).
    """

    def roots(self) -> Sequence[int]:
        """Those that wait for the session's start alone; request 0 is the first of them."""
        ...

    def waiting_for(self, turn: int) -> Sequence[int]:
        """Those that wait for `turn`, and perhaps for others beside it."""
        ...

    def due_s(self, turn: int) -> float:
        """When the last that it waits for ended, plus its gap; not before its time in the session.

        For requests that were let go.
        """
        ...

    def ended(self, turn: int, finished_s: float) -> Sequence[int]:
        """Those that waited for nothing but `turn` any more."""
        ...

    def lost(self, turn: int) -> Sequence[int]:
        """Those that wait for `turn` at any remove, in order, without those lost before."""
        ...


def order(session: Session, start_s: float) -> Order:
    """`start_s`: when the session began."""
    is_line = session.after is None and not session.earliest_s
    return Line(session) if is_line else Graph(session, start_s)


class Line:
    """Each waits for the one before it: nearly every session, so nothing is kept by request."""

    def __init__(self, session: Session) -> None:
        self._gaps_s, self._end = session.gaps_s, len(session.requests)
        self._finished_s = 0.0  # of the latest

    def roots(self) -> Sequence[int]:
        return (0,)

    def waiting_for(self, turn: int) -> Sequence[int]:
        return (turn + 1,) if turn + 1 < self._end else ()

    def due_s(self, turn: int) -> float:
        return self._finished_s + self._gaps_s[turn - 1]

    def ended(self, turn: int, finished_s: float) -> Sequence[int]:
        self._finished_s = finished_s
        return self.waiting_for(turn)

    def lost(self, turn: int) -> Sequence[int]:
        return range(turn + 1, self._end)


class Graph:
    """Requests that fork and join, or have a time of their own."""

    def __init__(self, session: Session, start_s: float) -> None:
        self._session, self._start_s = session, start_s
        num = len(session.requests)
        self._missing = [len(session.waits_for(turn)) for turn in range(num)]
        self._base_s = [start_s] * num  # when the last parent so far ended
        self._is_lost = [False] * num
        self._children: list[list[int]] = [[] for _ in range(num)]
        for turn in range(num):
            for parent in session.waits_for(turn):
                self._children[parent].append(turn)

    def roots(self) -> Sequence[int]:
        return [turn for turn, missing in enumerate(self._missing) if missing == 0]

    def waiting_for(self, turn: int) -> Sequence[int]:
        return self._children[turn]

    def due_s(self, turn: int) -> float:
        due_s = self._base_s[turn] + self._session.gaps_s[turn - 1]
        if not self._session.earliest_s:
            return due_s
        return max(due_s, self._start_s + self._session.earliest_s[turn - 1])

    def ended(self, turn: int, finished_s: float) -> Sequence[int]:
        free = []
        for child in self._children[turn]:
            self._base_s[child] = max(self._base_s[child], finished_s)
            self._missing[child] -= 1
            if self._missing[child] == 0 and not self._is_lost[child]:
                free.append(child)
        return free

    def lost(self, turn: int) -> Sequence[int]:
        found = []
        reached = [turn]
        while reached:
            for child in self._children[reached.pop()]:
                if not self._is_lost[child]:
                    self._is_lost[child] = True
                    reached.append(child)
                    found.append(child)
        return sorted(found)
