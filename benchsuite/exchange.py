"""Exchange: what happened on the wire for one request, and Response: what it decodes to.

On the hot path a read is stamped and stored as it came. What the bytes mean is worked out by an
endpoint's `decode`, a pure function of the exchange, once the stream has ended.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Any, Final, Literal, NamedTuple, overload

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from benchsuite.message import ToolCall

StampSource = Literal["kernel", "user", "virtual"]
Framing = Literal["http", "none"]
TokensFrom = Literal["usage", "running_usage", "tokenizer", "chunks"]


TokenCounter = Callable[[str], int]
"""Tokens of a text under the scenario's tokenizer."""


Numbers = Sequence[float] | NDArray[Any]


class Reads(Sequence[bytes]):
    """Reads that lie one after the other in `raw`, each cut out when it is asked for.

    `ends[i]`: where read i ends in `raw`, [reads].
    """

    def __init__(self, raw: bytes, ends: NDArray[np.int64]) -> None:
        self.raw, self.ends = raw, ends

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        at = range(len(self))[index]
        return self.raw[self.ends[at - 1] if at else 0 : self.ends[at]]


def joined(reads: Sequence[bytes]) -> Reads:
    """The same reads in one piece."""
    if isinstance(reads, Reads):
        return reads
    return Reads(b"".join(reads), np.cumsum(np.fromiter(map(len, reads), np.int64, len(reads))))


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
    reads: Sequence[bytes] = []
    read_s: Numbers = []
    lag_s: Numbers = []
    finished_s: float | None = None  # end of the response, or when it failed
    http_status: int | None = None
    error_class: str | None = None  # None: the transport saw nothing wrong
    error: str | None = None
    num_items: int = 1  # answers that were asked for at once; whoever asks says so

    def keep(self, data: bytes, at_s: float) -> None:
        """Add a read."""
        assert isinstance(self.reads, list), "it has ended"
        assert isinstance(self.read_s, list), "it has ended"
        self.reads.append(data)
        self.read_s.append(at_s)

    def keep_all(self, reads: list[bytes], read_s: list[float]) -> None:
        """Add several."""
        assert isinstance(self.reads, list), "it has ended"
        assert isinstance(self.read_s, list), "it has ended"
        self.reads += reads
        self.read_s += read_s


def http_status(exchange: Exchange) -> int | None:
    """The response's status, from its first line where the reads hold the raw response."""
    if exchange.http_status is not None or exchange.framing != "http":
        return exchange.http_status
    opening = b""
    for read in exchange.reads:
        opening += read
        while opening[8:10] == b" 1" and b"\r\n\r\n" in opening:  # interim, the real one follows
            opening = opening.partition(b"\r\n\r\n")[2]
        if len(opening) >= 12 and opening[8:10] != b" 1":
            break
    return int(opening[9:12]) if opening[9:12].isdigit() else None


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
    image_tokens: int | None = None  # of the prompt
    audio_tokens: int | None = None  # of the prompt


class Chunk(NamedTuple):
    """A piece of the answer that carried generated text. Role-only and empty ones are none."""

    read: int  # index into Exchange.read_s; chunks that came in one read share it
    kind: Kind
    text: str
    tokens: int


class Chunks(NamedTuple):
    """The chunks of an answer as columns, in order of arrival; `Chunk` says what each means."""

    read: Sequence[int]
    kind: bytes  # a Kind each
    text: Sequence[str]
    tokens: Sequence[int]


EMBEDDED: Final = "embedded"
"""The finish reason of an answer that holds vectors: it has no tokens by nature."""

NO_CHUNKS: Final = Chunks((), b"", (), ())


STAGES: Final = ("queue", "encode", "prefill", "transfer", "decode")
"""What a request goes through at a server, in order; not every server has or tells each."""


class Response(NamedTuple):
    """What an exchange decodes to."""

    columns: Chunks
    usage: Usage | None
    tokens_from: TokensFrom
    finish_reason: str | None
    error_class: str | None  # the transport's, or what the body says
    error: str | None
    server_s: Mapping[str, float] = {}  # by name of STAGES, where the server reports them
    tool_calls: tuple[ToolCall, ...] = ()  # whole, arguments as the model wrote them
    items: tuple[str, ...] = ()  # visible answers, [num_items], where several were asked for

    @property
    def chunks(self) -> tuple[Chunk, ...]:
        read, kind, text, tokens = self.columns
        return tuple(map(Chunk, read, map(Kind, kind), text, tokens))

    @property
    def text(self) -> str:
        """The visible answer."""
        return self._text_of(Kind.CONTENT)

    @property
    def reasoning(self) -> str:
        return self._text_of(Kind.REASONING)

    @property
    def output_tokens(self) -> int:
        return sum(self.columns.tokens)

    def _text_of(self, wanted: Kind) -> str:
        columns = zip(self.columns.kind, self.columns.text, strict=True)
        return "".join(text for kind, text in columns if kind == wanted)
