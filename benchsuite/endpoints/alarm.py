"""An alarm that wakes epoll at a moment of the monotonic clock, to microseconds (Linux, timerfd).

epoll's own timeout is in whole milliseconds: who wants to be on time has to wake up to one earlier
and spin, which at 500 sends a second is a third of the client's CPU.
"""

import ctypes
import os
import time
from typing import Final

_ABSOLUTE: Final = 1  # TFD_TIMER_ABSTIME
_FLAGS: Final = os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)  # TFD_NONBLOCK, TFD_CLOEXEC
EARLY_S: Final = 2e-5  # an alarm that is set so little early is left as it is
_Times = ctypes.c_long * 4  # struct itimerspec: interval and moment, seconds and ns of each


class Alarm:
    """`fd` becomes readable at the moment that was set; watch it edge-triggered, never read it."""

    def __init__(self) -> None:
        """Raises OSError or AttributeError where there is no timerfd."""
        libc = ctypes.CDLL(None, use_errno=True)
        self._settime = libc.timerfd_settime
        self.fd: int = libc.timerfd_create(time.CLOCK_MONOTONIC, _FLAGS)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._at_s = 0.0

    def set(self, now_s: float, at_s: float) -> None:
        """Ring at `at_s`, or up to EARLY_S before; `now_s` is what the clock says."""
        if now_s < self._at_s and -EARLY_S <= self._at_s - at_s <= 0:
            return
        seconds = int(at_s)
        moment = _Times(0, 0, seconds, max(1, int((at_s - seconds) * 1e9)))
        if self._settime(self.fd, _ABSOLUTE, moment, None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")
        self._at_s = at_s

    def close(self) -> None:
        os.close(self.fd)
