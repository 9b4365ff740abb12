"""What is read many events at once means the same as read one by one."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchsuite.endpoints import http_framing, openai_dialect, plain_stream
from benchsuite.endpoints.openai_dialect import decode_stream
from benchsuite.endpoints.plain_stream import NotPlainError, PlainStream
from benchsuite.exchange import Exchange, Response
from tests.dialects import DIALECTS, chunk, count_tokens, usage_event
from tests.scripted_server import DONE, FAULTS, FINISH, STREAM_HEAD, event


def exchange(reads: list[bytes], framing: Any = "http") -> Exchange:
    read_s = [float(i) for i in range(len(reads))]
    return Exchange(
        request_id=0, stamp_source="virtual", framing=framing, reads=reads, read_s=read_s
    )


def refuse(*_: object, **__: object) -> None:
    raise NotPlainError


def one_by_one(sent: Exchange) -> Response:
    """The answer by the general road alone: read by read, line by line, event by event."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PlainStream, "__init__", refuse)
        return decode_stream(sent, count_tokens)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(place % (len(data) + 1) for place in at)})
    return [data[start:stop] for start, stop in pairwise(places)]


def raw_event(text: bytes) -> bytes:
    """An event with these very bytes between the quotes of its text."""
    return b'data: {"choices":[{"index":0,"delta":{"content":"' + text + b'"}}]}\n\n'


cuts = st.lists(st.integers(0, 20_000), max_size=12)
texts = st.sampled_from(["a", " b", '"', "\\", "\n", "", "\u20ac", "\U0001f600", "\x00", "x" * 300])
deltas = st.one_of(
    st.builds(lambda text: {"content": text}, texts),
    st.builds(lambda text: {"reasoning_content": text}, texts),
    st.builds(lambda text: {"role": "assistant", "content": text}, texts),
    st.builds(lambda text: {"content": text, "reasoning": "r"}, texts),
)
odd = st.sampled_from(
    [
        b": comment\n\n",
        b"event: error\n",
        b"data: \xff\n\n",
        b"data: {\n\n",
        b"data: [1]\n\n",
        b"data: x\ndata: y\n\n",
        b"data: {}\r\n\r\n",
        b"\n",
        b"nonsense\n",
        raw_event(b"\\ud800"),
        raw_event(b"\xe2\x82"),
        raw_event(b"\\"),
        raw_event(b"\t"),
        raw_event(b'a","content":"b'),
        raw_event(b'a"}},{"index":1,"delta":{"content":"b'),
        raw_event(b'"'),
        raw_event(b'""'),
        raw_event(b'a\\","content":"b'),
        b'data: {"error":{"message":"no"}}\n\n',
        usage_event(9, 7),
        FINISH,
        DONE,
    ]
)
events = st.one_of(
    st.builds(raw_event, st.sampled_from([b"a", b" b", b"\\n", b"\\u20ac", b"", b"\\\\"])),
    st.builds(lambda delta, index: chunk(delta, index=index), deltas, st.sampled_from([0, 0, 1])),
    st.builds(lambda text, n: event({"choices": [{"text": text}], "created": n}), texts, cuts),
    odd,
)
runs = st.builds(lambda one, num: [one] * num, events, st.sampled_from([1, 1, 2, 3, 40, 70]))
bodies = st.lists(runs, max_size=8).map(lambda some: [one for run in some for one in run])


def framed(body: list[bytes], a_chunk: int) -> bytes:
    """The body in HTTP chunks, so many events each."""
    pieces = [b"".join(body[i : i + a_chunk]) for i in range(0, len(body), a_chunk)]
    return STREAM_HEAD + b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


@settings(max_examples=200)
@given(bodies, st.sampled_from([1, 1, 3, 16]), cuts)
def test_any_mixture_of_events_means_the_same(
    body: list[bytes], a_chunk: int, at: list[int]
) -> None:
    """Plain runs, odd events among them, texts that try to break out of their quotes; any cuts."""
    sent = exchange(cut(framed(body, a_chunk), at))
    assert decode_stream(sent, count_tokens) == one_by_one(sent)
    bare = exchange(cut(b"".join(body), at), framing="none")
    assert decode_stream(bare, count_tokens) == one_by_one(bare)


