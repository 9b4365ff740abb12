"""Server-sent events out of a body, after the WHATWG HTML standard, section 9.2.6.

The events of a body do not depend on how its bytes were cut into reads; the reads only say when
each event arrived. Differs from the standard in one point: an event that the end of the body cuts
short is kept and marked, because some servers leave out the last blank line.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from benchsuite.endpoints.http_framing import MAX_LINE_BYTES

ReadEnd = Sequence[int] | NDArray[Any]
"""[reads]; bytes of the body that had arrived after each read."""

_BOM = b"\xef\xbb\xbf"
_REPLACEMENT = "\ufffd"
_IGNORED = frozenset((b"", b"id", b"retry"))  # b"": a comment
_END = b""
_LF = 10


class Event(NamedTuple):
    """One event that held data."""

    name: bytes  # of its `event:` field; empty where it had none
    data: bytes  # its `data:` lines, joined by newlines; valid UTF-8
    read: int  # the read that brought the end of its last data line
    is_whole: bool  # False: the body ended before its blank line


class Stream(NamedTuple):
    """The events of a body, as columns."""

    data: list[bytes]  # [events]
    read: list[int]  # [events]
    names: dict[int, bytes]  # of the few events that have one, by position
    is_cut: bool = False  # the last event lacks its blank line
    num_replaced: int = 0  # invalid UTF-8 sequences in data that became U+FFFD
    num_unknown: int = 0  # lines that are no field of the standard
    is_too_large: bool = False  # a line over MAX_LINE_BYTES; parsing stopped there

    @property
    def events(self) -> tuple[Event, ...]:
        last = len(self.data) - 1
        return tuple(
            Event(self.names.get(i, b""), data, read, not (self.is_cut and i == last))
            for i, (data, read) in enumerate(zip(self.data, self.read, strict=True))
        )


def parse(body: bytes, read_end: ReadEnd) -> Stream:
    """The events of `body`, of which `read_end[i]` bytes had arrived after read i."""
    stream = Stream([], [], {})
    start = len(_BOM) if body.startswith(_BOM) else 0
    return _repaired(_parse_lines(stream, body, start, read_end), body)


def _parse_lines(stream: Stream, body: bytes, start: int, read_end: ReadEnd) -> Stream:
    """Take the events of `body` from `start` on, line by line, by the standard's rules."""
    name, data, data_end = b"", None, 0  # of the event under way; data_end: its last line's end
    num_unknown, read = 0, 0
    for line in (*body[start:].splitlines(keepends=True), _END):  # of bytes: at CR, LF, CRLF
        content = line.rstrip(b"\r\n")
        if not content:
            if data is not None:
                while read_end[read] <= min(data_end, len(body) - 1):
                    read += 1
                if name:
                    stream.names[len(stream.data)] = name
                stream.data.append(data)
                stream.read.append(read)
            if line is not _END:
                name, data = b"", None
        elif len(content) > MAX_LINE_BYTES:
            return stream._replace(num_unknown=num_unknown, is_too_large=True)
        else:
            field, value = _field(content)
            if field == b"data":
                data = value if data is None else data + b"\n" + value
                data_end = start + len(content)
            elif field == b"event":
                name = value
            elif field not in _IGNORED:
                num_unknown += 1
        start += len(line)
    return stream._replace(num_unknown=num_unknown, is_cut=data is not None)


def _field(line: bytes) -> tuple[bytes, bytes]:
    """Name and value of a line; a comment's name is empty."""
    if line.startswith(b"data: "):  # nearly all of them
        return b"data", line[6:]
    name, _, value = line.partition(b":")
    return name, value.removeprefix(b" ")


def _repaired(stream: Stream, body: bytes) -> Stream:
    """The stream with all data in UTF-8.

    Line ends are ASCII, so repairing each event gives what repairing the whole body would.
    """
    if body.isascii():
        return stream
    num_replaced = 0
    for i, data in enumerate(stream.data):
        if not data.isascii():
            stream.data[i], replaced = repaired(data)
            num_replaced += replaced
    return stream._replace(num_replaced=num_replaced)


def repaired(data: bytes) -> tuple[bytes, int]:
    """`data` in valid UTF-8, and how many sequences became U+FFFD, by the standard's rule."""
    text = data.decode(errors="replace")
    return text.encode(), text.count(_REPLACEMENT) - data.count(_REPLACEMENT.encode())
