"""A server that plays written bytes on a raw socket, and notes what it was asked.

It knows no HTTP but where a request ends, so that it can break every rule. `FAULTS` names the ways
in which servers and networks fail; `tests/dialects.py` holds the ways in which healthy ones differ.
"""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Literal, NamedTuple

Ending = Literal["keep_alive", "close", "half_close", "reset", "stall"]


class Step(NamedTuple):
    """Bytes to send, after a pause or when `server.open_gate(gate)` is called."""

    data: bytes
    delay_s: float = 0.0
    gate: str | None = None


class Script(NamedTuple):
    """An answer: what to send, then what to do with the connection.

    half_close: send the end of the stream, and wait for the client to go. stall: send no more.
    """

    steps: tuple[Step, ...]
    end: Ending = "keep_alive"

    @property
    def data(self) -> bytes:
        return b"".join(step.data for step in self.steps)


class Received(NamedTuple):
    """A request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    connection: int  # which of the accepted connections brought it, from 0


class ScriptedServer:
    """Plays `scripts` one after the other, a request each; the last one again from then on."""

    def __init__(self, scripts: Sequence[Script]) -> None:
        self.requests: list[Received] = []
        self.url = ""
        self.num_connections = 0
        self._scripts = scripts
        self._gates: dict[str, asyncio.Event] = {}

    def open_gate(self, name: str) -> None:
        self._gates.setdefault(name, asyncio.Event()).set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = self.num_connections
        self.num_connections += 1
        try:
            while request := await _request(reader, connection):
                if (request.method, request.path) == ("GET", "/metrics"):
                    writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                    continue  # telemetry asks every server once; the scripts are for the rest
                self.requests.append(request)
                script = self._scripts[min(len(self.requests), len(self._scripts)) - 1]
                await self._play(script, writer)
                if script.end != "keep_alive":
                    await _end(script.end, reader, writer)
                    break
        except ConnectionError:
            pass  # the client has had enough
        finally:
            writer.close()

    async def _play(self, script: Script, writer: asyncio.StreamWriter) -> None:
        for step in script.steps:
            if step.gate is not None:
                await self._gates.setdefault(step.gate, asyncio.Event()).wait()
            if step.delay_s:
                await asyncio.sleep(step.delay_s)
            writer.write(step.data)
            await writer.drain()


async def _request(reader: asyncio.StreamReader, connection: int) -> Received | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    except asyncio.IncompleteReadError:
        return None
    method, path, _ = first.split(" ")
    return Received(method, path, headers, body, connection)


async def _end(end: Ending, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if end == "reset":
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    if end == "half_close":
        writer.write_eof()
    if end in ("half_close", "stall"):
        await reader.read()  # until the client goes


@asynccontextmanager
async def scripted_server(*scripts: Script) -> AsyncIterator[ScriptedServer]:
    """A running server on a free loopback port."""
    player = ScriptedServer(scripts)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(player._serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    player.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield player
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def refused_url() -> str:
    """An address that nobody listens at."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


# Words that scripts are written in.

STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
LAST_CHUNK = b"0\r\n\r\n"


def http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(data: object) -> bytes:
    """A server-sent event of JSON, or of text as it stands."""
    text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
    return f"data: {text}\n\n".encode()


