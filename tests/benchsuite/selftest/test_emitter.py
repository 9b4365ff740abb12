"""The emitter's streams are whole, on time and told truly; it is the ruler, so it is held alone."""

import json
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing

import httptools
import msgspec
import numpy as np
import pytest

from benchsuite.selftest.emitter import _HEAD, TOKEN, Emitter, Log, Truth, started, tail


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with started(None) as port:
        yield port


def _ask(sock: socket.socket, tokens: int, **pace: float) -> None:
    body = json.dumps({"max_tokens": tokens, "pace": pace, "messages": [], "more": 1}).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    sock.sendall(head % len(body) + body)


class _Answer:
    """One response, unframed by the parser that the engine's server is tested with too."""

    def __init__(self, sock: socket.socket) -> None:
        self.body, self.headers, self.is_over = bytearray(), dict[bytes, bytes](), False
        parser = httptools.HttpResponseParser(self)
        while not self.is_over:
            parser.feed_data(sock.recv(65_536))

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name] = value

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.is_over = True

    @property
    def number(self) -> int:
        return int(self.headers[b"X-Emitter-Answer"])


def _log(port: int) -> Log:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/truth", timeout=30) as answer:
        return msgspec.msgpack.decode(answer.read(), type=Log)


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def test_a_stream_is_as_long_as_asked_and_ends_properly(port: int) -> None:
    """Tokens, a reason, the usage, [DONE]; and the connection can be used again."""
    with _connect(port) as sock:
        for tokens in (1, 2, 7):
            _ask(sock, tokens)
            events = _Answer(sock).body.split(b"\n\n")
            assert events[-2:] == [b"data: [DONE]", b""]
            told = [json.loads(event.removeprefix(b"data: ")) for event in events[:-2]]
            texts = [one["choices"][0]["delta"].get("content") for one in told]
            assert texts == [" token"] * tokens + [None]
            assert told[-1]["usage"]["completion_tokens"] == tokens
            assert told[-1]["choices"][0]["finish_reason"] == "length"
    _log(port)


def test_no_token_leaves_before_it_is_due(port: int) -> None:
    """Due times are absolute: arrival + ttft + k * itl, however late the one before was."""
    with _connect(port) as sock:
        _ask(sock, 20, ttft_s=0.02, itl_s=0.002)
        number = _Answer(sock).number
    (truth,) = (one for one in _log(port).answers if one.answer == number)
    emitted_ns = np.frombuffer(truth.emitted_ns, dtype=np.int64)
    assert truth.first_due_ns == truth.received_ns + 20_000_000
    assert len(emitted_ns) == 20
    assert (emitted_ns >= truth.first_due_ns + np.arange(20) * 2_000_000).all()


def test_a_client_that_does_not_read_blocks_only_its_own_stream(port: int) -> None:
    """What the socket does not take goes out later, whole."""
    with _connect(port) as slow, _connect(port) as quick:
        _ask(slow, 60_000)
        _ask(quick, 3)
        quick_number = _Answer(quick).number
        answer = _Answer(slow)
    assert answer.body.count(b'"content":" token"') == 60_000
    truths = {one.answer: one for one in _log(port).answers}
    assert truths[quick_number].num_blocked == 0
    emitted_ns = np.frombuffer(truths[answer.number].emitted_ns, dtype=np.int64)
    assert len(emitted_ns) == 60_000
    assert (np.diff(emitted_ns) >= 0).all()


def test_a_token_that_the_socket_did_not_take_is_emitted_when_it_does() -> None:
    """Its true time is that of the send() which carried its last byte."""
    ours, theirs = socket.socketpair()
    with socket.socket() as stop, theirs, closing(Emitter(stop.fileno())) as emitter:
        stream = emitter.take(ours)
        stream.truth, stream.left = Truth(0, 0, 0, 0, b"", 0), 1_000_000
        num = 0
        while emitter.emit(stream):
            num += 1
        assert stream.truth.num_blocked == 1
        assert len(stream.emitted) == num
        received, wanted = bytearray(), len(_HEAD % 0) + (num + 1) * len(TOKEN)
        before_ns = time.monotonic_ns()
        while len(received) < wanted:
            received += theirs.recv(65_536)
            if stream.outbox:
                emitter.go_on(stream)
        assert len(stream.emitted) == num + 1
        assert stream.emitted[-1] > before_ns
        assert received.endswith(TOKEN)


def test_the_truth_is_told_once(port: int) -> None:
    with _connect(port) as sock:
        _ask(sock, 1)
        _Answer(sock)
    assert len(_log(port).answers) == 1
    log = _log(port)
    assert log.answers == []
    assert log.cpu_s >= 0


def test_a_client_that_goes_away_leaves_no_truth(port: int) -> None:
    """Half an answer was measured by nobody; the next one is served."""
    with _connect(port) as sock:
        _ask(sock, 100_000, itl_s=0.001)
        assert sock.recv(10)
    with _connect(port) as sock:
        _ask(sock, 1)
        number = _Answer(sock).number
    assert [one.answer for one in _log(port).answers] == [number]


def test_it_is_there_for_whoever_asks(port: int) -> None:
    """Any other GET, such as the client's for the list of models, is answered."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=30) as answer:
        assert json.load(answer)["object"] == "list"


@pytest.mark.parametrize("event", [TOKEN, tail(3)])
def test_http_chunks_have_the_length_that_they_say(event: bytes) -> None:
    rest = event
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        content, rest = rest[: int(size, 16)], rest[int(size, 16) :]
        assert len(content) == int(size, 16)
        assert rest.startswith(b"\r\n")
        rest = rest[2:]
