"""Streamed answers as nearly all servers write them, read many events at once.

Such an answer is a 200 whose events are one `data: ` line each, and each is an HTTP chunk of its
own (or there is no HTTP framing). Where all that differs between events is a text, the texts are
cut out and the rest is compared at once. Anything else, in any byte, is `NotPlainError`: then
`http_framing` and `sse` read the answer, and find the same where both can.
"""

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchsuite.endpoints.http_framing import MAX_BODY_BYTES, MAX_LINE_BYTES, ResponseEnd
from benchsuite.exchange import joined

_OPENING: Final = b"data: "
_CLOSING: Final = b"\n\n"
_LAST_CHUNK: Final = [b"0", b"", b""]
_WINDOW: Final = 64  # events looked at first for a run
_FEW: Final = 8  # events behind a run that are looked at one by one
_decode_texts: Final = msgspec.json.Decoder(str).decode_lines


class NotPlainError(Exception):
    """The answer is, or may be, of another form."""


class PlainStream:
    """The events of an answer, in order: `event` gives the next one, `texts` a run of them."""

    def __init__(self, reads: Sequence[bytes], *, is_framed: bool) -> None:
        """`is_framed`: the reads hold the raw HTTP response. Raises NotPlainError."""
        whole = joined(reads)
        raw, self._read_end, self._next = whole.raw, whole.ends, 0
        if len(raw) > MAX_BODY_BYTES or not _is_utf8(raw):
            raise NotPlainError
        cut = _chunks if is_framed else _blocks
        self._chunks, chunk_end = cut(raw)
        self._closing = _CLOSING if is_framed else b""
        self._line_end = chunk_end - len(self._closing)

    def event(self) -> tuple[bytes, int] | None:
        """The data of the next event and the read that brought it; None after the last.

        Raises NotPlainError.
        """
        if self._next == len(self._chunks):
            return None
        chunk, line_end = self._chunks[self._next], self._line_end[self._next]
        self._next += 1
        is_plain = chunk.startswith(_OPENING) and chunk.endswith(self._closing)
        if not is_plain or chunk.count(b"\n") != len(self._closing) or b"\r" in chunk:
            raise NotPlainError
        data = chunk[len(_OPENING) : len(chunk) - len(self._closing)]
        return data, bisect_right(self._read_end, line_end)

    def texts(self, before: bytes, after: bytes) -> tuple[list[str], list[int]]:
        """The texts of the events from here on that are `before`, a text, `after`, and nothing
        else; and the read that brought each. Empty where they cannot be told; `event` can.

        `before` ends with the quote that opens the text, `after` begins with the one that closes
        it. A line end is in no JSON text: as many lines as texts are one each.
        """
        run = self._run(_OPENING + before, after + self._closing)
        try:
            texts = _decode_texts(b"\n".join(run)) if run else []
        except msgspec.DecodeError:
            return [], []
        if len(texts) != len(run) or not all(texts):
            return [], []
        stop = self._next + len(run)
        line_end = self._line_end[self._next : stop]
        self._next = stop
        return texts, np.searchsorted(self._read_end, line_end, side="right").tolist()

    def _run(self, before: bytes, after: bytes) -> list[bytes]:
        """What stands in the next chunks between `before` and `after`, with a quote on each side;
        up to the first that is not so.

        Looks at ever more at once, so that a run costs in proportion to its length, wherever it
        ends.
        """
        found: list[bytes] = []
        size = _WINDOW
        at = self._next
        while chunks := self._chunks[at : at + size]:
            quoted = _between(chunks, before, after)
            found += quoted
            if len(quoted) < size:
                break
            at, size = at + size, 2 * size
        return found


def _between(chunks: list[bytes], before: bytes, after: bytes) -> list[bytes]:
    """Of those chunks at the beginning that are `before`, something, `after`."""
    num = len(chunks)
    for _ in range(_FEW):  # why it ended, the usage, [DONE]
        if num and not (chunks[num - 1].startswith(before) and chunks[num - 1].endswith(after)):
            num -= 1
    chunks = chunks[:num]
    start, stop = len(before) - 1, 1 - len(after)
    quoted = [chunk[start : stop or None] for chunk in chunks]
    rebuilt = b"".join((before[:-1], (after[1:] + before[:-1]).join(quoted), after[1:]))
    if rebuilt == b"".join(chunks):  # the quickest way to see whether all are
        return quoted
    fits = [chunk.startswith(before) and chunk.endswith(after) for chunk in chunks]
    return quoted[: [*fits, False].index(False)]


def _chunks(raw: bytes) -> tuple[list[bytes], NDArray[np.int64]]:
    """The data of the HTTP chunks of a whole response, and where each ends in `raw`."""
    head_bytes = raw.find(b"\r\n\r\n") + 4
    lines = raw[head_bytes:].split(b"\r\n")
    digits, chunks = lines[:-3:2], lines[1:-3:2]
    if lines[-3:] != _LAST_CHUNK or not _begins_a_stream(raw[:head_bytes]):
        raise NotPlainError
    said = {size: _size(size) for size in set(digits)}
    lengths = list(map(len, chunks))
    if [said[size] for size in digits] != lengths:
        raise NotPlainError
    framing = np.fromiter(map(len, digits), np.int64, len(digits)) + len(b"\r\n\r\n")
    return chunks, head_bytes + np.cumsum(framing + lengths) - len(b"\r\n")


def _blocks(raw: bytes) -> tuple[list[bytes], NDArray[np.int64]]:
    """What lies between blank lines in a body, and where each ends."""
    *blocks, rest = raw.split(_CLOSING)
    lengths = list(map(len, blocks))
    if rest or not blocks or max(lengths) > MAX_LINE_BYTES:
        raise NotPlainError
    closings = len(_CLOSING) * np.arange(len(blocks))
    return blocks, np.cumsum(lengths) + closings


def _size(digits: bytes) -> int:
    """Of a chunk, as nearly all servers write it; -1 for any other form."""
    try:
        size = int(digits, 16) if len(digits) <= 8 else -1
    except ValueError:
        return -1
    return size if b"%x" % size == digits and size <= MAX_LINE_BYTES else -1


@lru_cache(maxsize=256)  # a server's answers begin alike, but for the date
def _begins_a_stream(head: bytes) -> bool:
    """Of a 200 that is neither encoded nor of another type, in chunks."""
    end = ResponseEnd()
    end.feed(head)
    found = end.head
    return (
        found is not None
        and end.error_class is None
        and not end.is_complete
        and found.status == 200
        and found.content_type in ("text/event-stream", "")
        and not found.content_encoding
        and found.header("transfer-encoding").lower() == "chunked"
        and not found.header("content-length")
    )


def _is_utf8(raw: bytes) -> bool:
    if raw.isascii():
        return True
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
