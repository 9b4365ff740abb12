"""Who sends: this process, or several that share nothing while the run is on.

Each worker plans the whole schedule for itself, takes its part, connects and makes its bodies;
then all get one start time on the machine's monotonic clock. From there on nobody waits for
anybody: a worker only copies its counters to where the first process reads them. One that dies
takes its part with it; the others go on, and the run says what was lost.
"""

import asyncio
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ctypes import c_int64
from multiprocessing.connection import Connection as Pipe
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from benchsuite.endpoints.base import Endpoint
from benchsuite.errors import BenchsuiteError, RunError
from benchsuite.loadgen.counters import Counters
from benchsuite.loadgen.driver import Stop
from benchsuite.loadgen.interrupts import signals
from benchsuite.loadgen.progress import View, progress
from benchsuite.loadgen.schedule import Schedule
from benchsuite.loadgen.sending import LEAD_S, SPOOL_NAME, Share, send
from benchsuite.loadgen.telemetry import metering, reading
from benchsuite.loadgen.worker import Array, cells, total, work
from benchsuite.records.node import Node
from benchsuite.scenario import Scenario
from benchsuite.workloads.tokenizer import Tokenizer

REQUESTS_PER_S: Final = 500.0  # what one worker is given at most, by choice: far from its limit
TOKENS_PER_S: Final = 25_000.0
STREAMS: Final = 1024
STREAM_TOKENS_PER_S: Final = 30.0  # guessed of a closed loop, whose rate nobody knows before


class Ended(NamedTuple):
    """How the sending ended."""

    early: str | None  # why the run is incomplete; None if it is not
    num_workers: int
    nodes: tuple[Node, ...] = ()  # the machines that sent, where they were several


def send_all(
    scenario: Scenario,
    schedule: Schedule,
    tokenizer: Tokenizer,
    folder: Path,
    console: Console,
    view: View = View(),  # noqa: B008  it cannot be changed
) -> Ended:
    """Send the schedule; records go to `folder/spool`, one file a worker.

    Raises EndpointError before anything was sent if the server cannot be reached.
    """
    num_workers = choose(scenario, schedule, os.cpu_count() or 1)
    (folder / SPOOL_NAME).mkdir()
    stop = Stop()

    async def main() -> str | None:
        loop = asyncio.get_running_loop()
        async with (
            scenario.endpoint.started(folder) as endpoint,
            reading(scenario.telemetry, endpoint, folder / SPOOL_NAME),
            metering(scenario.telemetry, endpoint, folder / SPOOL_NAME),
        ):
            if num_workers > 1:
                return await _many(
                    scenario, schedule, endpoint, folder, console, view, num_workers, stop
                )
            counters = Counters()
            share = Share(endpoint, schedule, tokenizer, scenario.limits, folder, 0)
            with (
                signals(loop, stop, console),
                progress(console, view, counters.cells, schedule),
            ):
                await send(share, stop, counters, _soon)
            return "interrupted" if stop.interrupted else None

    with asyncio.Runner(loop_factory=scenario.endpoint.loop) as runner:
        return Ended(runner.run(main()), num_workers)


async def _soon() -> float:
    return asyncio.get_running_loop().time() + LEAD_S


def choose(scenario: Scenario, schedule: Schedule, cores: int) -> int:
    """How many workers a load wants, with a core left to everybody else."""
    if not scenario.endpoint.is_real_time:
        return 1
    if scenario.workers is not None:
        return min(scenario.workers, schedule.concurrency or scenario.workers)
    if schedule.concurrency is not None:
        tokens_per_s = schedule.concurrency * STREAM_TOKENS_PER_S
        wanted = max(tokens_per_s / TOKENS_PER_S, schedule.concurrency / STREAMS)
    else:
        assert schedule.due_s is not None
        span_s = max(schedule.due_s[-1] - schedule.due_s[0], 1.0)
        requests = [request for _, session in schedule for request in session.requests]
        tokens = sum(request.max_output_tokens for request in requests)
        wanted = max(
            tokens / span_s / TOKENS_PER_S,
            len(requests) / span_s / REQUESTS_PER_S,
        )
    return max(1, min(round(wanted + 0.5), cores - 1))


# --- several: what stands here ---