def answer(status: str, body: bytes, *headers: str) -> bytes:
    """A whole response with a length, e.g. `answer("404 Not Found", b"no")`."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def stream(*bodies: bytes, end: Ending = "keep_alive", delay_s: float = 0.0) -> Script:
    """Events, each in an HTTP chunk and a write of its own, then the last chunk."""
    steps = [Step(http_chunk(body), delay_s) for body in bodies]
    return Script((Step(STREAM_HEAD), *steps, Step(LAST_CHUNK)), end)


def words(*texts: str) -> tuple[bytes, ...]:
    """Events of a chat answer, without its end."""
    return tuple(event({"choices": [{"index": 0, "delta": {"content": text}}]}) for text in texts)


FINISH = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
DONE = event("[DONE]")
OK_STREAM = stream(*words("one ", "two ", "three"), FINISH, DONE)


class Fault(NamedTuple):
    script: Script
    error_class: str  # what its record must say
    text: str = ""  # what was understood before it broke, or its beginning


def _broken(*steps: bytes, end: Ending) -> Script:
    return Script((Step(STREAM_HEAD), *map(Step, steps)), end)


_ONE_TWO = tuple(http_chunk(word) for word in words("one ", "two "))
_MIB = 1 << 20

FAULTS: Mapping[str, Fault] = {
    "reset_before_head": Fault(Script((), "reset"), "reset"),
    "closed_before_head": Fault(Script((), "close"), "closed"),
    "closed_in_head": Fault(Script((Step(STREAM_HEAD[:30]),), "close"), "truncated"),
    "reset_mid_stream": Fault(_broken(*_ONE_TWO, end="reset"), "reset", "one two "),
    "closed_mid_stream": Fault(_broken(*_ONE_TWO, end="close"), "truncated", "one two "),
    "half_close": Fault(_broken(*_ONE_TWO, end="half_close"), "truncated", "one two "),
    "truncated_chunk": Fault(
        _broken(*_ONE_TWO, b"ff\r\ndata: {", end="close"), "truncated", "one two "
    ),
    "short_of_its_length": Fault(
        Script((Step(answer("200 OK", b'{"choices": []}')[:-3]),), "close"), "truncated"
    ),
    "stream_without_end": Fault(stream(*words("one ", "two ")), "truncated", "one two "),
    "bad_chunk_size": Fault(
        _broken(*_ONE_TWO, b"zz\r\nhello\r\n", end="stall"), "malformed_http", "one two "
    ),
    "garbage": Fault(Script((Step(b"SSH-2.0-OpenSSH_9.2p1\r\n"),), "stall"), "malformed_http"),
    "endless_headers": Fault(
        Script(
            (Step(b"HTTP/1.1 200 OK\r\n"), *[Step(b"x-more: " + b"y" * 8190 + b"\r\n")] * 9),
            "stall",
        ),
        "too_large",
    ),
    "huge_line": Fault(
        _broken(*_ONE_TWO, *[http_chunk(b"x" * _MIB)] * 4, end="stall"), "too_large", "one two "
    ),
    "malformed_event": Fault(
        stream(*words("one "), b'data: {"choices": [{"index"\n\n', *words("two "), FINISH, DONE),
        "malformed_event",
        "one two ",
    ),
    "malformed_sse": Fault(
        stream(*words("one "), b'dat {"choices": []}\n\n', *words("two ")),
        "malformed_sse",
        "one two ",
    ),
    "invalid_utf8": Fault(
        stream(
            *words("one "),
            b'data: {"choices":[{"delta":{"content":"\xe2',
            b'\x82"}}]}\n\n',
            FINISH,
            DONE,
        ),
        "invalid_utf8",
        "one \ufffd",
    ),
    "error_in_stream": Fault(
        stream(*words("one "), event({"error": {"message": "out of memory", "code": 500}}), DONE),
        "server_error",
        "one ",
    ),
    "gzip_unasked": Fault(
        Script((Step(answer("200 OK", b"\x1f\x8b\x08\0", "content-encoding: gzip")),)), "encoding"
    ),
    "web_page": Fault(
        Script((Step(answer("200 OK", b"<html>login", "content-type: text/html")),)), "content_type"
    ),
    "too_many_requests": Fault(
        Script((Step(answer("429 Too Many Requests", b"slow down", "retry-after: 7")),)), "http_429"
    ),
    "unavailable": Fault(
        Script((Step(answer("503 Service Unavailable", b"", "retry-after: 1")),)), "http_503"
    ),
    "redirect": Fault(
        Script((Step(answer("307 Temporary Redirect", b"", "location: http://192.0.2.1/")),)),
        "http_307",
    ),
    "stall": Fault(Script((), "stall"), "timeout_first_token"),
    "stall_mid_stream": Fault(
        _broken(*_ONE_TWO, end="stall"), "timeout_between_tokens", "one two "
    ),
    "slow_drip": Fault(stream(*words(*"abcdefghij" * 20), delay_s=0.05), "timeout_total", "a"),
}
"""By name. Who waits for a timeout sets it: first token, between tokens, total in that order."""
