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
        """Events that are ready; otherwise `now_s` advances by `timeout`."""
        # The first file is the loop's own wake-up pipe, which other threads write to.
        events = super().select(0) if timeout is None or len(self.get_map()) > 1 else []
        if not events:
            if timeout is None:
                raise VirtualDeadlockError(
                    f"at {self.now_s} s of virtual time every task waits and no timer is set "
                    "(threads and sockets do not run on virtual time)"
                )
            self.now_s += max(0.0, timeout)
        return events


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Starts at 0 s. Use it as `asyncio.Runner(loop_factory=VirtualTimeLoop)`."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.now_s