class Worker(Protocol):
    """One of several that send, as it is seen from here."""

    @property
    def number(self) -> int: ...

    @property
    def num_workers(self) -> int: ...

    async def heard(self) -> str | BenchsuiteError | None:
        """Its next word: "ready", "done", or an error; None if it died."""
        ...

    def tell(self, word: str | float) -> None:
        """The run's zero on its own clock, "stop" or "stop now"; to a dead one, nothing."""
        ...

    async def cause(self) -> str:
        """What it died of, for people."""
        ...


async def all_ready(workers: Sequence[Worker]) -> None:
    """Raises what keeps one of them from starting."""
    for worker in workers:
        word = await worker.heard()
        if isinstance(word, BenchsuiteError):
            raise word
        if word is None:
            cause = await worker.cause()
            raise RunError(f"worker {worker.number} died before the run began ({cause})")


async def all_ended(
    workers: Sequence[Worker],
    schedule: Schedule,
    count: Callable[[], NDArray[np.int64]],
    console: Console,
    view: View,
    stop: Stop,
) -> str | None:
    """Wait for the end of all who were told when to begin; says why the run is incomplete."""
    with progress(console, view, count, schedule), _passing_on(workers, stop):
        lost = [word for worker in workers if (word := await _ended(worker, schedule))]
    if lost:
        return "; ".join(lost)
    return "interrupted" if stop.interrupted else None


async def _ended(worker: Worker, schedule: Schedule) -> str | None:
    """Waits for a worker's end; says what is lost if it did not end well."""
    word = await worker.heard()
    if isinstance(word, BenchsuiteError):
        raise word
    if word is not None:
        return None
    part = schedule.part(worker.number, worker.num_workers).num_requests
    share = "" if part is None else f", its part {part} requests"
    return f"worker {worker.number} was lost ({await worker.cause()}{share})"


@contextmanager
def _passing_on(workers: Sequence[Worker], stop: Stop) -> Iterator[None]:
    """Interrupts come here alone; the workers hear of them."""

    async def pass_on() -> None:
        await stop.issuing.wait()
        for worker in workers:
            worker.tell("stop")
        await stop.flight.wait()
        for worker in workers:
            worker.tell("stop now")

    task = asyncio.get_running_loop().create_task(pass_on())
    try:
        yield
    finally:
        task.cancel()


# --- several: processes of this machine ---


class _Process(NamedTuple):
    number: int
    num_workers: int
    process: SpawnProcess
    pipe: Pipe

    async def heard(self) -> str | BenchsuiteError | None:
        try:
            word: str | BenchsuiteError = await asyncio.to_thread(self.pipe.recv)
        except EOFError:
            return None
        return word

    def tell(self, word: str | float) -> None:
        try:
            self.pipe.send(word)
        except OSError:
            return  # it died; whoever waits for its end will say so

    async def cause(self) -> str:
        await asyncio.to_thread(self.process.join)
        return f"exit code {self.process.exitcode}"


async def _many(
    scenario: Scenario,
    schedule: Schedule,
    endpoint: Endpoint,
    folder: Path,
    console: Console,
    view: View,
    num_workers: int,
    stop: Stop,
) -> str | None:
    context = multiprocessing.get_context("spawn")
    shared = context.Array(c_int64, cells(num_workers), lock=False)
    workers = []
    for number in range(num_workers):
        ours, theirs = context.Pipe()
        arguments = (scenario, endpoint, folder, number, num_workers, theirs, shared)
        process = context.Process(target=_process, args=arguments, name=f"worker-{number}")
        process.start()
        theirs.close()
        workers.append(_Process(number, num_workers, process, ours))
    try:
        await all_ready(workers)
        start_s = time.monotonic() + LEAD_S
        for worker in workers:
            worker.tell(start_s)
        loop = asyncio.get_running_loop()
        with signals(loop, stop, console):
            return await all_ended(
                workers, schedule, lambda: total(shared, num_workers), console, view, stop
            )
    finally:
        for worker in workers:
            worker.pipe.close()  # whoever still runs takes this as the order to stop
            await asyncio.to_thread(worker.process.join)


def _process(
    scenario: Scenario,
    endpoint: Endpoint,
    folder: Path,
    number: int,
    num_workers: int,
    pipe: Pipe,
    shared: Array,
) -> None:
    os.setsid()  # Ctrl-C in the terminal is for the first process alone
    work(scenario, endpoint, folder, number, num_workers, pipe, shared)
