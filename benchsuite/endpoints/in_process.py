"""The bundled engine on virtual time, in this process and without sockets: an hour in seconds.

Requests and answers pass as the server's own bodies and events; stamps are the virtual clock's,
so two runs of one scenario are equal to the last bit.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Self

import msgspec

from benchsuite.endpoints.base import ClockError, Connection, Exchange, Response, TokenCounter
from benchsuite.endpoints.openai_body import chat_body
from benchsuite.endpoints.openai_dialect import decode_stream
from benchsuite.errors import ScenarioError
from benchsuite.request import Message, Request
from benchsuite.spec import Spec
from reference_engine.config import EngineConfig
from reference_engine.executors import Roofline
from reference_engine.specs import ConfigError
from reference_engine.virtual_time import VirtualTimeLoop

if TYPE_CHECKING:
    from reference_engine.server.api import Api

PATH: Final = "/v1/chat/completions"


class InProcess(Spec, tag="in_process", frozen=True):
    """The bundled engine, simulated: step times from a roofline model, on a virtual clock."""

    is_real_time: ClassVar[bool] = False

    engine: EngineConfig = EngineConfig(model="8b", executor=Roofline())

    @property
    def title(self) -> str:
        return f"simulated {self.engine.served_name}"

    def notes(self) -> tuple[str, ...]:
        return ()

    def loop(self) -> asyncio.AbstractEventLoop:
        return VirtualTimeLoop()

    @asynccontextmanager
    async def started(self, folder: Path) -> AsyncIterator["Simulated"]:
        if not isinstance(self.engine.executor, Roofline):
            raise ScenarioError("endpoint.engine.executor: virtual time needs `type: roofline`")
        from reference_engine.server.api import open_api

        async with AsyncExitStack() as stack:
            try:
                api = await stack.enter_async_context(open_api(with_tokenizer(self.engine)))
            except ConfigError as error:
                raise ScenarioError(f"endpoint.engine: {error}") from error
            yield Simulated(self, api)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        async with self.started(Path()) as simulated, simulated.connect() as connection:
            yield connection

    def body(self, request: Request, messages: tuple[Message, ...]) -> bytes:
        return chat_body(request, messages, model=self.engine.served_name)

    def decode(self, exchange: Exchange, count_tokens: TokenCounter) -> Response:
        return decode_stream(exchange, count_tokens)


class Simulated:
    """The engine of an `InProcess` while it is open: `endpoints.base.Endpoint`."""

    is_real_time = False

    def __init__(self, described: InProcess, api: "Api") -> None:
        self._described, self._api = described, api
        self.title, self.notes, self.loop = described.title, described.notes, described.loop
        self.body, self.decode = described.body, described.decode

    @asynccontextmanager
    async def started(self, folder: Path) -> AsyncIterator[Self]:
        yield self

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        yield _InProcessConnection(self._api)

    async def metrics(self) -> str:
        """What a server would answer to `GET /metrics`."""
        reply = await self._api.handle("GET", "/metrics", b"")
        assert isinstance(reply.body, bytes), "/metrics is no stream"
        return reply.body.decode()

    def is_stuck(self) -> bool:
        """Nothing can happen any more but what the running task does."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop), "it runs on the loop that it made"
        return loop.is_stuck()


def with_tokenizer(engine: EngineConfig) -> EngineConfig:
    """A preset speaks our bundled tokenizer; a model folder has its own."""
    folder = engine.source.folder
    if engine.tokenizer is not None or (folder is not None and folder.is_dir()):
        return engine
    bundled = Path(__file__).resolve().parent.parent / "data" / "tokenizer.json.gz"
    return msgspec.structs.replace(engine, tokenizer=str(bundled))


class _InProcessConnection:
    """`endpoints.base.Connection` straight into the server's handler."""

    def __init__(self, api: "Api") -> None:
        self._api = api
        self._loop = asyncio.get_running_loop()
        self._busy: dict[int, tuple[Exchange, asyncio.Task[None]]] = {}

    async def send(self, request_id: int, body: bytes) -> Exchange:
        exchange = Exchange(
            request_id=request_id,
            stamp_source="virtual",
            framing="none",
            sent_s=self._loop.time(),
        )
        task = self._loop.create_task(self._handle(exchange, body))
        self._busy[request_id] = (exchange, task)
        await asyncio.wait({task})
        del self._busy[request_id]
        if not task.cancelled():
            task.result()  # a fault of the engine's code is ours too: it is not hidden
        exchange.finished_s = self._loop.time()
        return exchange

    async def _handle(self, exchange: Exchange, body: bytes) -> None:
        reply = await self._api.handle("POST", PATH, body)
        exchange.http_status = reply.status
        if isinstance(reply.body, bytes):
            exchange.keep(reply.body, self._loop.time())
            return
        events, told = reply.body, reply.body.told
        try:
            if await told.gathered():
                if (whole := events.at_once()) is not None:
                    exchange.keep_all(*whole)
                else:
                    async for event in events:
                        exchange.keep(event, told.at_s())
            else:
                async for event in events:
                    exchange.keep(event, self._loop.time())
        except asyncio.CancelledError:
            with suppress(TimeoutError):  # what is there was told before
                async with asyncio.timeout(0):
                    async for event in events:
                        exchange.keep(event, told.at_s())
            raise
        finally:
            await events.aclose()

    def in_flight(self) -> int:
        return len(self._busy)

    def abort(self, error_class: str, error: str) -> None:
        for exchange, task in self._busy.values():
            if not task.done():
                exchange.error_class, exchange.error = error_class, error
                task.cancel()

    def clock_error(self) -> ClockError:
        return ClockError()
