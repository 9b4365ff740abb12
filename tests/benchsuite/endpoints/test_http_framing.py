"""Where a response ends does not depend on how its bytes were cut."""

import gc
import weakref
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchsuite.endpoints.http_framing import (
    MAX_BODY_BYTES,
    MAX_HEAD_BYTES,
    MAX_LINE_BYTES,
    ResponseEnd,
    unframe,
)

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)

# Response, body, and whether the connection can be used again.
WHOLE = {
    "chunks": (CHUNKED + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde", True),
    "chunk that looks like the end": (
        CHUNKED + b"a\r\nx\r\n0\r\n\r\n\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\n\r\n",
        b"x\r\n0\r\n\r\n\r\n0\r\n\r\n",
        True,
    ),
    "chunk extensions": (CHUNKED + b'3;a="b;c"\r\nabc\r\n0;last\r\n\r\n', b"abc", True),
    "size with leading zeros": (CHUNKED + b"0003\r\nabc\r\n000\r\n\r\n", b"abc", True),
    "trailers": (
        CHUNKED + b"3\r\nabc\r\n0\r\nx-time: 5\r\nx-more: 0\r\n\r\n",
        b"abc",
        True,
    ),
    "no chunk but the last": (CHUNKED + b"0\r\n\r\n", b"", True),
    "length": (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", b"hello", True),
    "length zero": (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"", True),
    "no reason": (b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok", b"ok", True),
    "closing": (
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        b"ok",
        False,
    ),
    "old version kept alive": (
        b"HTTP/1.0 200 OK\r\nconnection: foo, Keep-Alive\r\ncontent-length: 2\r\n\r\nok",
        b"ok",
        True,
    ),
    "old version": (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", b"ok", False),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", b"", True),
    "interim heads": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"ok",
        True,
    ),
    "error": (b"HTTP/1.1 429 Too Many\r\ncontent-length: 4\r\n\r\nslow", b"slow", True),
}

MALFORMED = {
    "other protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "almost": b"HTTQ/1.1 200 OK\r\n\r\n",
    "second version": b"HTTP/2 200\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\ncontent-length: 0\r\n\r\n",
    "size that is none": CHUNKED + b"zz\r\nabc\r\n",
    "size beyond reason": CHUNKED + b"fffffffffffffffffff\r\nabc\r\n",
    "chunk longer than it says": CHUNKED + b"2\r\nabcde\r\n",
    "length that is none": b"HTTP/1.1 200 OK\r\ncontent-length: five\r\n\r\nhello",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
    "length and chunks": CHUNKED[:-2] + b"content-length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "header without colon": b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
    "space in a header's name": b"HTTP/1.1 200 OK\r\na b: c\r\n\r\n",
}


def cut(data: bytes, at: list[int]) -> list[bytes]:
    """`data` in pieces; none of them empty."""
    places = sorted({0, len(data), *(place % (len(data) + 1) for place in at)})
    return [data[start:stop] for start, stop in pairwise(places)]


cuts = st.lists(st.integers(0, 10_000), max_size=12)
whole = st.sampled_from(sorted(WHOLE))


@given(whole, cuts)
@example("trailers", list(range(500)))
def test_complete_exactly_at_the_last_byte(name: str, at: list[int]) -> None:
    """However a response is cut, it ends with its last byte and never before."""
    data, _, keep_alive = WHOLE[name]
    end = ResponseEnd()
    told = [end.feed(piece) for piece in cut(data, at)]
    assert told == [False] * (len(told) - 1) + [True]
    assert end.error_class is None
    assert end.keep_alive == keep_alive


@pytest.mark.parametrize("name", WHOLE)
def test_every_single_cut(name: str) -> None:
    """Two reads, cut at every byte: over at the second, whose body bytes are the second's."""
    data, body, _ = WHOLE[name]
    for place in range(1, len(data)):
        end = ResponseEnd()
        assert [end.feed(data[:place]), end.feed(data[place:])] == [False, True]
        framed = unframe([data[:place], data[place:]])
        assert framed.body == body
        assert framed.is_complete
        assert len(framed.read_end) == 2
        assert framed.read_end[1] == len(body)


@pytest.mark.parametrize("name", WHOLE)
def test_nothing_is_complete_before_its_end(name: str) -> None:
    """A response that lacks its last byte is not complete, and says so."""
    framed = unframe([WHOLE[name][0][:-1]])
    assert not framed.is_complete
    assert framed.error_class is None


@given(whole, cuts)
def test_body_bytes_are_counted_at_their_read(name: str, at: list[int]) -> None:
    """`read_end` grows to the body's length, and a prefix of the reads has a prefix of the body."""
    data, body, _ = WHOLE[name]
    reads = cut(data, at)
    framed = unframe(reads)
    assert framed.body == body
    assert framed.read_end[-1] == len(body)
    for i in range(1, len(reads)):
        assert unframe(reads[:i]).body == body[: framed.read_end[i - 1]]


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), cuts)
def test_any_chunks_come_back(chunks: list[bytes], at: list[int]) -> None:
    """Whatever the chunks hold, framing hands back their concatenation."""
    data = CHUNKED + b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\n"
    framed = unframe(cut(data, at))
    assert (framed.body, framed.is_complete) == (b"".join(chunks), True)


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_is_told_and_ends_the_reading(name: str) -> None:
    """What is no HTTP response is an error of its own class, cut at any byte."""
    data = MALFORMED[name]
    for place in range(1, len(data)):
        end = ResponseEnd()
        told = end.feed(data[:place]) or end.feed(data[place:])
        assert told
        assert (end.error_class, end.keep_alive) == ("malformed_http", False)
        assert end.error
    assert unframe([data]).error_class == "malformed_http"


