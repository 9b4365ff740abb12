"""Server-sent events out of a body, after the WHATWG HTML standard, section 9.2.6.

The events of a body do not depend on how its bytes were cut into reads; the reads only say when
each event arrived. Differs from the standard in one point: an event that the end of the body cuts
short is kept and marked, because some servers leave out the last blank line.
"""

from collections.abc import Sequence
from typing import NamedTuple

from benchsuite.endpoints.http_framing import MAX_LINE_BYTES

_BOM = b"\xef\xbb\xbf"
_REPLACEMENT = "\ufffd"
_IGNORED = frozenset((b"", b"id", b"retry"))  # b"": a comment
_END = b""


class Event(NamedTuple):
    """One event that held data."""

    name: bytes  # of its `event:` field; empty where it had none
    data: bytes  # its `data:` lines, joined by newlines; valid UTF-8
    read: int  # the read that brought the end of its last data line
    is_whole: bool  # False: the body ended before its blank line


class Stream(NamedTuple):
    """The events of a body."""

    events: tuple[Event, ...]
    num_replaced: int  # invalid UTF-8 sequences in data that became U+FFFD
    num_unknown: int  # lines that are no field of the standard
    is_too_large: bool  # a line over MAX_LINE_BYTES; parsing stopped there


def parse(body: bytes, read_end: Sequence[int]) -> Stream:
    """The events of `body`, of which `read_end[i]` bytes had arrived after read i."""
    events: list[Event] = []
    name, data, data_end = b"", None, 0  # of the event under way; data_end: its last line's end
    num_unknown, read = 0, 0
    start = len(_BOM) if body.startswith(_BOM) else 0
    lines = body[start:].splitlines(keepends=True)  # of bytes: at CR, LF and CRLF only
    for line in (*lines, _END):
        content = line.rstrip(b"\r\n")
        if not content:
            if data is not None:
                data_end = min(data_end, len(body) - 1)
                while read_end[read] <= data_end:
                    read += 1
                events.append(Event(name, data, read, line is not _END))
            name, data = b"", None
        elif len(content) > MAX_LINE_BYTES:
            return _repaired(events, num_unknown, is_too_large=True)
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
    return _repaired(events, num_unknown, is_too_large=False)


def _field(line: bytes) -> tuple[bytes, bytes]:
    """Name and value of a line; a comment's name is empty."""
    if line.startswith(b"data: "):  # nearly all of them
        return b"data", line[6:]
    name, _, value = line.partition(b":")
    return name, value.removeprefix(b" ")


def _repaired(events: list[Event], num_unknown: int, *, is_too_large: bool) -> Stream:
    """The stream, with data that is not UTF-8 replaced as the standard's decoder does.

    Line ends are ASCII, so repairing each event gives what repairing the whole body would.
    """
    num_replaced = 0
    for i, event in enumerate(events):
        if event.data.isascii():
            continue
        text = event.data.decode(errors="replace")
        replaced = text.count(_REPLACEMENT) - event.data.count(_REPLACEMENT.encode())
        if replaced:
            events[i] = event._replace(data=text.encode())
            num_replaced += replaced
    return Stream(tuple(events), num_replaced, num_unknown, is_too_large)
