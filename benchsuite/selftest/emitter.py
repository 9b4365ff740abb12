"""The emitter: a small server of OpenAI-style streams that knows when it sent each chunk.

One thread, one epoll. A request's chunk k is due at (arrival + ttft_s + k * itl_s), an absolute
time, so a late chunk delays no other; the last millisecond before one is due is spun. The time
just before each send() is kept in memory and fetched after the run (GET /truth): nothing of it is
in the stream that is being measured. Other than epoll and kernel stamps it shares no code with the
client that it tests.
"""

import gc
import heapq
import multiprocessing
import os
import select
import socket
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from multiprocessing.connection import Connection as Pipe
from typing import Final

import msgspec
from msgspec import Struct

from benchsuite.endpoints import kernel_time
from benchsuite.errors import EndpointError

READ_BYTES: Final = 65_536
START_WITHIN_S: Final = 30.0
PAIR_NS: Final = 1_000_000_000  # how often the kernel's clock is paired with ours
_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
    b"X-Emitter-Answer: %d\r\n\r\n"
)


class Pace(Struct, frozen=True, kw_only=True):
    """How one answer is to be sent; the body's field `pace`. No pause: as fast as possible."""

    ttft_s: float = 0.0
    itl_s: float = 0.0


class Body(Struct, frozen=True, kw_only=True):
    """What the emitter reads of a request."""

    max_tokens: int = 1
    pace: Pace = Pace()


class Truth(Struct, array_like=True):
    """What happened to one answer, ns on the machine's monotonic clock."""

    answer: int  # its number, as in the response's head
    received_ns: int  # the kernel got the request's last byte
    first_due_ns: int
    itl_ns: int
    emitted_ns: bytes  # int64 per token: just before the send() that carried its last byte
    num_blocked: int  # times that the socket took nothing more: the client was behind


class Log(Struct, frozen=True, kw_only=True):
    """What GET /truth says: of all since the last time."""

    cpu_s: float  # of the emitter's process
    answers: list[Truth]


def _event(delta: str, finish: str, usage: str = "") -> bytes:
    """One server-sent event as one HTTP chunk."""
    data = (
        'data: {"id":"chatcmpl-selftest","object":"chat.completion.chunk","created":1700000000,'
        '"model":"emitter","system_fingerprint":null,"choices":[{"index":0,'
        f'"delta":{{{delta}}},"logprobs":null,"finish_reason":{finish}}}]{usage}}}\n\n'
    ).encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


TOKEN: Final = _event('"content":" token"', "null")


def tail(num_tokens: int) -> bytes:
    """What follows the last token: why it ended, the usage, the end of the stream."""
    counts = f'"prompt_tokens":1,"completion_tokens":{num_tokens},"total_tokens":{num_tokens + 1}'
    end = _event("", '"length"', f',"usage":{{{counts}}}')
    return end + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


