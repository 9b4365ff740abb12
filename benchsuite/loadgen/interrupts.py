"""Ctrl-C and SIGTERM, from the first request to the last page: what each of them means when."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from rich.console import Console

from benchsuite.loadgen.driver import Stop

INTERRUPTS: Final = (signal.SIGINT, signal.SIGTERM)

Handlers = dict[signal.Signals, Any]  # of one signal each, as `signal.getsignal` gives them


@contextmanager
def signals(loop: asyncio.AbstractEventLoop, stop: Stop, console: Console) -> Iterator[None]:
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

    previous = {one: signal.signal(one, interrupted) for one in INTERRUPTS}
    try:
        yield
    finally:
        _restore(previous)
        if stop.interrupted and not stop.flight.is_set():
            _spare_one(console)


def _spare_one(console: Console) -> None:
    """A second Ctrl-C that comes when all answers are in does not cost the report."""

    def ignored(number: int, frame: FrameType | None) -> None:
        console.print("writing what is there (again: leave it)", highlight=False)
        _restore(previous)

    previous = {one: signal.signal(one, ignored) for one in INTERRUPTS}


def _restore(handlers: Handlers) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


@contextmanager
def handlers_kept() -> Iterator[None]:
    """What a run does to Ctrl-C and SIGTERM ends with it."""
    before = {one: signal.getsignal(one) for one in INTERRUPTS}
    try:
        yield
    finally:
        _restore(before)
