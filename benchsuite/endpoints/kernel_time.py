"""When the kernel received the bytes, on the loop's monotonic clock (Linux, SO_TIMESTAMPING).

A read returns one stamp: the arrival of its last byte, in CLOCK_REALTIME. It does not matter how
late the program reads. Pairs of (realtime, monotonic) samples turn it into monotonic time; a step
of the wall clock between two samples is seen, and the stamps around it are not used.
Documentation/networking/timestamping.rst of the Linux kernel.
"""

import socket
import struct
import sys
import time
from collections.abc import Sequence
from typing import Final

import numpy as np

_SO_TIMESTAMPING: Final = 37
_RX_SOFTWARE: Final = 1 << 3
_SOFTWARE: Final = 1 << 4
CONTROL_BYTES: Final = 128  # room for one control message of three timespecs
MAX_STEP_S: Final = 1e-3  # more than slewing does in a second (500 ppm)
_TIMESPECS: Final = struct.Struct("@6q")


def enable(sock: socket.socket) -> bool:
    """Ask for receive stamps; False where the platform does not give them."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, _RX_SOFTWARE | _SOFTWARE)
    except OSError:
        return False
    return True


def realtime_ns(control: Sequence[tuple[int, int, bytes]]) -> int:
    """The stamp in a `recvmsg` control list, ns of CLOCK_REALTIME; 0 if there is none."""
    for level, kind, data in control:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPING and len(data) >= 16:
            seconds, nanoseconds = _TIMESPECS.unpack_from(data.ljust(48, b"\0"))[:2]
            return int(seconds) * 1_000_000_000 + int(nanoseconds)
    return 0


class KernelClock:
    """Turns CLOCK_REALTIME into the monotonic clock by pairs of samples taken along the run."""

    def __init__(self) -> None:
        self._realtime_ns: list[int] = []
        self._offset_ns: list[int] = []
        self.num_steps = 0  # jumps of the wall clock that were seen
        self._unusable: list[tuple[int, int]] = []  # realtime ranges around a step
        self.sample()

    def sample(self) -> None:
        """Take a pair: the tightest of five, so that a preempted one does not count."""
        best = None
        for _ in range(5):
            before = time.monotonic_ns()
            wall = time.time_ns()
            after = time.monotonic_ns()
            if best is None or after - before < best[0]:
                best = (after - before, wall, (before + after) // 2 - wall)
        assert best is not None
        _, wall, offset = best
        if self._offset_ns and abs(offset - self._offset_ns[-1]) > MAX_STEP_S * 1e9:
            self.num_steps += 1
            last = self._realtime_ns[-1]
            self._unusable.append((min(last, wall), max(last, wall)))
        if not self._realtime_ns or wall > self._realtime_ns[-1]:
            self._realtime_ns.append(wall)
            self._offset_ns.append(offset)
        else:
            # The wall clock went back: what was sampled ahead of it no longer orders.
            self._realtime_ns, self._offset_ns = [wall], [offset]

    def monotonic_s(self, stamps_ns: Sequence[int], user_s: Sequence[float]) -> list[float]:
        """Kernel stamps as monotonic seconds; the program's own where one cannot be used."""
        wall = np.asarray(stamps_ns, dtype=np.int64)
        base = self._realtime_ns[0]
        offset = np.interp(
            (wall - base).astype(np.float64),
            np.asarray([sample - base for sample in self._realtime_ns], dtype=np.float64),
            np.asarray(self._offset_ns, dtype=np.float64) - self._offset_ns[0],
        )
        monotonic = (wall + self._offset_ns[0]).astype(np.float64) * 1e-9 + offset * 1e-9
        usable = wall > 0
        for start, end in self._unusable:
            usable &= (wall < start) | (wall > end)
        return np.where(usable, monotonic, np.asarray(user_s, dtype=np.float64)).tolist()  # type: ignore[no-any-return]
