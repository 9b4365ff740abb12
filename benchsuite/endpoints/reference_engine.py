"""The bundled engine as its own process on a free loopback port, so that client and engine never
share an interpreter. It is waited for, stopped with the run, and its log stays in the run folder.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, Final

import msgspec

from benchsuite.endpoints.base import Connection, Exchange, Response, TokenCounter
from benchsuite.endpoints.in_process import with_tokenizer
from benchsuite.endpoints.openai_chat import OpenAIChat
from benchsuite.endpoints.openai_dialect import decode_stream
from benchsuite.endpoints.openai_server import Timeouts
from benchsuite.endpoints.reasoning_fields import ReasoningFields
from benchsuite.endpoints.wire_loop import WireLoop
from benchsuite.errors import EndpointError, ScenarioError
from benchsuite.request import Message, Request
from benchsuite.spec import Seconds, Spec
from reference_engine.config import EngineConfig

LOG_NAME: Final = "engine.log"
EMIT_LOG_NAME: Final = "emit.jsonl"
STOP_WITHIN_S: Final = 10.0
_LOG_TAIL_BYTES: Final = 2_000
_BAD_CONFIG: Final = 2  # the engine's exit code for a configuration that cannot be used


class Listening(msgspec.Struct):
    """What the engine prints once it takes requests."""

    url: str
    model: str


class ReferenceEngine(Spec, tag="reference_engine", frozen=True):
    """The bundled torch engine (needs the extra: `pip install "benchsuite[engine]"`)."""

    is_real_time: ClassVar[bool] = True

    engine: EngineConfig = EngineConfig()
    body_fields: dict[str, Any] = msgspec.field(
        name="body", default_factory=dict
    )  # further fields of every request, e.g. {temperature: 0}
    reasoning: ReasoningFields = ReasoningFields()  # where a request says how much to think
    timeouts: Timeouts = Timeouts()
    start_within: Seconds = 120.0
    emit_log: bool = False  # keep when each token truly left, for `benchsuite truth`

    @property
    def title(self) -> str:
        return f"reference_engine ({self.engine.served_name})"

    def notes(self) -> tuple[str, ...]:
        return ()

    def loop(self) -> asyncio.AbstractEventLoop:
        return WireLoop()

    @asynccontextmanager
    async def started(self, folder: Path) -> AsyncIterator[OpenAIChat]:
        """Start the process, wait until it listens, stop it at the end."""
        log_path = folder / LOG_NAME
        config_path = folder / "engine.json"
        config_path.write_bytes(
            msgspec.json.format(msgspec.json.encode(with_tokenizer(self.engine)))
        )
        with log_path.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "reference_engine", "--config", str(config_path)),
                *("--port", "0", "--exit-with-parent"),
                *(("--emit-log", str(folder / EMIT_LOG_NAME)) if self.emit_log else ()),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=_environment(),
                start_new_session=True,  # Ctrl-C is ours to handle; the engine outlives the drain
            )
            try:
                listening = await self._listening(process, log_path)
                yield OpenAIChat(
                    url=listening.url,
                    model=listening.model,
                    body_fields=self.body_fields,
                    reasoning=self.reasoning,
                    request_ids=self.emit_log,
                    timeouts=self.timeouts,
                )
            finally:
                await _stop(process)

    async def _listening(self, process: asyncio.subprocess.Process, log_path: Path) -> Listening:
        assert process.stdout is not None
        try:
            async with asyncio.timeout(self.start_within):
                line = await process.stdout.readline()
        except TimeoutError:
            raise EndpointError(
                f"reference_engine: not listening after {self.start_within:g} s; see {log_path}"
            ) from None
        try:
            return msgspec.json.decode(line, type=Listening)
        except msgspec.DecodeError:
            await process.wait()
            if process.returncode == _BAD_CONFIG:
                problem = _tail(log_path).removeprefix("reference_engine: ")
                raise ScenarioError(f"endpoint.engine: {problem}") from None
            raise EndpointError(
                f"reference_engine: stopped with exit code {process.returncode} "
                f"before it listened:\n{_tail(log_path)}"
            ) from None

    def connect(self) -> AbstractAsyncContextManager[Connection]:
        raise AssertionError("connect to what `started` gives")

    def body(self, request: Request, messages: tuple[Message, ...]) -> bytes:
        raise AssertionError("the endpoint that `started` gives makes the bodies")

    def decode(self, exchange: Exchange, count_tokens: TokenCounter) -> Response:
        return decode_stream(exchange, count_tokens)


def _tail(path: Path) -> str:
    return path.read_bytes()[-_LOG_TAIL_BYTES:].decode("utf-8", "replace").strip()


def _environment() -> dict[str, str]:
    """Ours, with this installation importable and nothing buffered."""
    root = str(Path(__file__).resolve().parent.parent.parent)
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


async def _stop(process: asyncio.subprocess.Process) -> None:
    """End the engine that we started: asked first, then made to."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_WITHIN_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