@given(st.sampled_from(sorted(DIALECTS)), cuts, st.integers(0, 5_000), st.binary(max_size=3))
def test_any_damage_means_the_same(name: str, at: list[int], place: int, new: bytes) -> None:
    """A dialect's stream with some bytes replaced, its framing among them."""
    data = DIALECTS[name].script.data
    place %= len(data) + 1
    sent = exchange(cut(data[:place] + new + data[place + len(new) :], at))
    assert decode_stream(sent, count_tokens) == one_by_one(sent)


@pytest.mark.parametrize("name", FAULTS)
def test_faults_mean_the_same(name: str) -> None:
    """Every fault of the table, a read each step and all in one."""
    steps = [step.data for step in FAULTS[name].script.steps]
    for reads in (steps, [b"".join(steps)]):
        assert decode_stream(exchange(reads), count_tokens) == one_by_one(exchange(reads))


HEADS = st.sampled_from(
    [
        STREAM_HEAD,
        b"HTTP/1.1 100 Continue\r\n\r\n" + STREAM_HEAD,
        STREAM_HEAD.replace(b"\r\n\r\n", b"\r\nx: y\r\n\r\n"),
        b"HTTP/1.1 200 OK\r\ncontent-length: 40\r\n\r\n",
    ]
)
chunks = st.builds(
    lambda size, data, extension, end: size % len(data) + extension + b"\r\n" + data + end,
    st.sampled_from([b"%x", b"%x", b"%x", b"%X", b"0%x"]),
    st.one_of(
        st.sampled_from([chunk({"content": "a"}), chunk({"content": "\u20ac"}), FINISH, DONE]),
        st.integers(1, 5_000).map(lambda num: b"x" * num),
        st.binary(min_size=1, max_size=300),
    ),
    st.sampled_from([b"", b"", b"", b";a=b"]),
    st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n"]),
)
ENDS = st.sampled_from([b"0\r\n\r\n", b"0\r\n\r\n", b"00\r\n\r\n", b"0\r\nx: 0\r\n\r\n", b""])


@given(HEADS, st.lists(chunks, max_size=6), ENDS, st.sampled_from([b"", b"", b"0\r\n\r\n"]), cuts)
@example(STREAM_HEAD, [b"5;a\r\nhello\r\n"], b"0\r\n\r\n", b"", [3, 70, 75])
def test_any_framing_means_the_same(
    head: bytes, body: list[bytes], end: bytes, surplus: bytes, at: list[int]
) -> None:
    """Sizes in other forms, extensions, trailers, surplus, other heads: read one by one."""
    sent = exchange(cut(head + b"".join(body) + end + surplus, at))
    assert decode_stream(sent, count_tokens) == one_by_one(sent)


def test_a_healthy_stream_takes_the_fast_road(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or it would cost what it cost before, and nothing would say so."""
    words = [chunk({"content": f"w{i}"}) for i in range(100)]
    body = [chunk({"role": "assistant", "content": ""}), *words, FINISH, usage_event(9, 100), DONE]
    sent = exchange(cut(framed(body, 1), list(range(0, 20_000, 77))))
    looked_at: list[bytes] = []
    read_one = openai_dialect._read_event

    def read_and_tell(answer: Any, data: bytes, read: int) -> None:
        looked_at.append(data)
        read_one(answer, data, read)

    monkeypatch.setattr(openai_dialect, "_read_event", read_and_tell)
    monkeypatch.setattr(http_framing, "unframe", lambda reads: pytest.fail("read by read"))
    response = decode_stream(sent, count_tokens)
    assert list(response.columns.text) == [f"w{i}" for i in range(100)]
    assert len(looked_at) == 5  # the role, the first word, why it ended, the usage, [DONE]


def test_events_that_change_now_and_then_cost_in_proportion(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A `created` that moves every 40 events ends a run; what lies behind it is not looked at
    again for each."""
    body = [
        event({"created": i // 40, "choices": [{"index": 0, "delta": {"content": f"w{i}"}}]})
        for i in range(4_000)
    ]
    sent = exchange([framed([*body, FINISH, DONE], 1)])
    looked_at: list[int] = []
    between = plain_stream._between

    def counting(chunks: list[bytes], before: bytes, after: bytes) -> list[bytes]:
        looked_at.append(len(chunks))
        return between(chunks, before, after)

    monkeypatch.setattr(plain_stream, "_between", counting)
    response = decode_stream(sent, count_tokens)
    assert list(response.columns.text) == [f"w{i}" for i in range(4_000)]
    assert sum(looked_at) < 3 * 4_000
