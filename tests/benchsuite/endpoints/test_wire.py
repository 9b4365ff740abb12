"""The wire against a server that plays written bytes: every fault is its own error class, what was
read is kept, and connections are used again only when they can be.
"""

import asyncio
import select
import socket
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import pytest

from benchsuite.endpoints import aiohttp_transport, http_request, wire
from benchsuite.endpoints.base import Exchange, Response, http_status
from benchsuite.endpoints.openai_dialect import decode_stream, has_token
from benchsuite.endpoints.wire import Timeouts
from benchsuite.endpoints.wire_loop import WireLoop
from benchsuite.errors import EndpointError
from tests.scripted_server import (
    FAULTS,
    OK_STREAM,
    STREAM_HEAD,
    Script,
    ScriptedServer,
    Step,
    answer,
    http_chunk,
    refused_url,
    scripted_server,
)

T = TypeVar("T")
PATIENT = Timeouts(connect_s=5.0, first_token_s=20.0, between_tokens_s=20.0, total_s=20.0)
IMPATIENT = {
    "timeout_first_token": PATIENT._replace(first_token_s=0.2),
    "timeout_between_tokens": PATIENT._replace(between_tokens_s=0.3),
    "timeout_total": PATIENT._replace(total_s=0.4),
}


def on_wire_loop(work: Callable[[], Awaitable[T]]) -> T:
    async def main() -> T:
        return await work()

    with asyncio.Runner(loop_factory=WireLoop) as runner:
        return runner.run(main())


def exchanges(
    *scripts: Script,
    num: int = 1,
    timeouts: Timeouts = PATIENT,
    transport: Callable[..., object] = wire.connect,
) -> tuple[list[Exchange], ScriptedServer]:
    """`num` requests one after the other."""

    async def work() -> tuple[list[Exchange], ScriptedServer]:
        async with scripted_server(*scripts) as server:
            url = server.url + "/v1/chat/completions"
            async with transport(url, {"x-api-key": "k"}, timeouts, None, has_token) as connection:
                return [await connection.send(i, b"{}") for i in range(num)], server

    return on_wire_loop(work)


def meaning(exchange: Exchange) -> Response:
    return decode_stream(exchange, lambda text: len(text.split()))


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_its_own_error_class(name: str) -> None:
    """The record says what went wrong, and keeps the tokens that came before."""
    fault = FAULTS[name]
    timeouts = IMPATIENT.get(fault.error_class, PATIENT)
    (exchange,), _ = exchanges(fault.script, timeouts=timeouts)
    response = meaning(exchange)
    assert response.error_class == fault.error_class
    assert response.text.startswith(fault.text)
    assert exchange.sent_s is not None
    assert exchange.finished_s is not None
    assert exchange.finished_s >= exchange.sent_s


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_does_not_reach_the_next_request(name: str) -> None:
    """After any fault the next request is answered as if nothing had been."""
    fault = FAULTS[name]
    timeouts = IMPATIENT.get(fault.error_class, PATIENT)
    (_, after), _ = exchanges(fault.script, OK_STREAM, num=2, timeouts=timeouts)
    assert meaning(after).text == "one two three"
    assert meaning(after).error_class is None


@pytest.mark.parametrize("transport", [wire.connect, aiohttp_transport.connect])
def test_a_healthy_stream(transport: Callable[..., object]) -> None:
    """Text, order and stamps of a stream are right over either transport."""
    (exchange,), server = exchanges(OK_STREAM, transport=transport)
    response = meaning(exchange)
    assert response.text == "one two three"
    assert response.error_class is None
    assert exchange.sent_s is not None
    assert exchange.finished_s == exchange.read_s[-1]
    assert exchange.sent_s <= exchange.read_s[0]
    assert exchange.read_s == sorted(exchange.read_s)
    assert server.requests[0].headers["x-api-key"] == "k"
    assert server.requests[0].headers["accept-encoding"] == "identity"
    assert server.requests[0].body == b"{}"


def test_connections_are_kept_alive() -> None:
    """Requests that follow each other share one connection; only the first pays for it."""
    found, server = exchanges(OK_STREAM, num=3)
    assert server.num_connections == 1
    assert found[0].connect_s > 0
    assert [exchange.connect_s for exchange in found[1:]] == [0, 0]


def test_a_connection_that_the_server_closed_while_idle_is_not_used() -> None:
    """A keep-alive connection that died between requests costs no request."""
    closing = Script(OK_STREAM.steps, "close")
    found, server = exchanges(closing, num=3)
    assert [meaning(exchange).text for exchange in found] == ["one two three"] * 3
    assert server.num_connections == 3


def test_a_connection_that_closes_as_it_is_used_again_costs_no_request() -> None:
    """llama.cpp's server closes after an answer without saying so: a request may cross it."""
    found, server = exchanges(OK_STREAM, Script((), "close"), OK_STREAM, num=2)
    assert [meaning(exchange).text for exchange in found] == ["one two three"] * 2
    assert found[1].connect_s > 0
    assert server.num_connections == 2
    assert len(server.requests) == 3


