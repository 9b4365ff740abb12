"""The live line. It reads counters from its own thread and never touches a record."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from benchsuite.loadgen.driver import Counters

REFRESH_S: Final = 0.5
PLAIN_S: Final = 10.0  # between lines where the output is no terminal


@contextmanager
def progress(
    console: Console, count: Callable[[], Counters], num_planned: int | None
) -> Iterator[None]:
    """Show what is going on until the block ends."""
    done = threading.Event()
    show = _show_live if console.is_terminal else _show_lines
    thread = threading.Thread(
        target=show, args=(console, count, num_planned, done), name="progress", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _show_live(
    console: Console, count: Callable[[], Counters], num_planned: int | None, done: threading.Event
) -> None:
    started_s = time.monotonic()
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while not done.wait(REFRESH_S):
            live.update(
                Text(line(count(), num_planned, time.monotonic() - started_s)), refresh=True
            )


def _show_lines(
    console: Console, count: Callable[[], Counters], num_planned: int | None, done: threading.Event
) -> None:
    started_s = time.monotonic()
    while not done.wait(PLAIN_S):
        console.print(line(count(), num_planned, time.monotonic() - started_s), highlight=False)


def line(counters: Counters, num_planned: int | None, elapsed_s: float) -> str:
    """One line for people."""
    sent, ended = counters.num_sent, counters.num_ended
    planned = f"/{num_planned}" if num_planned is not None else ""
    text = f"{elapsed_s:6.1f} s   sent {sent}{planned}   in flight {sent - ended}   ended {ended}"
    if counters.num_errors:
        text += f"   errors {counters.num_errors}"
    return text + ("   draining" if counters.is_draining else "")
