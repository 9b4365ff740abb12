"""The event loop under the load client: an asyncio loop whose selector reads streams itself.

Watched sockets are read inside `select`, before asyncio makes handles and contexts for them, so a
streamed token costs one callback and no task switch. Timers wake a little early and spin for the
rest, since waking up takes the kernel a while.
"""

import asyncio
import select
import selectors
from collections import deque
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, Final, NamedTuple

from benchsuite.endpoints.alarm import Alarm

STALL_S: Final = 0.005  # not looking at the sockets for longer than this is a stall
SPIN_S: Final = 1.5e-4  # before a timer: what waking up takes
LONG_S: Final = 0.05  # to a timer: from here on epoll's own timeout will do, a millisecond short
_READ_MASK: Final = getattr(select, "EPOLLIN", 0) | getattr(select, "EPOLLRDHUP", 0)


class Stalls(NamedTuple):
    """Times longer than STALL_S in which the loop did not look at its sockets; seconds."""

    num: int
    longest_s: float
    total_s: float


class WireSelector(selectors.BaseSelector):
    """epoll, with a fast lane: `watch(fd, read)` calls `read()` from within `select`."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._alarm = Alarm()
        self._epoll.register(self._alarm.fd, select.EPOLLIN | select.EPOLLET)
        self._keys: dict[int, selectors.SelectorKey] = {}
        self._reads: dict[int, Callable[[], None]] = {}
        self._ends: deque[Callable[[], None]] = deque()
        self.forget_stalls()

    def forget_stalls(self) -> None:
        """Count stalls from now."""
        self.stalls = Stalls(0, 0.0, 0.0)
        self._looked_s = monotonic()

    def _stalled(self, for_s: float) -> None:
        num, longest_s, total_s = self.stalls
        self.stalls = Stalls(num + 1, max(longest_s, for_s), total_s + for_s)

    def watch(self, fd: int, read: Callable[[], None]) -> None:
        """Call `read()` whenever `fd` is readable. It must not raise."""
        self._epoll.register(fd, _READ_MASK)
        self._reads[fd] = read

    def unwatch(self, fd: int) -> None:
        del self._reads[fd]
        self._epoll.unregister(fd)

    def end(self, ended: Callable[[], None]) -> None:
        """Call `ended()` in a turn of its own. What an end lets go (stamps, a record, the next
        request) takes as long as dozens of reads: where many streams end together, neither their
        neighbours' bytes nor a request that is due wait for more than one of them.
        """
        self._ends.append(ended)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # Short of the timer: the loop comes back at once and polls until it is due.
        wait_s = -1.0 if timeout is None else max(0.0, timeout - SPIN_S)
        if self._ends:
            wait_s = 0.0
        ready: list[tuple[selectors.SelectorKey, int]] = []
        reads = self._reads
        before_s = monotonic()
        if before_s - self._looked_s > STALL_S:  # busy with what the last look brought
            self._stalled(before_s - self._looked_s)
        poll_s = wait_s
        if wait_s > LONG_S:
            poll_s = wait_s - 1e-3
        elif wait_s > 0:
            self._alarm.set(before_s, before_s + wait_s)
            poll_s = -1.0
        try:
            events = self._epoll.poll(poll_s, len(reads) + len(self._keys) + 1)
        except InterruptedError:
            events = []
        self._looked_s = after_s = monotonic()
        if after_s - before_s > wait_s + STALL_S and wait_s >= 0:  # woken too late
            self._stalled(after_s - before_s - wait_s)
        for fd, event in events:
            read = reads.get(fd)
            if read is not None:
                read()
                continue
            key = self._keys.get(fd)
            if key is not None:
                mask = (selectors.EVENT_WRITE if event & ~select.EPOLLIN else 0) | (
                    selectors.EVENT_READ if event & ~select.EPOLLOUT else 0
                )
                ready.append((key, mask & key.events))
        if self._ends:
            self._ends.popleft()()
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        fd = fileobj if isinstance(fileobj, int) else int(fileobj.fileno())
        if fd in self._keys:
            raise KeyError(f"file descriptor {fd} is registered already")
        key = selectors.SelectorKey(fileobj, fd, events, data)
        self._epoll.register(fd, _mask(events))
        self._keys[fd] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        fd = fileobj if isinstance(fileobj, int) else int(fileobj.fileno())
        key = self._keys.pop(fd)
        try:
            self._epoll.unregister(fd)
        except OSError:
            # The descriptor was closed first; epoll forgot it then.
            return key
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        fd = fileobj if isinstance(fileobj, int) else int(fileobj.fileno())
        key = selectors.SelectorKey(self._keys[fd].fileobj, fd, events, data)
        self._epoll.modify(fd, _mask(events))
        self._keys[fd] = key
        return key

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys[fileobj if isinstance(fileobj, int) else int(fileobj.fileno())]

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys

    def close(self) -> None:
        self._epoll.close()
        self._alarm.close()
        self._keys.clear()
        self._reads.clear()


def _mask(events: int) -> int:
    return (select.EPOLLIN if events & selectors.EVENT_READ else 0) | (
        select.EPOLLOUT if events & selectors.EVENT_WRITE else 0
    )


class WireLoop(asyncio.SelectorEventLoop):
    """An asyncio loop with `watch`; where there is no epoll, `watch` is `add_reader`."""

    def __init__(self) -> None:
        self._wire = WireSelector() if hasattr(select, "epoll") else None
        super().__init__(self._wire)

    def watch(self, fd: int, read: Callable[[], None]) -> None:
        if self._wire is None:
            self.add_reader(fd, read)
        else:
            self._wire.watch(fd, read)

    def end(self, ended: Callable[[], None]) -> None:
        """Call `ended()` soon, one a turn of the loop; where there is no epoll, at once."""
        if self._wire is None:
            ended()
        else:
            self._wire.end(ended)

    def forget_stalls(self) -> None:
        """Count stalls from now."""
        if self._wire is not None:
            self._wire.forget_stalls()

    def stalls(self) -> Stalls | None:
        """Since then; None where there is no epoll."""
        return None if self._wire is None else self._wire.stalls

    def unwatch(self, fd: int) -> None:
        if self._wire is None:
            self.remove_reader(fd)
        else:
            self._wire.unwatch(fd)
