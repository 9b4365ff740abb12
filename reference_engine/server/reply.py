"""What a handler gives the transport: a whole body, or events as they come."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Final, NamedTuple

import msgspec

JSON: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream; charset=utf-8"
PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"


class EventStream:
    """Server-sent events of one answer. `aclose` cancels its sequence, begun or not; `speaker`
    tells whose text is in the last event: a sequence's id, None where there is none in it."""

    def __init__(
        self,
        events: AsyncGenerator[bytes, None],
        cancel: Callable[[], None],
        speaker: Callable[[], int | None],
    ) -> None:
        self._events, self._cancel, self.speaker = events, cancel, speaker

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._events

    async def aclose(self) -> None:
        await self._events.aclose()
        self._cancel()  # closing a generator that never began runs none of its code


class Reply(NamedTuple):
    """A whole body, or complete server-sent events as they come (at least one an item)."""

    status: int
    content_type: str
    body: bytes | EventStream
    headers: Mapping[str, str] = {}


def as_json(answer: msgspec.Struct) -> Reply:
    """The answer as a body."""
    return Reply(200, JSON, msgspec.json.encode(answer))
