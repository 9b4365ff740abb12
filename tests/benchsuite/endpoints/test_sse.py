"""Events are those of the WHATWG standard, however the bytes were cut."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchsuite.endpoints.http_framing import MAX_LINE_BYTES, unframed
from benchsuite.endpoints.sse import Event, parse


def events(body: bytes) -> list[tuple[str, str]]:
    stream = parse(body, (len(body),))
    return [(event.name.decode(errors="replace"), event.data.decode()) for event in stream.events]


def slow_events(body: bytes) -> list[tuple[str, str]]:
    """The standard's algorithm, letter by letter; the event that is cut short is kept."""
    text = body.decode("utf-8", errors="replace").removeprefix("\ufeff")
    found: list[tuple[str, str]] = []
    name, data, has_data, line = "", "", False, ""
    text += "\n" if text[-1:] not in ("", "\n", "\r") else ""
    position = 0
    while position <= len(text):
        letter = text[position : position + 1]
        position += 1
        if letter not in ("\r", "\n", ""):
            line += letter
            continue
        if text[position - 1 : position + 1] == "\r\n":
            position += 1
        if line == "":
            if has_data:
                found.append((name, data[:-1]))
            name, data, has_data = "", "", False
        elif not line.startswith(":"):
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                name = value
            elif field == "data":
                data, has_data = data + value + "\n", True
        line = ""
    return found


pieces = st.sampled_from(
    [
        b"data",
        b"data:",
        b"data: ",
        b"data: plain\n\n",
        b"data: plain\r\n\r\n",
        b"event: ping",
        b"event:",
        b"id: 7",
        b"retry: 3",
        b": comment",
        b":",
        b"\n",
        b"\n\n",
        b"\r",
        b"\r\n",
        b"\r\n\r\n",
        b"x",
        b" ",
        b"\xef\xbb\xbf",
        "\u20ac\U0001f600\u2028\x85".encode(),
        b"\xe2",
        b"\x82",
        b"\x00",
        b"nonsense",
        b'{"a": 1}',
    ]
)
bodies = st.lists(pieces, max_size=14).map(b"".join)


@given(bodies)
@example(b"\xef\xbb\xbfdata: x\n\n")
@example(b"data: a\rdata: b\r\rdata\n\ndata:\n\n")
@example(b"event: e\n\ndata: x\n\n")
@example("data: \u2028\x85\x0b\x0c\x1c\n\n".encode())
def test_events_are_those_of_the_standard(body: bytes) -> None:
    """The same names and data as the standard's algorithm, done slowly."""
    assert events(body) == slow_events(body)


@given(bodies, st.lists(st.integers(0, 200), max_size=12))
def test_cuts_change_nothing_but_the_read(body: bytes, at: list[int]) -> None:
    """Each event is stamped with the first read after which its last data line was whole."""
    places = sorted({0, len(body), *(place % (len(body) + 1) for place in at)})
    reads = [body[start:stop] for start, stop in pairwise(places)]
    framed = unframed(reads)
    read_end = framed.read_end
    assert framed.body == body
    cut, uncut = parse(body, read_end), parse(body, (len(body),))
    assert [event._replace(read=0) for event in cut.events] == list(uncut.events)
    for i, event in enumerate(cut.events):
        told = (
            [data for _, data in events_of_whole_lines(body[:end])[i : i + 1]] for end in read_end
        )
        reads_that_tell = [k for k, data in enumerate(told) if data == [event.data.decode()]]
        assert event.read == (reads_that_tell[0] if reads_that_tell else len(reads) - 1)


