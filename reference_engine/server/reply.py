"""What a handler gives the transport: a whole body, or events as they come."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Final, NamedTuple, Protocol

import msgspec

from reference_engine.server.formats import Writer

JSON: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream; charset=utf-8"
PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"


class Told(Protocol):
    """What a stream is the telling of."""

    def cancel(self) -> None:
        """Free what still runs."""
        ...

    def speaker(self) -> int | None:
        """Id of the sequence whose text is in the last event; None if there is none in it."""
        ...

    def events(self, writer: Writer) -> AsyncGenerator[bytes, None]:
        """As they come."""
        ...

    async def gathered(self) -> bool:
        """Wait, if nothing is lost by it, until all tokens are there; whether it was."""
        ...

    def at_once(self, writer: Writer) -> tuple[list[bytes], list[float]] | None:
        """All events where the tokens were gathered, and when each could be told, in seconds;
        None where they have to be told one by one."""
        ...

    def at_s(self) -> float:
        """When the last event could be told, where the tokens were gathered."""
        ...


class EventStream:
    """Server-sent events of one answer. `aclose` cancels its sequence, begun or not."""

    def __init__(self, told: Told, writer: Writer) -> None:
        self.told, self._writer = told, writer
        self._events = told.events(writer)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._events

    def at_once(self) -> tuple[list[bytes], list[float]] | None:
        """In place of iterating; see `Told`."""
        return self.told.at_once(self._writer)

    async def aclose(self) -> None:
        await self._events.aclose()
        self.told.cancel()  # closing a generator that never began runs none of its code


class Reply(NamedTuple):
    """A whole body, or complete server-sent events as they come (at least one an item)."""

    status: int
    content_type: str
    body: bytes | EventStream
    headers: Mapping[str, str] = {}


def as_json(answer: msgspec.Struct) -> Reply:
    """The answer as a body."""
    return Reply(200, JSON, msgspec.json.encode(answer))
