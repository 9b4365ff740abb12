"""An event loop whose clock jumps to the next timer, so an hour of waiting passes in no time.

An ordinary selector loop otherwise: tasks, timers and callbacks run in the same order as ever, and
the same program gives the same times on every machine.
"""

import asyncio
import selectors
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final

_CLOSE_S: Final = 1e-6  # timers so close may fire together


class VirtualDeadlockError(RuntimeError):
    """Everything waits and no timer is set: real time would not help either."""


class _JumpingSelector(selectors.DefaultSelector):
    """Turns the loop's wait for the next timer into a jump of its clock."""

    now_s = 0.0
    next_s: Callable[[], float]  # when the next timer is due

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Advance to the next timer, `timeout` ahead, to the last bit. Files are not looked at, but
        for the loop's own wake-up pipe (other threads, signals) before it is told that nothing
        will ever happen.
        """
        if timeout is not None:
            if timeout > 0:
                self.now_s = self.next_s()
            return []
        events = super().select(0)
        if not events:
            raise VirtualDeadlockError(
                f"at {self.now_s} s of virtual time every task waits and no timer is set "
                "(threads and sockets do not run on virtual time)"
            )
        return events


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Starts at 0 s. Use it as `asyncio.Runner(loop_factory=VirtualTimeLoop)`."""

    # What asyncio's loops call them, in all versions so far: `skip` has to know whether anything is
    # due, and no public method tells. A loop without them fails at its first wait, not silently.
    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]  # a heap

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        self._jumping.next_s = lambda: self._scheduled[0].when()

    def skip(self, delay_s: float) -> bool:
        """What `await asyncio.sleep(delay_s)` does, at once, if nothing else could happen
        meanwhile; whether it was so. To the last bit where the sleep would have ended."""
        return self.skip_to(self.time() + delay_s)

    def skip_to(self, end_s: float) -> bool:
        """As `skip`, to a given time."""
        next_s = self._scheduled[0].when() if self._scheduled else inf
        if self._ready or next_s <= end_s + _CLOSE_S:
            return False
        self._jumping.now_s = end_s
        return True

    def is_stuck(self) -> bool:
        """Nothing but the running task can bring anything about: no other is ready, no timer is
        set. Whoever only looks on, every so often, must not set one then: it would go on for ever
        where a deadlock should be told."""
        return not self._ready and all(timer.cancelled() for timer in self._scheduled)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.now_s