def test_a_request_is_not_sent_a_third_time() -> None:
    """A server that closes a new connection too does not want the request."""
    found, server = exchanges(OK_STREAM, Script((), "close"), Script((), "close"), num=2)
    assert found[1].error_class == "closed"
    assert len(server.requests) == 3


def test_connection_close_is_obeyed() -> None:
    """A response that says `connection: close` ends its connection."""
    body = b'{"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}'
    script = Script((Step(answer("200 OK", body, "connection: close")),), "close")
    found, server = exchanges(script, num=2)
    assert [meaning(exchange).text for exchange in found] == ["hi", "hi"]
    assert server.num_connections == 2


def test_a_redirect_is_not_followed() -> None:
    """Neither the request nor its key goes to another host."""
    (exchange,), server = exchanges(FAULTS["redirect"].script)
    assert meaning(exchange).error_class == "http_307"
    assert len(server.requests) == 1


def test_nobody_listens() -> None:
    """A refused connection is the request's error, not the run's."""

    async def work() -> Exchange:
        async with wire.connect(refused_url(), {}, PATIENT, None, has_token) as connection:
            return await connection.send(0, b"{}")

    exchange = on_wire_loop(work)
    assert exchange.error_class == "refused"
    assert exchange.sent_s is None


def test_abort_ends_what_is_in_flight() -> None:
    """`abort` gives each sender what it had so far, at once."""

    async def work() -> tuple[Exchange, int]:
        stall = Script((Step(STREAM_HEAD),), "stall")
        async with (
            scripted_server(stall) as server,
            wire.connect(server.url, {}, PATIENT, None, has_token) as connection,
        ):
            sending = asyncio.ensure_future(connection.send(0, b"{}"))
            while not server.requests:
                await asyncio.sleep(0.01)
            connection.abort("interrupted", "stop")
            return await sending, connection.in_flight()

    exchange, left = on_wire_loop(work)
    assert exchange.error_class == "interrupted"
    assert left == 0


def _silent_server() -> socket.socket:
    """Listens, takes connections in, and reads nothing from them."""
    return socket.create_server(("127.0.0.1", 0))


def test_abort_ends_a_request_that_is_still_being_sent() -> None:
    """A server that does not read cannot hold up the end of a run; the stuck socket is closed."""

    async def work() -> tuple[Exchange, int]:
        with _silent_server() as server:
            url = f"http://127.0.0.1:{server.getsockname()[1]}/"
            async with wire.connect(url, {}, PATIENT, None, has_token) as connection:
                sending = asyncio.ensure_future(connection.send(0, b"x" * 50_000_000))
                while not connection.in_flight():
                    await asyncio.sleep(0.01)
                connection.abort("interrupted", "stop")
                exchange = await asyncio.wait_for(sending, 5.0)
                return exchange, connection.in_flight()

    exchange, left = on_wire_loop(work)
    assert exchange.error_class == "interrupted"
    assert left == 0


def test_abort_ends_a_connection_that_is_still_being_opened() -> None:
    """A TLS handshake that nobody answers is given up at once."""

    async def work() -> Exchange:
        with _silent_server() as server:
            url = f"https://127.0.0.1:{server.getsockname()[1]}/"
            context = ssl.create_default_context()
            async with wire.connect(url, {}, PATIENT, context, has_token) as connection:
                sending = asyncio.ensure_future(connection.send(0, b"{}"))
                await asyncio.sleep(0.05)
                connection.abort("interrupted", "stop")
                return await asyncio.wait_for(sending, 3.0)

    exchange = on_wire_loop(work)
    assert exchange.error_class == "interrupted"
    assert exchange.sent_s is None


def test_the_first_token_is_waited_for_while_a_body_is_stuck() -> None:
    """The deadline counts from when the first byte left, not from when the last did."""

    async def work() -> Exchange:
        with _silent_server() as server:
            url = f"http://127.0.0.1:{server.getsockname()[1]}/"
            timeouts = PATIENT._replace(first_token_s=0.2)
            async with wire.connect(url, {}, timeouts, None, has_token) as connection:
                return await connection.send(0, b"x" * 50_000_000)

    exchange = on_wire_loop(work)
    assert exchange.error_class == "timeout_first_token"
    assert exchange.sent_s is not None
    assert exchange.finished_s is not None
    assert exchange.finished_s - exchange.sent_s < 5.0


def test_a_stream_is_decoded_once_however_long_it_runs() -> None:
    """Past the first token's deadline a token is looked for until one is found, not for ever."""
    asked: list[bool] = []

    def counted(exchange: Exchange) -> bool:
        asked.append(has_token(exchange))
        return asked[-1]

    async def work() -> Exchange:
        pauses = [Step(http_chunk(b": still here\n\n"), 0.1) for _ in range(6)]
        first, *rest = OK_STREAM.steps[1:]
        script = Script((Step(STREAM_HEAD), first, *pauses, *rest), "close")
        timeouts = PATIENT._replace(first_token_s=0.05)
        async with (
            scripted_server(script) as server,
            wire.connect(server.url, {}, timeouts, None, counted) as connection,
        ):
            return await connection.send(0, b"{}")

    on_wire_loop(work)
    assert asked == [True]


