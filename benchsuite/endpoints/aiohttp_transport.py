"""The compatible data plane: aiohttp, for proxies and servers that our own reader cannot speak to.

The only file that names aiohttp. Stamps are taken by the program when it gets the bytes, after
aiohttp has unframed them: later than the wire's, and marked so (`stamp_source: user`).
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp

from benchsuite.endpoints.base import ClockError, Exchange
from benchsuite.endpoints.wire import Timeouts


class AiohttpConnection:
    """`endpoints.base.Connection` over one aiohttp session."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        timeouts: Timeouts,
        has_token: Callable[[Exchange], bool],
    ) -> None:
        self._session, self._url = session, url
        self._timeouts, self._has_token = timeouts, has_token
        self._tasks: dict[int, tuple[Exchange, asyncio.Task[None]]] = {}

    async def send(self, request_id: int, body: bytes) -> Exchange:
        exchange = Exchange(
            request_id=request_id,
            stamp_source="user",
            framing="none",
        )
        task = asyncio.create_task(self._post(exchange, body))
        self._tasks[request_id] = (exchange, task)
        try:
            await asyncio.wait([task], timeout=self._timeouts.total_s)
            if not task.done():
                self._end(
                    exchange, "timeout_total", f"not finished after {self._timeouts.total_s:g} s"
                )
                task.cancel()
        finally:
            del self._tasks[request_id]
        ended_well = exchange.error_class is None and len(exchange.read_s)
        exchange.finished_s = float(exchange.read_s[-1] if ended_well else time.monotonic())
        return exchange

    async def _post(self, exchange: Exchange, body: bytes) -> None:
        exchange.sent_s = time.monotonic()
        has_token = False
        try:
            async with self._session.post(self._url, data=body, allow_redirects=False) as response:
                exchange.http_status = response.status
                while data := await self._next(response.content, exchange, has_token):
                    exchange.keep(data, time.monotonic())
                    has_token = has_token or self._has_token(exchange)
        except aiohttp.ClientError as error:
            self._end(exchange, _error_class(error, exchange), str(error) or type(error).__name__)
        except TimeoutError:
            limit_s = self._timeouts.connect_s
            self._end(exchange, "timeout_connect", f"no connection after {limit_s:g} s")

    async def _next(
        self, content: aiohttp.StreamReader, exchange: Exchange, has_token: bool
    ) -> bytes:
        """The next bytes; b"" at the end, or when a deadline passed."""
        name, limit_s = "timeout_between_tokens", self._timeouts.between_tokens_s
        if not has_token:
            name, limit_s = "timeout_first_token", self._timeouts.first_token_s
        try:
            return await asyncio.wait_for(content.readany(), limit_s)
        except TimeoutError:
            self._end(exchange, name, f"nothing for {limit_s:g} s")
            return b""

    def _end(self, exchange: Exchange, error_class: str, error: str) -> None:
        if exchange.error_class is None:
            exchange.error_class, exchange.error = error_class, error

    def in_flight(self) -> int:
        return len(self._tasks)

    def abort(self, error_class: str, error: str) -> None:
        for exchange, task in self._tasks.values():
            self._end(exchange, error_class, error)
            task.cancel()

    def clock_error(self) -> ClockError:
        return ClockError()


def _error_class(error: aiohttp.ClientError, exchange: Exchange) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return "refused" if isinstance(error.os_error, ConnectionRefusedError) else "connect"
    if isinstance(error, aiohttp.ClientPayloadError) or exchange.reads:
        return "truncated"
    return "closed" if isinstance(error, aiohttp.ServerDisconnectedError) else "reset"


@asynccontextmanager
async def connect(
    url: str,
    headers: dict[str, str],
    timeouts: Timeouts,
    context: ssl.SSLContext | None,
    has_token: Callable[[Exchange], bool],
) -> AsyncIterator[AiohttpConnection]:
    """Like `wire.connect`; proxies are taken from the environment (HTTPS_PROXY ...)."""
    connector = aiohttp.TCPConnector(limit=0, ssl=context or True)
    fixed = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    async with aiohttp.ClientSession(
        connector=connector,
        headers={**fixed, **headers},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect_s),
        auto_decompress=False,
        trust_env=True,
    ) as session:
        yield AiohttpConnection(session, url, timeouts, has_token)