@given(st.lists(st.binary(max_size=60), max_size=6))
@example([b"HTTP/1.1 200 OK\r\n\r\n", b""])
@example([b"HTTP/1.1 1", b"\r\n\r\n\r\n"])
def test_no_bytes_raise(reads: list[bytes]) -> None:
    """Noise is an answer like any other: it never raises, and is judged the same however cut."""
    framed = unframe(reads)
    assert framed.error_class in (None, "malformed_http")
    assert unframe([b"".join(reads)]).body == framed.body


def test_body_that_ends_with_the_connection() -> None:
    """Neither length nor chunks: never over by itself, complete when the connection is."""
    reads = [b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nab", b"cd"]
    end = ResponseEnd()
    assert [end.feed(read) for read in reads] == [False, False]
    assert end.ends_at_close
    assert not end.keep_alive
    framed = unframe(reads)
    assert (framed.body, framed.read_end.tolist()) == (b"abcd", [2, 4])
    assert framed.is_complete


@pytest.mark.parametrize("surplus", [b"x", b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx"])
@pytest.mark.parametrize("name", ["chunks", "length", "closing", "no content"])
def test_bytes_after_the_end_spoil_the_connection(name: str, surplus: bytes) -> None:
    """What follows a response nobody asked for: the response stands, the connection does not."""
    data, body, _ = WHOLE[name]
    for reads in ([data + surplus], [data, surplus]):
        end = ResponseEnd()
        for read in reads:
            assert end.feed(read)
        assert end.error_class is None
        assert end.has_surplus
        assert not end.keep_alive
        framed = unframe(reads)
        assert (framed.body, framed.is_complete) == (body, True)
        assert framed.head is not None
        assert framed.head.status in (200, 204)


def test_nothing_is_left_for_the_garbage_collector() -> None:
    """It is off while a run is measured: a finished reader must free itself."""
    end = ResponseEnd()
    end.feed(WHOLE["chunks"][0])
    message = weakref.ref(end._message)
    gc.disable()
    try:
        del end
        assert message() is None
    finally:
        gc.enable()


def test_head_is_told() -> None:
    """Names in lower case, values as they came, helpers without parameters."""
    head = unframe(
        [
            b"HTTP/1.1 200 Very Fine\r\nContent-TYPE: Text/Event-Stream; charset=utf-8\r\n"
            b"X-A: 1\r\nx-a:  2\r\nContent-Encoding: identity\r\nTransfer-Encoding: Chunked\r\n\r\n"
        ]
    ).head
    assert head is not None
    assert (head.status, head.reason, head.keep_alive) == (200, "Very Fine", True)
    assert head.content_type == "text/event-stream"
    assert head.content_encoding == ""
    assert head.header("x-a") == "1"
    assert head.header("x-b") == ""
    assert not head.ends_at_close


def test_endless_headers_are_cut_off() -> None:
    """A head may have 64 KiB; more is an error, whether it comes in lines or whole."""
    line = b"x: " + b"y" * 1019 + b"\r\n"  # 1 KiB
    end = ResponseEnd()
    told = [end.feed(b"HTTP/1.1 200 OK\r\n")] + [end.feed(line) for _ in range(80)]
    assert told.index(True) == MAX_HEAD_BYTES // len(line)
    assert end.error_class == "too_large"
    whole_head = b"HTTP/1.1 200 OK\r\n" + line * 64 + b"content-length: 0\r\n\r\n"
    assert unframe([whole_head]).error_class == "too_large"


def test_endless_interim_heads_are_cut_off() -> None:
    """A server that only ever says `100 Continue` does not hold the client."""
    end = ResponseEnd()
    told = [end.feed(b"HTTP/1.1 100 Continue\r\n\r\n" * 100) for _ in range(50)]
    assert told.index(True) == MAX_HEAD_BYTES // 2500
    assert end.error_class == "too_large"


def test_endless_body_is_cut_off() -> None:
    """A response has a cap, counted as it comes in."""
    end = ResponseEnd()
    end.feed(b"HTTP/1.1 200 OK\r\n\r\n")
    piece = b"x" * (MAX_BODY_BYTES // 16)
    told = [end.feed(piece) for _ in range(17)]
    assert told == [False] * 15 + [True] * 2
    assert end.error_class == "too_large"


def test_an_event_without_end_is_cut_off() -> None:
    """A stream whose line does not end is given up after 2 MiB; a long stream of events is not."""
    piece = b"data: " + b"x" * 65_530
    chunk = b"%x\r\n%s\r\n" % (len(piece), piece)
    end = ResponseEnd()
    end.feed(CHUNKED)
    told = [end.feed(chunk) for _ in range(64)]
    assert end.error_class == "too_large"
    assert MAX_LINE_BYTES < told.index(True) * len(chunk) <= 2 * MAX_LINE_BYTES + len(chunk)
    for blank in (b"\n\n", b"\r\n\r\n"):
        ended = piece + blank
        chunk = b"%x\r\n%s\r\n" % (len(ended), ended)
        end = ResponseEnd()
        end.feed(CHUNKED)
        assert not any(end.feed(chunk) for _ in range(128))
