"""One process's share of a run: an event loop, a connection, a driver, a spool.

The only part of a run that touches the network. Everything that it needs is planned before, and
everything that it finds lies in the spool after.
"""

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Final, NamedTuple

from benchsuite.endpoints.base import Endpoint
from benchsuite.errors import BenchsuiteError
from benchsuite.loadgen.counters import Counters
from benchsuite.loadgen.driver import Driver, Stop
from benchsuite.loadgen.schedule import Schedule
from benchsuite.loadgen.watch import Watch
from benchsuite.records import client
from benchsuite.records.spool import SpoolWriter
from benchsuite.scenario import Limits
from benchsuite.workloads.tokenizer import Tokenizer

TOOL_THREADS: Final = 64  # more tools than that do not run at once
LEAD_S: Final = 0.1  # to the run's zero once bodies are made, so that nothing is late at once
SWITCH_S: Final = 1e-4  # how long another thread may keep the event loop from running
SPOOL_NAME: Final = "spool"


class DiskError(BenchsuiteError):
    """Records could not be written; the run stopped, and what was written before is kept."""


class Share(NamedTuple):
    """What one worker needs to know. `schedule` is its own part."""

    endpoint: Endpoint  # to connect to: what `started` gave
    schedule: Schedule
    tokenizer: Tokenizer
    limits: Limits
    folder: Path
    worker: int


async def send(
    share: Share, stop: Stop, counters: Counters, zero: Callable[[], Awaitable[float]]
) -> None:
    """Send a share. `zero` is awaited when all is ready, and says when the run begins.

    Raises EndpointError before anything was sent if the server cannot be reached, and DiskError
    if records could not be written.
    """
    loop = asyncio.get_running_loop()
    is_real = share.endpoint.is_real_time
    threads = ThreadPoolExecutor(1, "bodies") if is_real else None
    tool_threads = ThreadPoolExecutor(TOOL_THREADS, "tools") if is_real else None
    async with share.endpoint.connect() as connection:
        driver = Driver(
            share.endpoint,
            connection,
            share.schedule,
            share.tokenizer.count,
            worker=share.worker,
            issue_for_s=share.limits.duration,
            drain_s=share.limits.drain,
            stop=stop,
            counters=counters,
            threads=threads,
            tool_threads=tool_threads,
        )
        driver.prepare()
        with _undisturbed() if is_real else nullcontext():  # a simulated clock waits for us
            start_s = await zero()
            watch = Watch(share.worker, loop) if is_real else None
            writer = SpoolWriter(
                share.folder / SPOOL_NAME / f"{share.worker}.arrows",
                {"start_s": start_s},
                on_failure=lambda: loop.call_soon_threadsafe(stop.at_once),
            )
            try:
                await driver.drive(start_s, writer.put)
            finally:
                seen = watch.end(connection) if watch is not None else None
                writer.close()
                for pool in (threads, tool_threads):
                    if pool is not None:
                        pool.shutdown(cancel_futures=True)
    if writer.failure is not None:
        raise DiskError(
            f"{share.folder}: {writer.failure.strerror or writer.failure}; the run was stopped and "
            f"{writer.num_written} requests are kept. Make room, then: "
            f"benchsuite recover {share.folder}"
        )
    if seen is not None:
        client.write(seen, share.folder / SPOOL_NAME)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """What stands before the run stays: the collector need not look at it, and pauses for less.
    The spool's thread and the one that makes bodies give way soon: Python's own 5 ms would make
    what is due meanwhile that late."""
    gc.collect()
    gc.freeze()
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before_s)
        gc.unfreeze()
