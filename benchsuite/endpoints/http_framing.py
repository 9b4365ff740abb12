"""Where an HTTP/1.1 response begins and ends, and which body bytes came in which read (RFC 9112).

Bytes in, facts out: no sockets, no clock. The grammar is llhttp's (through httptools), fed without
a body callback while a stream is measured, which costs about 0.2 us a read; with one afterwards.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import httptools
import numpy as np
from numpy.typing import NDArray

from benchsuite.exchange import joined

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_BODY_BYTES: Final = 256 * 1024 * 1024
MAX_LINE_BYTES: Final = 1024 * 1024
"""Of one line of an event stream. The wire may hold up to twice as much before it gives up."""

_VERSION: Final = b"HTTP/1."
_BLANK_LINES: Final = (b"\n\n", b"\r\n\r\n", b"\r\r")


class Head(NamedTuple):
    """Status line and headers of a final (not 1xx) response."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]  # names in lower case, in order
    keep_alive: bool  # the server means to keep the connection open

    def header(self, name: str) -> str:
        """The first value of a header (name in lower case); empty where it is missing."""
        return next((value for key, value in self.headers if key == name), "")

    @property
    def content_type(self) -> str:
        """Without parameters, in lower case."""
        return self.header("content-type").partition(";")[0].strip().lower()

    @property
    def content_encoding(self) -> str:
        """In lower case; empty for `identity`, which is no encoding."""
        encoding = self.header("content-encoding").strip().lower()
        return "" if encoding == "identity" else encoding

    @property
    def ends_at_close(self) -> bool:
        """Neither a length nor chunks: the body ends where the connection does."""
        has_chunks = "chunked" in self.header("transfer-encoding").lower()
        return not has_chunks and not self.header("content-length")


class Framed(NamedTuple):
    """A response without its HTTP framing."""

    head: Head | None  # None: it never came whole, or the transport dealt with it
    body: bytes
    read_end: NDArray[np.int64]  # [reads]; body bytes that had arrived after each read
    is_complete: bool  # up to its stated end; always so where the connection's end ends it
    error_class: str | None  # malformed_http, too_large
    error: str | None


class _Message:
    """What llhttp says of one response.

    Holds no parser: such a cycle would never be freed while the garbage collector is off.
    """

    def __init__(self, on_body: Callable[[bytes], object] | None) -> None:
        self.reason = b""
        self.headers: list[tuple[str, str]] = []
        self.has_head = False
        self.is_complete = False
        if on_body is not None:
            self.on_body = on_body

    def on_message_begin(self) -> None:
        if self.is_complete:
            raise ValueError("bytes after the end of the response")

    def on_status(self, reason: bytes) -> None:
        self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        self.has_head = True

    def on_message_complete(self) -> None:
        self.is_complete = True


