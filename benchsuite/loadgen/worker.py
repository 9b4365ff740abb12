"""One of several workers: plan, take a part, get ready, send, say how it ended.

Wherever it runs, it has a pipe to the first process, which tells it the run's zero and when to
stop, and a place for its counters, which the first process reads.
"""

import asyncio
import threading
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from benchsuite.endpoints.base import Endpoint
from benchsuite.errors import BenchsuiteError, ScenarioError
from benchsuite.loadgen.counters import NUM_CELLS, Counters
from benchsuite.loadgen.driver import Stop
from benchsuite.loadgen.schedule import Schedule
from benchsuite.loadgen.sending import Share, send
from benchsuite.scenario import Scenario
from benchsuite.workloads import tokenizer as tokenizers

COPY_S: Final = 0.25  # between two copies of a worker's counters


class Array(Protocol):
    """The counters of all workers, one after the other."""

    def __getitem__(self, index: slice) -> list[int]: ...
    def __setitem__(self, index: slice, values: list[int]) -> None: ...


def cells(num_workers: int) -> int:
    """How long an array of counters is."""
    return NUM_CELLS * num_workers


def total(counts: Array, num_workers: int) -> NDArray[np.int64]:
    """Over all workers, [NUM_CELLS]."""
    of_all = np.array(counts[0 : cells(num_workers)], dtype=np.int64)
    summed: NDArray[np.int64] = of_all.reshape(num_workers, NUM_CELLS).sum(axis=0)
    return summed


def work(
    scenario: Scenario,
    endpoint: Endpoint,
    folder: Path,
    number: int,
    num_workers: int,
    pipe: Pipe,
    shared: Array,
    digest: str | None = None,
) -> None:
    """A worker's life: plan, take a part, get ready, send, say how it ended.

    `digest`: of the schedule, where the first process may have planned another one.
    """
    try:
        _live(scenario, endpoint, folder, number, num_workers, pipe, shared, digest)
    except (EOFError, ConnectionError):
        return  # the first process is gone, or was interrupted before the start; it has the word


def _live(
    scenario: Scenario,
    endpoint: Endpoint,
    folder: Path,
    number: int,
    num_workers: int,
    pipe: Pipe,
    shared: Array,
    digest: str | None,
) -> None:
    try:
        tokenizer = tokenizers.load(scenario.tokenizer)
        schedule = Schedule.plan(scenario, tokenizer)
        if digest is not None and schedule.digest() != digest:
            raise ScenarioError(
                "plans another schedule: other data files, or another version of numpy?"
            )
        part = schedule.part(number, num_workers)
        share = Share(endpoint, part, tokenizer, scenario.limits, folder, number)
        with asyncio.Runner(loop_factory=endpoint.loop) as runner:
            runner.run(_send(share, pipe, shared))
    except BenchsuiteError as error:
        pipe.send(error)
    else:
        pipe.send("done")


async def _send(share: Share, pipe: Pipe, shared: Array) -> None:
    stop, counters = Stop(), Counters()
    loop = asyncio.get_running_loop()

    async def zero() -> float:
        pipe.send("ready")
        start_s: float = await asyncio.to_thread(pipe.recv)
        threading.Thread(target=_listen, args=(pipe, loop, stop), daemon=True).start()
        return start_s

    copying = loop.create_task(_copy(counters, shared, share.worker))
    try:
        await send(share, stop, counters, zero)
        _publish(counters, shared, share.worker)
    finally:
        copying.cancel()


def _listen(pipe: Pipe, loop: asyncio.AbstractEventLoop, stop: Stop) -> None:
    """Orders from the first process; its death is one too."""
    word = ""
    while word != "stop now":
        try:
            word = pipe.recv()
        except (EOFError, OSError):
            word = "stop now"
        loop.call_soon_threadsafe(stop.issuing.set if word == "stop" else stop.at_once)


def _publish(counters: Counters, shared: Array, number: int) -> None:
    shared[number * NUM_CELLS : (number + 1) * NUM_CELLS] = counters.cells().tolist()


async def _copy(counters: Counters, shared: Array, number: int) -> None:
    while True:
        _publish(counters, shared, number)
        await asyncio.sleep(COPY_S)
