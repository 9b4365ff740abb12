"""One process's share of a run: an event loop, a connection, a driver, a spool.

The only part of a run that touches the network. Everything that it needs is planned before, and
everything that it finds lies in the spool after.
"""

import asyncio
import gc
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from rich.console import Console

from benchsuite.errors import BenchsuiteError
from benchsuite.loadgen.driver import Counters, Driver, Stop
from benchsuite.loadgen.progress import progress
from benchsuite.loadgen.schedule import Schedule
from benchsuite.records.spool import SpoolWriter
from benchsuite.scenario import Scenario
from benchsuite.workloads.tokenizer import Tokenizer

LEAD_S: Final = 0.1  # to the run's zero once bodies are made, so that nothing is late at once


class DiskError(BenchsuiteError):
    """Records could not be written; the run stopped, and what was written before is kept."""


def send_all(
    scenario: Scenario, schedule: Schedule, tokenizer: Tokenizer, folder: Path, console: Console
) -> str | None:
    """Send the schedule; records go to `folder/spool`. Returns why it ended early, or None.

    Raises EndpointError before anything was sent if the server cannot be reached.
    """
    spool = folder / "spool"
    spool.mkdir()
    counters = Counters()
    with (
        _collected(),
        progress(console, counters, schedule.num_requests),
        asyncio.Runner(loop_factory=scenario.endpoint.loop) as runner,
    ):
        return runner.run(_send(scenario, schedule, tokenizer, folder, counters, console))


@contextmanager
def _collected() -> Iterator[None]:
    """What stands before the run stays: the collector need not look at it, and pauses for less."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def _send(
    scenario: Scenario,
    schedule: Schedule,
    tokenizer: Tokenizer,
    folder: Path,
    counters: Counters,
    console: Console,
) -> str | None:
    loop = asyncio.get_running_loop()
    stop = Stop()
    is_real = scenario.endpoint.is_real_time
    threads = ThreadPoolExecutor(1, "bodies") if is_real else None
    async with scenario.endpoint.started(folder) as endpoint, endpoint.connect() as connection:
        driver = Driver(
            endpoint,
            connection,
            schedule,
            tokenizer.count,
            issue_for_s=scenario.limits.duration,
            drain_s=scenario.limits.drain,
            stop=stop,
            counters=counters,
            threads=threads,
        )
        driver.prepare()
        start_s = loop.time() + LEAD_S
        writer = SpoolWriter(
            folder / "spool" / "0.arrows",
            {"start_s": start_s},
            on_failure=lambda: loop.call_soon_threadsafe(stop.at_once),
        )
        try:
            with _signals(loop, stop, console):
                await driver.drive(start_s, writer.put)
        finally:
            writer.close()
            if threads is not None:
                threads.shutdown(cancel_futures=True)
    if writer.failure is not None:
        raise DiskError(
            f"{folder}: {writer.failure.strerror or writer.failure}; the run was stopped and "
            f"{writer.num_written} requests are kept. Make room, then: benchsuite recover {folder}"
        )
    return "interrupted" if stop.interrupted else None


@contextmanager
def _signals(loop: asyncio.AbstractEventLoop, stop: Stop, console: Console) -> Iterator[None]:
    """Ctrl-C once: no more requests, wait for answers. Twice: keep what is there. Then: die."""

    def interrupted(number: int, frame: FrameType | None) -> None:
        if not stop.interrupted:
            stop.interrupted = True
            loop.call_soon_threadsafe(stop.issuing.set)
            console.print("stopping: waiting for answers (again: stop now)", highlight=False)
        else:
            loop.call_soon_threadsafe(stop.flight.set)
            for one in previous:
                signal.signal(one, signal.SIG_DFL)

    previous = {one: signal.signal(one, interrupted) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
