"""Readers are woken some at a time, so that a step with a token for a thousand of them holds up
nobody else: between two lots the event loop looks at its sockets and timers.
"""

import asyncio
from collections import deque
from typing import Final

LOT: Final = 64  # readers in one turn of the loop; each takes some 50 us


class Waker:
    """Of one event loop. The first LOT of a turn are woken at once, the others in turns to come."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._left = LOT  # in this turn
        self._waiting: deque[asyncio.Future[None]] = deque()

    def wake(self, reader: asyncio.Future[None]) -> None:
        """Let it go on, in the order of the calls."""
        if self._left == LOT:
            self._loop.call_soon(self._next_turn)
        if self._left:
            self._left -= 1
            _let_go(reader)
        else:
            self._waiting.append(reader)

    def _next_turn(self) -> None:
        self._left = LOT
        if self._waiting:
            self._loop.call_soon(self._next_turn)
        while self._waiting and self._left:
            self._left -= 1
            _let_go(self._waiting.popleft())


def _let_go(reader: asyncio.Future[None]) -> None:
    if not reader.done():
        reader.set_result(None)
