"""The seam to a server: one `Exchange` per request goes through it, never one object per token.

On the hot path a read is stamped and stored as it came. What the bytes mean is worked out by
`decode`, a pure function of the exchange, once the stream has ended (usually after the run).
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from enum import IntEnum
from typing import Literal, NamedTuple, Protocol

from msgspec import Struct

from benchsuite.request import Message, Request

StampSource = Literal["kernel", "user", "virtual"]
Framing = Literal["http", "none"]
TokensFrom = Literal["usage", "running_usage", "tokenizer", "chunks"]


TokenCounter = Callable[[str], int]
"""Tokens of a text under the scenario's tokenizer."""


class Exchange(Struct, kw_only=True):
    """What happened on the wire for one request. Times are seconds on the loop's clock.

    `reads[i]` arrived at `read_s[i]`; `lag_s[i]` is how much later the program saw it
    (user stamp - kernel stamp), empty where there is no kernel stamp.
    `framing`: "http" if the reads hold the raw HTTP/1.1 response, head and chunk sizes included;
    "none" if they hold the body alone.
    """

    request_id: int
    stamp_source: StampSource
    framing: Framing
    connect_s: float = 0.0  # spent opening the connection (TCP and TLS); 0 when it was reused
    sent_s: float | None = None  # just before the first byte of the request left
    reads: list[bytes] = []
    read_s: list[float] = []
    lag_s: list[float] = []
    finished_s: float | None = None  # end of the response, or when it failed
    http_status: int | None = None
    error_class: str | None = None  # None: the transport saw nothing wrong
    error: str | None = None


class Kind(IntEnum):
    """What a chunk carried."""

    CONTENT = 0
    REASONING = 1
    TOOL_CALL = 2


class Usage(NamedTuple):
    """Token counts as the server reports them; None where it does not."""

    prompt_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None


class Chunk(NamedTuple):
    """A piece of the answer that carried generated text. Role-only and empty ones are none."""

    read: int  # index into Exchange.read_s; chunks that came in one read share it
    kind: Kind
    text: str
    tokens: int


class Response(NamedTuple):
    """What an exchange decodes to."""

    chunks: tuple[Chunk, ...]
    usage: Usage | None
    tokens_from: TokensFrom
    finish_reason: str | None
    error_class: str | None  # the transport's, or what the body says
    error: str | None
    server_s: Mapping[str, float] = {}  # stage times, where the server reports them

    @property
    def text(self) -> str:
        """The visible answer."""
        return "".join(chunk.text for chunk in self.chunks if chunk.kind == Kind.CONTENT)

    @property
    def reasoning(self) -> str:
        return "".join(chunk.text for chunk in self.chunks if chunk.kind == Kind.REASONING)

    @property
    def output_tokens(self) -> int:
        return sum(chunk.tokens for chunk in self.chunks)


class Connection(Protocol):
    """An open way to the server, shared by all requests of one worker."""

    async def send(self, request_id: int, body: bytes) -> Exchange:
        """Send `body` and collect the answer. Never raises for what the server or network does:
        every failure is in the exchange. Cancelling it closes the stream; what was read is lost
        to the caller unless it kept the exchange (see `in_flight`)."""
        ...

    def in_flight(self) -> tuple[Exchange, ...]:
        """Exchanges that have not ended yet, as they are now."""
        ...


class Endpoint(Protocol):
    """A server as the scenario describes it."""

    @property
    def title(self) -> str:
        """For people: the url, or what runs inside."""
        ...

    def loop(self) -> asyncio.AbstractEventLoop:
        """A new event loop of the kind that this endpoint's connection needs."""
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
