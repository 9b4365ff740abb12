"""The requests that are open, and clients that have stopped reading theirs.

A write to a client that does not read waits, and its tokens wait as numbers: at most as many as it
asked for. Others do not notice. It cannot wait forever, so a client that takes nothing for a while
is dropped.
"""

import asyncio
from asyncio import Transport
from collections.abc import Iterator
from contextlib import contextmanager


class Client:
    """One open request. `writing_since_s` is the loop time at which a write began that still waits,
    else None."""

    __slots__ = ("transport", "writing_since_s")

    def __init__(self, transport: Transport | None) -> None:
        self.transport = transport
        self.writing_since_s: float | None = None


class Clients:
    """All open requests of a server."""

    def __init__(self, stalled_s: float) -> None:
        self._stalled_s = stalled_s
        self._open: set[Client] = set()
        self._all_gone = asyncio.Event()
        self._all_gone.set()

    @contextmanager
    def one(self, transport: Transport | None) -> Iterator[Client]:
        """A request, for as long as it is open."""
        client = Client(transport)
        self._open.add(client)
        self._all_gone.clear()
        try:
            yield client
        finally:
            self._open.discard(client)
            if not self._open:
                self._all_gone.set()

    async def drain(self, within_s: float) -> bool:
        """Wait until no request is open; whether that was so in time."""
        try:
            async with asyncio.timeout(within_s):
                await self._all_gone.wait()
        except TimeoutError:
            return False
        return True

    async def drop_stalled(self) -> None:
        """Cut the connections of those that have stopped reading, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._stalled_s / 4)
            latest_s = loop.time() - self._stalled_s
            for client in self._open:
                since_s = client.writing_since_s
                if since_s is not None and since_s <= latest_s and client.transport is not None:
                    client.transport.abort()