class ResponseEnd:
    """Tells when a response is over, one read at a time.

    `feed` returns True when nothing more of this response is to be read: it is complete, or
    broken (`error_class` says how). A body that ends with the connection never returns True.
    """

    def __init__(self, on_body: Callable[[bytes], object] | None = None) -> None:
        self.head: Head | None = None
        self.error_class: str | None = None
        self.error: str | None = None
        self.keep_alive = False  # set at the end: the connection can carry another request
        self.has_surplus = False  # bytes came after the end, which nobody asked for
        self.size_bytes = 0  # fed so far, framing included
        self._message = _Message(on_body)
        self._parser = httptools.HttpResponseParser(self._message)
        self._parse = self._parser.feed_data
        self._opening = b""  # of the head, until its blank line
        self._look_at_bytes = MAX_HEAD_BYTES

    @property
    def is_complete(self) -> bool:
        """All of it came."""
        return self._message.is_complete

    @property
    def is_sound(self) -> bool:
        """All of it came, nothing was wrong with it, and nothing came after it."""
        return self.is_complete and self.error_class is None and not self.has_surplus

    @property
    def ends_at_close(self) -> bool:
        """The head has come, and says that the end of the connection ends the body."""
        return self.head is not None and self.head.ends_at_close and self.error_class is None

    def feed(self, data: bytes) -> bool:
        """Take what one read brought."""
        self.size_bytes += len(data)
        if self.head is None:
            return self._feed_head(data)
        if self.size_bytes > self._look_at_bytes and self._is_too_large(data):
            return True
        try:
            self._parse(data)
        except httptools.HttpParserError as error:
            self._refuse(error)
            return True
        return self._message.is_complete and self._complete()

    def _feed_head(self, data: bytes) -> bool:
        """Bytes up to the final head's blank line; heads of interim (1xx) responses are dropped."""
        if self.error_class is not None:
            return True
        self._opening += data
        while self._opening.startswith(_VERSION):
            stop = self._opening.find(b"\r\n\r\n") + 4
            if stop > MAX_HEAD_BYTES or (stop < 4 and self.size_bytes > MAX_HEAD_BYTES):
                return self._fail("too_large", f"head over {MAX_HEAD_BYTES} bytes")
            if stop < 4:
                return False
            if self._opening[8:10] != b" 1":
                return self._open()
            self._opening = self._opening[stop:]
        if self._opening != _VERSION[: len(self._opening)]:
            return self._fail("malformed_http", f"not HTTP: {self._opening[:80]!r}")
        return self.size_bytes > MAX_HEAD_BYTES and self._fail("too_large", "no final head")

    def _open(self) -> bool:
        """Parse the final head and what came with it."""
        opening, self._opening = self._opening, b""
        try:
            self._parse(opening)
        except httptools.HttpParserError as error:
            self._refuse(error)
        message = self._message
        if message.has_head:
            self.head = Head(
                self._parser.get_status_code(),
                message.reason.decode("latin-1"),
                tuple(message.headers),
                _keeps_alive(opening[:8], message.headers),
            )
            self._look_at_bytes = self.size_bytes + MAX_LINE_BYTES
        elif self.error_class is None:
            self._fail("malformed_http", "the head does not end where its blank line is")
        return self.error_class is not None or (message.is_complete and self._complete())

    def _complete(self) -> bool:
        assert self.head is not None, "a response cannot be complete without its head"
        self.keep_alive = self.head.keep_alive and not self.has_surplus
        return True

    def _is_too_large(self, data: bytes) -> bool:
        """Whether a cap is passed; looks at a stream's line ends once a MiB, so almost never."""
        if self.error_class is not None:
            return True
        if self.size_bytes > MAX_BODY_BYTES:
            return self._fail("too_large", f"response over {MAX_BODY_BYTES} bytes")
        assert self.head is not None, "caps of the head are checked before"
        is_stream = self.head.content_type == "text/event-stream"
        if not is_stream or any(blank in data for blank in _BLANK_LINES):
            self._look_at_bytes = self.size_bytes + MAX_LINE_BYTES
        elif self.size_bytes > self._look_at_bytes + MAX_LINE_BYTES:
            return self._fail("too_large", f"event over {MAX_LINE_BYTES} bytes")
        return False

    def _refuse(self, error: httptools.HttpParserError) -> None:
        """llhttp objects: to what follows a complete response, or to the response."""
        if self._message.is_complete:
            self.has_surplus, self.keep_alive = True, False
        else:
            self._fail("malformed_http", f"{error or type(error).__name__}")

    def _fail(self, error_class: str, error: str) -> bool:
        if self.error_class is None:
            self.error_class, self.error = error_class, error
        return True


def _keeps_alive(version: bytes, headers: Sequence[tuple[str, str]]) -> bool:
    """RFC 9112, section 9.3. llhttp forgets its own answer at the end of the response."""
    said = ",".join(value for name, value in headers if name == "connection").lower()
    options = {option.strip() for option in said.split(",")}
    return "close" not in options and (version != b"HTTP/1.0" or "keep-alive" in options)


def unframe(reads: Sequence[bytes]) -> Framed:
    """The response in `reads`, as far as it came."""
    pieces: list[bytes] = []
    read_end: list[int] = []
    end = ResponseEnd(pieces.append)
    num_seen, body_bytes = 0, 0
    for read in reads:
        end.feed(read)
        while len(pieces) > num_seen:
            body_bytes += len(pieces[num_seen])
            num_seen += 1
        read_end.append(body_bytes)
    return Framed(
        end.head,
        b"".join(pieces),
        np.array(read_end, dtype=np.int64),
        end.is_complete or end.ends_at_close,
        end.error_class,
        end.error,
    )


def unframed(reads: Sequence[bytes]) -> Framed:
    """The body in reads that hold it alone, another transport having taken off the rest."""
    whole = joined(reads)
    return Framed(None, whole.raw, whole.ends, True, None, None)
