"""First bodies made before they are needed, so that none is made when it is due."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Final, NamedTuple

from benchsuite.loadgen.schedule import Schedule
from benchsuite.request import Message, Request, Session

AHEAD_SESSIONS: Final = 8192  # whose first body is made before it is needed
AHEAD_BYTES: Final = 64 * 1024 * 1024  # of such bodies, at most
FILL_S: Final = 10.0  # spent on them before the run, when they disturb nobody
ENDLESS_FILL_S: Final = 2.0  # where nobody knows how many there will be; longer if not even:
FILL_SESSIONS: Final = 64


class Ready(NamedTuple):
    """A request whose body is made."""

    request: Request
    messages: tuple[Message, ...]
    prompt_tokens: int
    body: bytes


class Next(NamedTuple):
    """A session about to be sent."""

    due_s: float | None
    session: Session
    first: Ready


class Ahead:
    """The schedule with first bodies made before they are needed.

    `fill` makes as many as the bounds allow; what is taken after that is replaced by a thread, so
    that the loop is not held up while a long prompt is made. Without `threads` (virtual time, where
    making takes no time) it is made when it is taken.
    """

    def __init__(
        self,
        schedule: Schedule,
        ready: Callable[[Request], Ready],
        threads: Executor | None,
    ) -> None:
        self._source, self._ready, self._threads = iter(schedule), ready, threads
        self._made: deque[Next] = deque()
        self._fill_s = FILL_S if schedule.num_requests is not None else ENDLESS_FILL_S
        self._num_bytes = 0
        self._is_over = False  # the schedule has no more
        self._one_at_a_time = asyncio.Lock()
        self._refilling: asyncio.Task[None] | None = None

    def fill(self) -> None:
        """Some before the run; a thread goes on with the rest while it begins."""
        if self._threads is None:
            return
        until_s = time.monotonic() + self._fill_s
        while self._has_room():
            if len(self._made) >= FILL_SESSIONS and time.monotonic() > until_s:
                return
            self._keep(self._make())

    async def take(self) -> Next | None:
        """The next session, or None after the last."""
        if not self._made and not self._is_over:
            await self._add()
        if not self._made:
            return None
        item = self._made.popleft()
        self._num_bytes -= len(item.first.body)
        if self._threads is not None and (self._refilling is None or self._refilling.done()):
            self._refilling = asyncio.create_task(self._refill())
        return item

    def close(self) -> None:
        if self._refilling is not None:
            self._refilling.cancel()

    async def _refill(self) -> None:
        while self._has_room():
            await self._add()

    async def _add(self) -> None:
        async with self._one_at_a_time:  # the schedule is one iterator
            if self._threads is None:
                self._keep(self._make())
            else:
                loop = asyncio.get_running_loop()
                self._keep(await loop.run_in_executor(self._threads, self._make))

    def _make(self) -> Next | None:
        due_s, session = next(self._source, (None, None))
        if session is None:
            return None
        return Next(due_s, session, self._ready(session.requests[0]))

    def _keep(self, item: Next | None) -> None:
        if item is None:
            self._is_over = True
        else:
            self._made.append(item)
            self._num_bytes += len(item.first.body)

    def _has_room(self) -> bool:
        is_full = len(self._made) >= AHEAD_SESSIONS or self._num_bytes >= AHEAD_BYTES
        return not (is_full or self._is_over)
