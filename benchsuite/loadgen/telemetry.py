"""Reads a server's `/metrics` while the requests run. What it read lies in the spool, on this
machine's monotonic clock.

A thread with nothing but an HTTP client: reading 50 KB a second takes a few milliseconds of it, and
the interpreter hands over to the event loop within `sending.SWITCH_S`.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event
from typing import Final, NamedTuple

import httpx

from benchsuite.endpoints.base import Endpoint
from benchsuite.endpoints.openai_server import OpenAIServer
from benchsuite.errors import ScenarioError
from benchsuite.loadgen.server_metrics import parse
from benchsuite.records.telemetry import SPOOL_SUFFIX, Sample, TelemetryWriter
from benchsuite.scenario import Telemetry

SOURCE: Final = "server"
TIMEOUT_S: Final = 5.0


class Target(NamedTuple):
    """Whom to ask, and how."""

    url: str
    client: httpx.Client


@asynccontextmanager
async def reading(wanted: Telemetry, endpoint: Endpoint, spool: Path) -> AsyncIterator[None]:
    """Readings every `wanted.every` seconds while the body runs, one before it and one after.

    A server without metrics is asked once and never again.
    """
    found = target(wanted, endpoint)
    if found is None:
        yield
        return
    with found.client, TelemetryWriter(spool / f"{SOURCE}{SPOOL_SUFFIX}") as writer:
        first = await asyncio.to_thread(read_once, found)
        writer.put(first)
        if not first:
            yield
            return
        is_over = Event()

        def repeat() -> None:
            due_s = time.monotonic() + wanted.every
            while not is_over.wait(max(due_s - time.monotonic(), 0.0)):
                writer.put(read_once(found))
                due_s = max(due_s + wanted.every, time.monotonic())
            writer.put(read_once(found))

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
        return Target(wanted.server, httpx.Client(timeout=TIMEOUT_S, trust_env=False))
    if wanted.server == "off" or not isinstance(endpoint, OpenAIServer):
        return None
    client = httpx.Client(
        headers=endpoint.request_headers(),
        verify=endpoint.tls() or False,
        timeout=TIMEOUT_S,
        trust_env=False,
    )
    return Target(endpoint.resource("").removesuffix("/v1") + "/metrics", client)


def read_once(target: Target) -> list[Sample]:
    """One reading; none where the server does not answer with metrics of a known kind. A gap in
    the readings says so: a server that is too busy to answer is no reason to end a run."""
    before_s = time.monotonic()
    try:
        answer = target.client.get(target.url)
    except httpx.HTTPError:
        return []
    at_s = (before_s + time.monotonic()) / 2
    if answer.status_code != 200:
        return []
    return [Sample(at_s, SOURCE, name, value) for name, value in parse(answer.text).items()]
