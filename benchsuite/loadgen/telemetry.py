"""Reads a server's `/metrics` and this machine's energy meters while the requests run. What was
read lies in the spool, on this machine's monotonic clock.

A thread with a loop of its own: reading 50 KB a second takes a few milliseconds of it, and the
interpreter hands over to the event loop of the requests within `sending.SWITCH_S`.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from threading import Event
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from benchsuite.endpoints import control, http_request
from benchsuite.endpoints.base import Endpoint
from benchsuite.endpoints.in_process import Simulated
from benchsuite.endpoints.openai_server import OpenAIServer
from benchsuite.errors import EndpointError, ScenarioError
from benchsuite.loadgen.energy_meters import Meter, meters
from benchsuite.loadgen.server_metrics import parse
from benchsuite.records.telemetry import SPOOL_SUFFIX, Sample, TelemetryWriter
from benchsuite.scenario import Telemetry

SOURCE: Final = "server"
ENERGY: Final = "energy"
ENERGY_EVERY_S: Final = 0.2  # counters move about ten times a second
LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
TIMEOUT_S: Final = 5.0


class Target(NamedTuple):
    """Whom to ask, and how."""

    url: str
    headers: dict[str, str]
    tls: ssl.SSLContext | None


@asynccontextmanager
async def reading(wanted: Telemetry, endpoint: Endpoint, spool: Path) -> AsyncIterator[None]:
    """Readings every `wanted.every` seconds while the body runs, one before it and one after.

    A server without metrics is asked once and never again.
    """
    found = target(wanted, endpoint)
    if isinstance(endpoint, Simulated) and wanted.server != "off":
        with TelemetryWriter(spool / f"{SOURCE}{SPOOL_SUFFIX}") as writer:
            async with _simulated(endpoint, wanted.every, writer):
                yield
        return
    if found is None:
        yield
        return
    with TelemetryWriter(spool / f"{SOURCE}{SPOOL_SUFFIX}") as writer:
        first = await asyncio.to_thread(read_once, found)
        writer.put(first)
        if not first:
            yield
            return
        async with repeated(lambda: read_once(found), wanted.every, writer):
            yield


@asynccontextmanager
async def _simulated(
    endpoint: Simulated, every_s: float, writer: TelemetryWriter
) -> AsyncIterator[None]:
    """As `repeated`, on the loop's virtual time and without a thread."""
    loop = asyncio.get_running_loop()

    async def read() -> None:
        told = parse(await endpoint.metrics())
        at_s = loop.time()
        writer.put([Sample(at_s, SOURCE, name, value) for name, value in told.items()])

    async def repeat() -> None:
        while not endpoint.is_stuck():
            await asyncio.sleep(every_s)
            await read()

    await read()
    repeating = asyncio.create_task(repeat())
    try:
        yield
    finally:
        repeating.cancel()
        await asyncio.wait({repeating})
        await read()


@asynccontextmanager
async def metering(wanted: Telemetry, endpoint: Endpoint, spool: Path) -> AsyncIterator[None]:
    """Energy of this machine's boards and processors while the body runs: where the server is on
    it, for only then it is the server's."""
    is_here = endpoint.is_real_time and urlsplit(_url(endpoint)).hostname in LOOPBACK
    if wanted.energy == "off" or not (is_here or wanted.energy == "on"):
        yield
        return
    with ExitStack() as held:
        found = await asyncio.to_thread(held.enter_context, meters())
        if not found:
            yield
            return
        writer = held.enter_context(TelemetryWriter(spool / f"{ENERGY}{SPOOL_SUFFIX}"))
        async with repeated(lambda: read_meters(found), ENERGY_EVERY_S, writer):
            yield


def _url(endpoint: Endpoint) -> str:
    return endpoint.url if isinstance(endpoint, OpenAIServer) else ""


def read_meters(found: Sequence[Meter]) -> list[Sample]:
    """One reading of each; those that could not be read are missing."""
    samples = []
    for meter in found:
        before_s = time.monotonic()
        value = meter.read()
        if value is not None:
            at_s = (before_s + time.monotonic()) / 2
            samples.append(Sample(at_s, meter.source, meter.name, value))
    return samples


@asynccontextmanager
async def repeated(
    read: Callable[[], list[Sample]], every_s: float, writer: TelemetryWriter
) -> AsyncIterator[None]:
    """`read` in a thread now, every so often while the body runs, and once after it."""
    is_over = Event()

    def repeat() -> None:
        writer.put(read())
        due_s = time.monotonic() + every_s
        while not is_over.wait(max(due_s - time.monotonic(), 0.0)):
            writer.put(read())
            due_s = max(due_s + every_s, time.monotonic())
        writer.put(read())

    repeating = asyncio.create_task(asyncio.to_thread(repeat))
    try:
        yield
    finally:
        is_over.set()
        await repeating


def target(wanted: Telemetry, endpoint: Endpoint) -> Target | None:
    """Where the endpoint's metrics are; None where nobody asked for them or there are none."""
    if wanted.server.startswith("http"):
        if not endpoint.is_real_time:
            raise ScenarioError("telemetry.server: on virtual time there is no server to read")
        try:
            http_request.target(wanted.server)
        except EndpointError as error:
            raise ScenarioError(f"telemetry.server: {error}") from error
        is_secret = wanted.server.startswith("https:")
        return Target(wanted.server, {}, ssl.create_default_context() if is_secret else None)
    if wanted.server == "off" or not isinstance(endpoint, OpenAIServer):
        return None
    url = endpoint.resource("").removesuffix("/v1") + "/metrics"
    return Target(url, endpoint.request_headers(), endpoint.tls())


def read_once(target: Target) -> list[Sample]:
    """One reading; none where the server does not answer with metrics of a known kind. A gap in
    the readings says so: a server that is too busy to answer is no reason to end a run."""
    before_s = time.monotonic()
    try:
        answer = asyncio.run(control.get(*target, TIMEOUT_S))
    except (OSError, control.NotHttpError):
        return []
    at_s = (before_s + time.monotonic()) / 2
    if answer.status != 200:
        return []
    return [
        Sample(at_s, SOURCE, name, value)
        for name, value in parse(answer.body.decode(errors="replace")).items()
    ]
