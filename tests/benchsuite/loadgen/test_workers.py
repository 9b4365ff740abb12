"""Interrupts: what each one does, and that their handlers go with the run."""

import asyncio
import io
import multiprocessing
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from benchsuite.arrivals.closed_loop import ClosedLoop
from benchsuite.endpoints.in_process import InProcess
from benchsuite.loadgen.driver import Stop
from benchsuite.loadgen.interrupts import handlers_kept, signals
from benchsuite.loadgen.workers import _process
from benchsuite.scenario import Limits, Scenario
from tests.benchsuite.loadgen.test_schedule import SYNTHETIC


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop, under Python's own Ctrl-C: what starts in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    made = asyncio.new_event_loop()
    yield made
    made.close()
    signal.signal(signal.SIGINT, before)


def test_a_second_interrupt_that_comes_late_does_not_cost_the_report(
    loop: asyncio.AbstractEventLoop,
) -> None:
    """All answers are in and are being written: it is spared, the third one is not."""
    stop = Stop()
    with handlers_kept():
        with signals(loop, stop, Console(file=io.StringIO())):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert stop.interrupted
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_after_a_whole_run_ends_the_writing(loop: asyncio.AbstractEventLoop) -> None:
    """What was measured is on the disk; nothing is spared."""
    with handlers_kept():
        with signals(loop, Stop(), Console(file=io.StringIO())):
            pass
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_worker_goes_without_a_word_when_nobody_listens(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The first process was interrupted before the start: no traceback on the user's terminal."""
    scenario = Scenario(
        name="w",
        endpoint=InProcess(),
        workload=SYNTHETIC,
        arrivals=ClosedLoop(concurrency=1),
        limits=Limits(requests=1),
    )
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    arguments = (scenario, scenario.endpoint, tmp_path, 0, 1, theirs, None)
    process = context.Process(target=_process, args=arguments)
    process.start()
    theirs.close()
    ours.close()
    process.join()
    assert process.exitcode == 0
    assert "Traceback" not in capfd.readouterr().err