class _Stream:
    """One connection, and the answer that is being sent on it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.kernel = kernel_time.enable(sock)
        self.inbox = bytearray()
        self.outbox = b""  # what the socket did not take
        self.truth: Truth | None = None
        self.emitted = array("q")
        self.left = 0


class Emitter:
    """The server. `run` until `stop` (a file descriptor) is readable."""

    def __init__(self, stop: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._stop = stop
        self._epoll = select.epoll()
        self._epoll.register(stop, select.EPOLLIN)
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)
        self._streams: dict[int, _Stream] = {}
        self._due: list[tuple[int, int, _Stream]] = []  # (ns, order, whose next token)
        self._order = count()
        self._answers = count()
        self._truths: list[Truth] = []
        self._told_cpu_s = time.process_time()
        self._clock = kernel_time.KernelClock()

    def run(self) -> None:
        pair_ns = 0
        while True:
            self._emit_due()
            for fd, event in self._epoll.poll(self._wait_s(), 64):
                if fd == self._stop:
                    return
                if fd == self._listener.fileno():
                    self._accept()
                elif fd in self._streams:
                    self._serve(self._streams[fd], event)
            if not self._due and time.monotonic_ns() > pair_ns:
                self._clock.sample()
                pair_ns = time.monotonic_ns() + PAIR_NS

    def close(self) -> None:
        self._listener.close()
        self._epoll.close()
        for stream in self._streams.values():
            stream.sock.close()

    def _wait_s(self) -> float:
        """Whole milliseconds until something is due; below one we come back and look again."""
        if not self._due:
            return -1.0
        wait_ns = self._due[0][0] - time.monotonic_ns()
        return max(0, wait_ns // 1_000_000 - 1) * 1e-3

    def _emit_due(self) -> None:
        due = self._due
        for _ in range(256):  # then look at the sockets
            if not due or due[0][0] > time.monotonic_ns():
                return
            at_ns, _, stream = heapq.heappop(due)
            if self.emit(stream) and stream.left:
                assert stream.truth is not None
                # Without a pace whoever was served longest ago is next.
                next_ns = at_ns + (stream.truth.itl_ns or time.monotonic_ns() - at_ns)
                heapq.heappush(due, (next_ns, next(self._order), stream))

    def emit(self, stream: _Stream) -> bool:
        """Send the next token; False if the socket is full or gone."""
        assert stream.truth is not None
        data = TOKEN
        if not stream.emitted:
            data = _HEAD % stream.truth.answer + data
        if stream.left == 1:
            data += tail(len(stream.emitted) + 1)
        at_ns = time.monotonic_ns()
        try:
            sent = stream.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._close(stream)
            return False
        if sent == len(data):
            self._was_sent(stream, at_ns)
            return True
        stream.outbox = data[sent:]
        stream.truth.num_blocked += 1
        self._epoll.modify(stream.sock.fileno(), select.EPOLLIN | select.EPOLLOUT)
        return False

    def _was_sent(self, stream: _Stream, at_ns: int) -> None:
        assert stream.truth is not None
        stream.emitted.append(at_ns)
        stream.left -= 1
        if not stream.left:
            stream.truth.emitted_ns = stream.emitted.tobytes()
            self._truths.append(stream.truth)
            stream.truth = None

    def _serve(self, stream: _Stream, event: int) -> None:
        if event & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            self._read(stream)
        elif event & select.EPOLLOUT:
            self.go_on(stream)

    def go_on(self, stream: _Stream) -> None:
        """The socket takes something again."""
        at_ns = time.monotonic_ns()
        try:
            sent = stream.sock.send(stream.outbox)
        except BlockingIOError:
            return
        except OSError:
            self._close(stream)
            return
        stream.outbox = stream.outbox[sent:]
        if stream.outbox or stream.truth is None:
            return
        self._epoll.modify(stream.sock.fileno(), select.EPOLLIN)
        truth = stream.truth
        self._was_sent(stream, at_ns)
        if stream.left:
            next_ns = truth.first_due_ns + len(stream.emitted) * truth.itl_ns
            heapq.heappush(self._due, (next_ns, next(self._order), stream))

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.take(sock)

    def take(self, sock: socket.socket) -> _Stream:
        """Serve this connection too."""
        sock.setblocking(False)
        stream = self._streams[sock.fileno()] = _Stream(sock)
        self._epoll.register(sock.fileno(), select.EPOLLIN)
        return stream

    def _close(self, stream: _Stream) -> None:
        """The client went away; an answer that it did not get is no truth."""
        self._streams.pop(stream.sock.fileno(), None)
        self._due = [item for item in self._due if item[2] is not stream]
        heapq.heapify(self._due)
        stream.sock.close()

    def _read(self, stream: _Stream) -> None:
        try:
            data, control, _, _ = stream.sock.recvmsg(READ_BYTES, kernel_time.CONTROL_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data, control = b"", []
        if not data:
            self._close(stream)
            return
        seen_s = time.monotonic()
        stream.inbox += data
        head, found, body = bytes(stream.inbox).partition(b"\r\n\r\n")
        if not found:
            return
        if head.startswith(b"GET "):
            stream.inbox.clear()
            self._answer_get(stream, head)
        elif len(body) >= _content_length(head):
            stream.inbox.clear()
            stamps = [kernel_time.realtime_ns(control)] if stream.kernel else []
            received_s = self._clock.monotonic_s(stamps, [seen_s])[0] if stamps else seen_s
            self._begin(stream, body, int(received_s * 1e9))

    def _begin(self, stream: _Stream, body: bytes, received_ns: int) -> None:
        asked = msgspec.json.decode(body, type=Body)
        pace = asked.pace
        first_ns = received_ns + int(pace.ttft_s * 1e9)
        stream.truth = Truth(
            next(self._answers), received_ns, first_ns, int(pace.itl_s * 1e9), b"", 0
        )
        stream.emitted, stream.left = array("q"), max(asked.max_tokens, 1)
        heapq.heappush(self._due, (first_ns, next(self._order), stream))

    def _answer_get(self, stream: _Stream, head: bytes) -> None:
        """/truth: what was sent since the last time. Anything else: yes, we are here."""
        content = b'{"object":"list","data":[]}'
        if head.startswith(b"GET /truth "):
            cpu_s = time.process_time()
            log = Log(cpu_s=cpu_s - self._told_cpu_s, answers=self._truths)
            content = msgspec.msgpack.encode(log)
            self._truths, self._told_cpu_s = [], cpu_s
        stream.sock.setblocking(True)  # nothing is measured now
        try:
            stream.sock.sendall(
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
                % (len(content), content)
            )
        except OSError:
            pass  # it asked and went away
        self._close(stream)


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def serve(pipe: Pipe, core: int | None) -> None:
    """The process: says its port, then serves until the pipe is closed or says something."""
    os.setsid()  # Ctrl-C in the terminal is for the first process alone
    if core is not None:
        os.sched_setaffinity(0, {core})
    emitter = Emitter(pipe.fileno())
    gc.collect()
    gc.disable()
    pipe.send(emitter.port)
    try:
        emitter.run()
    finally:
        emitter.close()


@contextmanager
def started(core: int | None) -> Iterator[int]:
    """An emitter in its own process, on this core where one is named; gives its port."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, core), name="emitter", daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(START_WITHIN_S):
            raise EndpointError("the selftest's emitter did not start")
        try:
            port: int = ours.recv()
        except EOFError:
            raise EndpointError("the selftest's emitter died at its start") from None
        yield port
    finally:
        ours.close()
        process.join(5)
        if process.is_alive():
            process.kill()
            process.join()
