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
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

_SO_TIMESTAMPING: Final = 37
_RX_SOFTWARE: Final = 1 << 3
_SOFTWARE: Final = 1 << 4
CONTROL_BYTES: Final = 128  # room for one control message of three timespecs
MAX_STEP_S: Final = 1e-3  # more than slewing does in a second (500 ppm)
STEP_LAG_NS: Final = 1_000_000_000  # what came before a step may be read so long after it
PROBE_S: Final = 1e-3  # how long a probe lies unread
BEGIN_S: Final = 0.5  # the worker that switches stamping on has had its turn by then
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


class Stamping:
    """Keeps the kernel stamping, from `begin` until `close`.

    The kernel begins to stamp some time after the first socket has asked for it (it patches its
    own code, and leaves that to a worker), and stops after the last such socket has closed; what
    arrives in between is stamped when it is read, which nobody can tell from an arrival. So one
    socket asks throughout, and nothing is believed before a datagram to itself has been stamped
    at its arrival: net_enable_timestamp() in net/core/dev.c.
    """

    def __init__(self) -> None:
        self._probe: socket.socket | None = None

    def begin(self) -> bool:
        """Whether stamps are of arrivals; waits until they are, for up to BEGIN_S."""
        self._probe = probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        if not enable(probe):
            return False
        probe.bind(("127.0.0.1", 0))
        probe.settimeout(BEGIN_S)
        until_s = time.monotonic() + BEGIN_S
        while time.monotonic() < until_s:
            try:
                if self._stamps_arrivals(probe):
                    return True
            except OSError:
                return False  # no loopback here
        return False

    @staticmethod
    def _stamps_arrivals(probe: socket.socket) -> bool:
        """Sent, then left alone for a while: a stamp from before the while is of the arrival."""
        probe.sendto(b"?", probe.getsockname())
        sent_ns = time.time_ns()
        time.sleep(PROBE_S)
        before_read_ns = time.time_ns()
        _, control, _, _ = probe.recvmsg(1, CONTROL_BYTES)
        return 0 < realtime_ns(control) <= (sent_ns + before_read_ns) // 2

    def close(self) -> None:
        if self._probe is not None:
            self._probe.close()


def realtime_ns(control: Sequence[tuple[int, int, bytes]]) -> int:
    """The stamp in a `recvmsg` control list, ns of CLOCK_REALTIME; 0 if there is none."""
    for level, kind, data in control:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPING and len(data) >= 16:
            seconds, nanoseconds = _TIMESPECS.unpack_from(data.ljust(48, b"\0"))[:2]
            return int(seconds) * 1_000_000_000 + int(nanoseconds)
    return 0


class KernelClock:
    """Turns CLOCK_REALTIME into the monotonic clock by pairs of samples taken along the run.

    Which pairs belong to a stamp is told by when the program read it, on the clock that never
    steps.
    """

    def __init__(self) -> None:
        self._at_ns: list[int] = []  # monotonic
        self._offset_ns: list[int] = []  # monotonic - realtime
        self.num_steps = 0  # jumps of the wall clock that were seen
        self.error_s = 0.0  # half the width of the widest pair: how well the two clocks are known
        self._unusable_ns: list[tuple[int, int]] = []  # when they were, monotonic
        self.sample()

    def sample(self) -> None:
        """Take a pair: the tightest of five, so that a preempted one does not count."""
        best = None
        for _ in range(5):
            before = time.monotonic_ns()
            wall = time.time_ns()
            after = time.monotonic_ns()
            if best is None or after - before < best[0]:
                best = (after - before, before, (before + after) // 2 - wall)
        assert best is not None
        width, at, offset = best
        self.error_s = max(self.error_s, width * 0.5e-9)
        if self._offset_ns and abs(offset - self._offset_ns[-1]) > MAX_STEP_S * 1e9:
            self.num_steps += 1
            self._unusable_ns.append((self._at_ns[-1], at + STEP_LAG_NS))
        self._at_ns.append(at)
        self._offset_ns.append(offset)

    def notice_step(self) -> None:
        """Take a pair now if the wall clock is not where the last one has it."""
        offset = time.monotonic_ns() - time.time_ns()
        if abs(offset - self._offset_ns[-1]) > MAX_STEP_S * 1e9:
            self.sample()

    def monotonic_s(self, stamps_ns: Sequence[int], user_s: Sequence[float]) -> NDArray[np.float64]:
        """Kernel stamps as monotonic seconds; the program's own where one cannot be used."""
        wall, user = np.asarray(stamps_ns, dtype=np.int64), np.asarray(user_s, dtype=np.float64)
        first = max(0, bisect_right(self._at_ns, user_s[0] * 1e9) - 1)
        last = bisect_left(self._at_ns, user_s[-1] * 1e9) + 1
        base = self._offset_ns[first]
        offset = np.interp(
            user,
            np.asarray(self._at_ns[first:last], dtype=np.float64) * 1e-9,
            [float(sample - base) * 1e-9 for sample in self._offset_ns[first:last]],
        )
        monotonic = (wall + base).astype(np.float64) * 1e-9 + offset
        usable = (wall > 0) & (monotonic < user + MAX_STEP_S)
        for start, end in self._unusable_ns:
            usable &= (user < start * 1e-9) | (user > end * 1e-9)
        return np.where(usable, monotonic, user)