def test_a_name_with_an_address_where_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """`localhost` may be ::1 first, and the server know only 127.0.0.1."""

    async def work() -> Exchange:
        async with scripted_server(OK_STREAM) as server:
            port = http_request.target(server.url).port
            found = [
                (socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, port))
                for host in ("127.0.0.9", "127.0.0.1")
            ]

            async def getaddrinfo(*_: object, **__: object) -> object:
                return found

            monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
            url = f"http://localhost:{port}/v1/chat/completions"
            async with wire.connect(url, {}, PATIENT, None, has_token) as connection:
                return await connection.send(0, b"{}")

    assert meaning(on_wire_loop(work)).text == "one two three"


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", b""]
)
def test_the_status_is_that_of_the_answer(head: bytes) -> None:
    """Neither an interim response nor a first read of five bytes hides it."""
    opening = head + STREAM_HEAD
    pieces = [Step(opening[i : i + 5], 0.002) for i in range(0, len(opening), 5)]
    script = Script((*pieces, *OK_STREAM.steps[1:]), OK_STREAM.end)
    (exchange,), _ = exchanges(script)
    assert meaning(exchange).text == "one two three"
    assert http_status(exchange) == 200


def test_a_large_body_is_sent_whole() -> None:
    """A body larger than the socket's buffers arrives to the last byte."""
    body = b'{"x": "' + b"y" * 8_000_000 + b'"}'

    async def work() -> bytes:
        async with (
            scripted_server(OK_STREAM) as server,
            wire.connect(server.url, {}, PATIENT, None, has_token) as connection,
        ):
            assert meaning(await connection.send(0, body)).error_class is None
            return server.requests[0].body

    assert on_wire_loop(work) == body


@pytest.mark.parametrize(
    "url", ["ftp://host/x", "localhost:8000", "http://", "http://host:notaport/"]
)
def test_a_url_that_is_none(url: str) -> None:
    """A URL that cannot be spoken to is refused with itself in the message."""
    with pytest.raises(EndpointError) as caught:
        http_request.target(url)
    assert url in str(caught.value)


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("http://host/v1", "host"),
        ("http://host:80/v1", "host"),
        ("http://host:8000/v1", "host:8000"),
        ("https://host/v1", "host"),
        ("https://[::1]:8000/v1", "[::1]:8000"),
    ],
)
def test_authority(url: str, authority: str) -> None:
    """The Host header names a port only where it is not the scheme's own."""
    assert http_request.target(url).authority == authority


def test_a_header_cannot_smuggle_another() -> None:
    """A line break in a header's value is refused, not sent."""
    with pytest.raises(EndpointError):
        http_request.request_head(http_request.target("http://h/"), {"x": "a\r\nHost: evil"})


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http://a..b/",
        f"http://{'a' * 64}/",
        "http://[::1",
        "ftp://h",
        "http://h:x/",
        "http://u:p@h/",
    ],
)
def test_what_is_no_address_is_said(url: str) -> None:
    with pytest.raises(EndpointError):
        http_request.target(url)


def test_a_path_and_a_query_are_kept() -> None:
    """What an address cannot hold as it is goes escaped; what is escaped stays so."""
    found = http_request.target("http://h/a b/\u65e5%20?format=a b")
    assert found.path == "/a%20b/%E6%97%A5%20?format=a%20b"


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="without epoll ends have no turns")
def test_streams_that_end_together_take_turns() -> None:
    """Between two ends the loop does what the first let go, and looks at its sockets."""
    happened: list[str] = []

    async def work() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, WireLoop)

        def ended(name: str) -> None:
            happened.append(f"{name} ends")
            loop.call_soon(happened.append, f"{name} goes on")

        for name in "abc":
            loop.end(partial(ended, name))
        while len(happened) < 6:
            await asyncio.sleep(0)

    on_wire_loop(work)
    assert happened == [f"{name} {does}" for name in "abc" for does in ("ends", "goes on")]


def test_what_has_ended_well_is_not_aborted_while_it_waits_for_its_turn() -> None:
    async def work() -> Exchange:
        async with (
            scripted_server(OK_STREAM) as server,
            wire.connect(server.url, {}, PATIENT, None, has_token) as connection,
        ):
            loop = asyncio.get_running_loop()
            assert isinstance(loop, AbortsAtEnds)
            loop.abort = partial(connection.abort, "timeout_total", "too late")
            return await connection.send(0, b"{}")

    class AbortsAtEnds(WireLoop):
        abort: Callable[[], None]

        def end(self, ended: Callable[[], None]) -> None:
            self.abort()
            super().end(ended)

    with asyncio.Runner(loop_factory=AbortsAtEnds) as runner:
        exchange = runner.run(work())
    assert exchange.error_class is None
