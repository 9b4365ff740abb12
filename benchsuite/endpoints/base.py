"""The seam to a server: one `Exchange` per request goes through it, never one object per token."""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

from benchsuite.exchange import (
    Chunk,
    Exchange,
    Kind,
    Response,
    TokenCounter,
    TokensFrom,
    Usage,
    http_status,
)
from benchsuite.request import Message, Request

__all__ = [
    "Chunk",
    "ClockError",
    "Connection",
    "Endpoint",
    "Exchange",
    "Kind",
    "Response",
    "TokenCounter",
    "TokensFrom",
    "Usage",
    "http_status",
]


class ClockError(NamedTuple):
    """How far the stamps' clock may be from the loop's."""

    error_s: float = 0.0
    num_steps: int = 0  # jumps of the stamps' clock that were seen; what lay around them not used


class Connection(Protocol):
    """An open way to the server, shared by all requests of one worker."""

    async def send(self, request_id: int, body: bytes) -> Exchange:
        """Send `body` and collect the answer. Never raises for what the server or network does:
        every failure is in the exchange."""
        ...

    def in_flight(self) -> int:
        """How many requests have not ended yet."""
        ...

    def abort(self, error_class: str, error: str) -> None:
        """End every request in flight now: its `send` returns what was read, with this error."""
        ...

    def clock_error(self) -> ClockError:
        """Of the stamps given so far; zero where they are taken on the loop's own clock."""
        ...


class Endpoint(Protocol):
    """A server as the scenario describes it."""

    @property
    def title(self) -> str:
        """For people: the url, or what runs inside."""
        ...

    def notes(self) -> tuple[str, ...]:
        """What a result must say about how it was measured."""
        ...

    @property
    def is_real_time(self) -> bool:
        """Whether waiting takes time; False on a virtual clock."""
        ...

    def loop(self) -> asyncio.AbstractEventLoop:
        """A new event loop of the kind that this endpoint's connection needs."""
        ...

    def started(self, folder: Path) -> "AbstractAsyncContextManager[Endpoint]":
        """Bring up what has to run for the length of the run, and give the endpoint to connect
        to: this one, or the one that was started. `folder` is where it may leave its log."""
        ...

    def connect(self) -> AbstractAsyncContextManager[Connection]:
        """Open; raises EndpointError if the server cannot be reached or is not ready."""
        ...

    def body(self, request: Request, messages: tuple[Message, ...]) -> bytes:
        """The request body. Pure; made before the request is due."""
        ...

    def decode(self, exchange: Exchange, count_tokens: TokenCounter) -> Response:
        """What the bytes mean. Pure; never raises for what a server sent."""
        ...