def events_of_whole_lines(body: bytes) -> list[tuple[str, str]]:
    """Events as far as the lines that have ended tell."""
    end = max(body.rfind(b"\n"), body.rfind(b"\r")) + 1
    return slow_events(body[:end])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", []),
        (b"\n\n\n", []),
        (b"data: a\n\ndata: b\n\n", [("", "a"), ("", "b")]),
        (b"data:a\r\n\r\ndata:  b\r\n\r\n", [("", "a"), ("", " b")]),
        (b"data: a\r\rdata: b\r\r", [("", "a"), ("", "b")]),
        (b"data: a\ndata: b\ndata\n\n", [("", "a\nb\n")]),
        (b"data\n\n", [("", "")]),
        (b": ping\n\n:\n\ndata: a\n: in between\n\n", [("", "a")]),
        (b"event: error\ndata: a\n\ndata: b\n\n", [("error", "a"), ("", "b")]),
        (b"event: lost\n\ndata: a\n\n", [("", "a")]),
        (b"id: 1\nretry: 5\ndata: a\n\n", [("", "a")]),
        (b"\xef\xbb\xbfdata: a\n\n", [("", "a")]),
        (b"\n\xef\xbb\xbfdata: a\n\n", []),
    ],
)
def test_rows(body: bytes, expected: list[tuple[str, str]]) -> None:
    """The standard's corners, one each."""
    assert events(body) == expected


@pytest.mark.parametrize("rest", [b"", b"\n", b"\nevent: x", b"\r\n"])
def test_an_event_cut_short_is_kept_and_marked(rest: bytes) -> None:
    """The standard drops it; servers that leave out the last blank line mean it."""
    body = b"data: a\n\ndata: b" + rest
    first, second = parse(body, (len(body),)).events
    assert (first.data, first.is_whole) == (b"a", True)
    assert (second.data, second.is_whole) == (b"b", False)


def test_events_of_one_read_share_it() -> None:
    """The read of an event is the one that ends its data line, not the one of its blank line."""
    framed = unframed([b"data: a\n\ndata: b\n", b"\nda", b"ta: c", b"\n", b"\n", b"data: d"])
    body, read_end = framed.body, framed.read_end
    assert [event.read for event in parse(body, read_end).events] == [0, 0, 3, 5]


def test_empty_reads_bring_nothing() -> None:
    """A read without body bytes (a chunk's frame, a head) is no event's read."""
    framed = unframed([b"", b"data: a", b"", b"\n\n", b""])
    body, read_end = framed.body, framed.read_end
    assert parse(body, read_end).events == (Event(b"", b"a", 3, True),)


@pytest.mark.parametrize(
    ("data", "text", "num_replaced"),
    [
        (b"a\xffb", "a\ufffdb", 1),
        (b"\xe2\x82", "\ufffd", 1),
        (b"\xf0\x9f\x98\xff\xff", "\ufffd\ufffd\ufffd", 3),
        ("\u20ac\ufffd".encode(), "\u20ac\ufffd", 0),
    ],
)
def test_invalid_utf8_is_replaced_and_counted(data: bytes, text: str, num_replaced: int) -> None:
    """A character cut by a read is whole; one that is broken becomes U+FFFD and is counted."""
    body = b"data: " + data + b"\n\ndata: ok\n\n"
    stream = parse(body, tuple(range(1, len(body) + 1)))
    assert [event.data.decode() for event in stream.events] == [text, "ok"]
    assert stream.num_replaced == num_replaced


def test_unknown_lines_are_counted() -> None:
    """Lines that are no field are ignored, as the standard says, and counted."""
    body = b'{"error": 1}\ndat: x\nid: 1\n: fine\nevent: e\ndata: a\n\n'
    stream = parse(body, (len(body),))
    assert (len(stream.events), stream.num_unknown) == (1, 2)


def test_a_line_over_the_cap_ends_the_stream() -> None:
    """What came before it is kept."""
    longest = b"data: " + b"x" * (MAX_LINE_BYTES - 6)
    body = longest + b"\n\n" + longest + b"x\n\ndata: b\n\n"
    stream = parse(body, (len(body),))
    assert [len(event.data) for event in stream.events] == [MAX_LINE_BYTES - 6]
    assert stream.is_too_large
