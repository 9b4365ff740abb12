"""Our HTTP/1.1 client: connects, sends, stamps and stores what comes back. It decodes nothing.

One `_Stream` per connection; keep-alive connections wait in a pool. Redirects are never followed,
compressed answers are not asked for, and an answer's end is found without parsing its content
(`http_framing.ResponseEnd`). Stamps are the kernel's where the platform gives them.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

import numpy as np

from benchsuite.endpoints import kernel_time
from benchsuite.endpoints.addresses import Address, error_class_of, resolve
from benchsuite.endpoints.base import ClockError, Exchange
from benchsuite.endpoints.http_framing import ResponseEnd
from benchsuite.endpoints.http_request import Target, request_head, target
from benchsuite.endpoints.tls import Tls
from benchsuite.endpoints.wire_loop import WireLoop

READ_BYTES: Final = 65_536
SWEEP_S: Final = 0.05  # how often deadlines are looked at; a timeout is at most this late
CLOCK_PAIR_S: Final = 1.0  # how often the kernel's clock is paired with ours


class Timeouts(NamedTuple):
    """Seconds; each ends the request as an error of its own class."""

    connect_s: float
    first_token_s: float  # from sent
    between_tokens_s: float  # since the last bytes
    total_s: float  # from sent


class _Stream:
    """One connection. Carries one exchange at a time, from `start` to its future's result."""

    def __init__(self, loop: WireLoop, sock: socket.socket, tls: Tls | None, kernel: bool) -> None:
        self.loop, self.sock, self.tls, self.kernel = loop, sock, tls, kernel
        self._recvmsg = sock.recvmsg
        self.exchange: Exchange | None = None
        self.done: asyncio.Future[None] | None = None

    def start(self, exchange: Exchange) -> asyncio.Future[None]:
        """From here on what arrives belongs to `exchange`; the future ends with the response."""
        self.exchange = exchange
        self.end = ResponseEnd()
        self.last_read_s = 0.0
        self.reads: list[bytes] = []
        self.user_s: list[float] = []
        exchange.reads, exchange.read_s = self.reads, self.user_s
        self.stamps_ns: list[int] = []
        self.has_token = False  # as far as anybody asked
        self.is_over = False  # nothing more is read; `done` says so in a turn of its own
        self.done = self.loop.create_future()
        self.loop.watch(self.sock.fileno(), self._read)
        return self.done

    def _read(self) -> None:
        """The hot path: read, stamp, store, and ask whether this was the end."""
        try:
            data, control, _, _ = self._recvmsg(READ_BYTES, kernel_time.CONTROL_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.fail("reset", f"the connection broke: {error.strerror or error}")
            return
        now = time.monotonic()
        if self.tls is not None:
            try:
                ended = not data
                data = self.tls.decrypt(data)
            except ssl.SSLError as error:
                self.fail("tls", str(error))
                return
            if not data and not ended:
                return
        self.last_read_s = now
        if not data:
            self._end_of_file()
            return
        self.reads.append(data)
        self.user_s.append(now)
        if self.kernel:
            self.stamps_ns.append(kernel_time.realtime_ns(control))
        if self.end.feed(data):
            if self.end.error_class is None:
                self._finish()
            else:
                self.fail(self.end.error_class, self.end.error or "")

    def _end_of_file(self) -> None:
        if self.end.ends_at_close:
            self._finish()
        elif not self.reads:
            self.fail("closed", "the server closed the connection before it answered")
        else:
            self.fail("truncated", "the server closed the connection in the middle of its answer")

    def _finish(self) -> None:
        self.is_over = True
        self.loop.unwatch(self.sock.fileno())
        self.loop.end(self._tell)

    def _tell(self) -> None:
        if self.done is not None and not self.done.done():
            self.done.set_result(None)

    def fail(self, error_class: str, error: str) -> None:
        """End the exchange with an error; what was read stays in it."""
        exchange = self.exchange
        assert exchange is not None
        if self.done is None or self.is_over or self.done.done():
            return
        exchange.error_class, exchange.error = error_class, error
        self._finish()

    def is_alive(self) -> bool:
        """False if the server closed this idle connection, or sent something nobody asked for."""
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        self.sock.close()


class WireConnection:
    """A pool of keep-alive connections to one target; `endpoints.base.Connection`."""

    def __init__(
        self,
        loop: WireLoop,
        where: Target,
        address: Address,
        head: bytes,
        timeouts: Timeouts,
        context: ssl.SSLContext | None,
        has_token: Callable[[Exchange], bool],
    ) -> None:
        self._loop, self._where, self._address, self._head = loop, where, address, head
        self._timeouts, self._context, self._has_token = timeouts, context, has_token
        self._idle: list[_Stream] = []
        self._busy: dict[int, _Stream] = {}
        self._leaving: dict[int, tuple[asyncio.Timeout, Exchange]] = {}  # opening or being sent
        self._clock = kernel_time.KernelClock()
        self._stamping = kernel_time.Stamping()
        self._has_stamps = self._stamping.begin()

    async def send(self, request_id: int, body: bytes) -> Exchange:
        """POST `body`; the exchange holds whatever came of it.

        A kept connection that the server closes, without a word, as the request leaves was closed
        before (RFC 9112, section 9.3.1: servers may at any time): it is sent once more on a new
        one. What that took is time spent connecting; latency counts from due all the same.
        """
        exchange = await self._attempt(request_id, body, reuse=True)
        if exchange.sent_s is None or not _was_stale(exchange):
            return exchange
        again = await self._attempt(request_id, body, reuse=False)
        if again.sent_s is not None:
            again.connect_s = again.sent_s - exchange.sent_s
        return again

    async def _attempt(self, request_id: int, body: bytes, *, reuse: bool) -> Exchange:
        exchange = Exchange(
            request_id=request_id,
            stamp_source="user",
            framing="http",
        )
        stream = None
        try:
            async with asyncio.timeout(None) as leaving:  # which `abort` ends
                self._leaving[request_id] = (leaving, exchange)
                stream = await self._acquire(exchange, reuse)
                await self._transmit(stream, exchange, body)
            del self._leaving[request_id]
            await stream.start(exchange)
            self._stamp(stream, exchange)
        except OSError as error:
            if exchange.error_class is None:
                exchange.error_class = error_class_of(error)
                exchange.error = str(error) or type(error).__name__
        finally:
            self._leaving.pop(request_id, None)
            if stream is not None:
                self._release(stream, request_id)
        ended_s = exchange.read_s[-1] if _ended_well(exchange) else time.monotonic()
        exchange.finished_s = float(ended_s)
        return exchange

    async def _transmit(self, stream: _Stream, exchange: Exchange, body: bytes) -> None:
        self._busy[exchange.request_id] = stream
        data = b"%bContent-Length: %d\r\n\r\n%b" % (self._head, len(body), body)
        if stream.tls is not None:
            data = stream.tls.encrypt(data)
        exchange.sent_s = time.monotonic()
        try:
            sent = stream.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # the server hung up; it may have said why, and reading tells
        if sent < len(data):
            try:
                async with asyncio.timeout(
                    min(self._timeouts.first_token_s, self._timeouts.total_s)
                ):
                    await self._loop.sock_sendall(stream.sock, data[sent:])
            except OSError:
                # The server stopped reading; it may have answered why. Reading tells, and the
                # timeouts end what stays silent.
                pass

    def _stamp(self, stream: _Stream, exchange: Exchange) -> None:
        """Put kernel stamps in place of the program's own, and keep how late the program was."""
        if not stream.stamps_ns or not all(stream.stamps_ns):
            return
        self._clock.notice_step()
        came_s = self._clock.monotonic_s(stream.stamps_ns, stream.user_s)
        exchange.read_s, exchange.lag_s = came_s, np.asarray(stream.user_s) - came_s
        exchange.stamp_source = "kernel"

    async def _acquire(self, exchange: Exchange, reuse: bool) -> _Stream:
        while reuse and self._idle:
            stream = self._idle.pop()
            if stream.is_alive():
                return stream
            stream.close()
        started_s = time.monotonic()
        stream = await self._open()
        exchange.connect_s = time.monotonic() - started_s
        return stream

    async def _open(self) -> _Stream:
        family, address = self._address
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            tls = None
            async with asyncio.timeout(self._timeouts.connect_s):
                await self._loop.sock_connect(sock, address)
                if self._context is not None:
                    tls = Tls(self._context, self._where.host)
                    await tls.handshake(self._loop, sock)
            has_stamps = self._has_stamps and kernel_time.enable(sock)
            return _Stream(self._loop, sock, tls, has_stamps)
        except BaseException:
            sock.close()
            raise

    def _release(self, stream: _Stream, request_id: int) -> None:
        self._busy.pop(request_id, None)
        done = stream.done
        if done is not None and done.cancelled() and not stream.is_over:
            self._loop.unwatch(stream.sock.fileno())
        failed = stream.exchange is None or stream.exchange.error_class is not None
        if done is not None and not done.cancelled() and not failed and stream.end.keep_alive:
            stream.done = None
            self._idle.append(stream)
        else:
            stream.close()

    def in_flight(self) -> int:
        return len(self._busy)

    def abort(self, error_class: str, error: str) -> None:
        """End every exchange in flight now; their senders get them with this error."""
        for leaving, exchange in self._leaving.values():
            if exchange.error_class is None:
                exchange.error_class, exchange.error = error_class, error
                leaving.reschedule(self._loop.time())
        for stream in tuple(self._busy.values()):
            if stream.done is not None:
                stream.fail(error_class, error)

    def clock_error(self) -> ClockError:
        return ClockError(self._clock.error_s, self._clock.num_steps)

    async def keep_deadlines(self) -> None:
        """Runs beside the requests: ends those that took too long, pairs the clocks."""
        paired_s = time.monotonic()
        while True:
            await asyncio.sleep(SWEEP_S)
            now = time.monotonic()
            for stream in tuple(self._busy.values()):
                self._check_deadlines(stream, now)
            if now - paired_s >= CLOCK_PAIR_S:
                self._clock.sample()
                paired_s = now

    def _check_deadlines(self, stream: _Stream, now: float) -> None:
        exchange, limits = stream.exchange, self._timeouts
        if stream.done is None or exchange is None or exchange.sent_s is None:
            return  # still being sent
        waited_s = now - exchange.sent_s
        if waited_s > limits.total_s:
            stream.fail("timeout_total", f"not finished after {limits.total_s:g} s")
            return
        quiet_s = now - (stream.last_read_s or exchange.sent_s)
        if quiet_s <= limits.between_tokens_s and (
            stream.has_token or waited_s <= limits.first_token_s
        ):
            return
        # Seldom, so it may cost: whether a token came is known only by decoding.
        stream.has_token = stream.has_token or self._has_token(exchange)
        if stream.has_token:
            if quiet_s > limits.between_tokens_s:
                stream.fail("timeout_between_tokens", f"nothing for {limits.between_tokens_s:g} s")
        elif waited_s > limits.first_token_s:
            stream.fail("timeout_first_token", f"no token after {limits.first_token_s:g} s")

    def close(self) -> None:
        self.abort("cancelled", "the run ended")
        for stream in self._idle:
            stream.close()
        self._idle.clear()
        self._stamping.close()


def _was_stale(exchange: Exchange) -> bool:
    """Not a byte came over a connection that had been used before."""
    is_closed = exchange.error_class in ("closed", "reset") and not exchange.reads
    return is_closed and exchange.connect_s == 0


def _ended_well(exchange: Exchange) -> bool:
    return exchange.error_class is None and len(exchange.read_s) > 0


@asynccontextmanager
async def connect(
    url: str,
    headers: dict[str, str],
    timeouts: Timeouts,
    context: ssl.SSLContext | None,
    has_token: Callable[[Exchange], bool],
) -> AsyncIterator[WireConnection]:
    """A connection to `url`. `has_token(exchange)`: whether any generated token has come."""
    where = target(url)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, WireLoop), "the wire client runs on a WireLoop"
    pool = WireConnection(
        loop,
        where,
        await resolve(loop, url, where, timeouts.connect_s),
        request_head(where, headers),
        timeouts,
        context if where.scheme == "https" else None,
        has_token,
    )
    sweeper = loop.create_task(pool.keep_deadlines())
    try:
        yield pool
    finally:
        sweeper.cancel()
        pool.close()
