"""The API on sockets: aiohttp reads requests and writes each event as soon as it is there.

A client that goes away cancels its sequence; one that reads slowly holds up nobody else.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from reference_engine.emit_log import EmitLog
from reference_engine.server.api import Api
from reference_engine.server.clients import Client, Clients
from reference_engine.server.protocol.errors import ApiError
from reference_engine.server.reply import EventStream
from reference_engine.specs import EngineError

_MAX_BODY_BYTES: Final = 64 * 2**20
_CUT_AFTER_S: Final = 0.5  # a client that has been told of the end may take to read that
_BACKLOG: Final = 4096  # connections that may wait to be accepted: a burst must not be refused


class AddressError(EngineError):
    """The address cannot be listened on."""

    def __init__(self, listener: str, error: OSError) -> None:
        super().__init__(f"cannot listen on {listener}: {error.strerror or error}")


def bind(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet; port 0 takes a free one. Raises AddressError."""
    try:
        if not 0 <= port < 2**16:  # the resolver would take what is left of it in 16 bits
            raise OSError("there is no such port")
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise AddressError(f"{host}:{port}", error) from error
    return listener


@asynccontextmanager
async def serve(
    api: Api,
    listener: socket.socket,
    *,
    max_body_bytes: int = _MAX_BODY_BYTES,
    emit_log: EmitLog | None = None,
) -> AsyncIterator[None]:
    """Answer on a bound socket. On leaving, no new requests are taken and open ones have `drain_s`
    seconds to end before they end with an error. Raises AddressError if another process listens
    there since."""
    clients = Clients(api.timeouts.stalled_s)
    app = web.Application(client_max_size=max_body_bytes)
    app.router.add_route("*", "/{path:.*}", _handler(api, clients, emit_log))
    # aiohttp sets TCP_NODELAY on each connection; an access log would cost more than a token.
    runner = web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=_CUT_AFTER_S,
        keepalive_timeout=api.timeouts.idle_s,
    )
    await runner.setup()
    watches = [asyncio.create_task(one) for one in (clients.drop_stalled(), api.loop_lag.watch())]
    try:
        site = web.SockSite(runner, listener, backlog=_BACKLOG)
        try:
            await site.start()
        except OSError as error:
            raise AddressError(url(listener), error) from error
        try:
            yield
        finally:
            await site.stop()
            api.refuse()
            if not await clients.drain(api.timeouts.drain_s):
                api.abort()
                await clients.drain(_CUT_AFTER_S)
    finally:
        for watch in watches:
            watch.cancel()
        await runner.cleanup()


def url(listener: socket.socket) -> str:
    """Where clients find a bound socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _handler(
    api: Api, clients: Clients, emit_log: EmitLog | None
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        with clients.one(request.transport) as client:
            return await _answer(api, request, client, emit_log)

    return handle


async def _answer(
    api: Api, request: web.Request, client: Client, emit_log: EmitLog | None
) -> web.StreamResponse:
    try:
        async with asyncio.timeout(api.timeouts.body_s):
            body = await request.read()
    except TimeoutError:
        return _refusal(408, f"no whole body came within {api.timeouts.body_s:g} s")
    except web.HTTPRequestEntityTooLarge:
        return _refusal(413, f"the request body is larger than {request.client_max_size} bytes")
    except web.RequestPayloadError as error:  # cut short, or not encoded as its head says
        return _refusal(400, f"the request body cannot be read: {error}")
    reply = await api.handle(request.method, request.path, body)
    headers = {"Content-Type": reply.content_type, **reply.headers}
    if isinstance(reply.body, bytes):
        return web.Response(status=reply.status, body=reply.body, headers=headers)
    headers["Cache-Control"] = "no-cache"
    response = web.StreamResponse(headers=headers)
    return await _stream(request, response, reply.body, client, emit_log)


def _refusal(status: int, problem: str) -> web.Response:
    body = ApiError(status, problem).body()
    return web.Response(status=status, body=body, content_type="application/json")


async def _stream(
    request: web.Request,
    response: web.StreamResponse,
    events: EventStream,
    client: Client,
    emit_log: EmitLog | None,
) -> web.StreamResponse:
    time_s = asyncio.get_running_loop().time
    try:
        await response.prepare(request)
        async for event in events:
            begun_s = client.writing_since_s = time_s()
            await response.write(event)
            client.writing_since_s = None
            if emit_log is not None and (speaker := events.told.speaker()) is not None:
                emit_log.written(speaker, begun_s, time_s())
        await response.write_eof()
    except ConnectionResetError:
        pass  # the client has gone: there is nobody left to tell
    finally:
        await events.aclose()
    return response
