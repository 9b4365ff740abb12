"""An event loop whose clock jumps to the next timer, so an hour of waiting passes in no time.

An ordinary selector loop otherwise: tasks, timers and callbacks run in the same order as ever, and
the same program gives the same times on every machine.
"""

import asyncio
import selectors


class VirtualDeadlockError(RuntimeError):
    """Everything waits and no timer is set: real time would not help either."""


class _JumpingSelector(selectors.DefaultSelector):
    """Turns the loop's wait for the next timer into a jump of its clock."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Advance by `timeout`. Files are not looked at, but for the loop's own wake-up pipe (other
        threads, signals) before it is told that nothing will ever happen.
        """
        if timeout is not None:
            self.now_s += timeout
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

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.now_s
