"""What is seen of a run while it goes on: a dashboard in a terminal, else lines; and Prometheus.

A thread of the first process reads the counters now and then and never touches a record. What it
shows is provisional: reads stand for tokens, and the result may say otherwise.
"""

import ipaddress
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from benchsuite.errors import ScenarioError
from benchsuite.loadgen.counters import Reading, quantile_s, reading
from benchsuite.loadgen.prometheus import served
from benchsuite.loadgen.schedule import Schedule

REFRESH_S: Final = 1.0
PLAIN_S: Final = 10.0  # between lines where the output is no terminal
SPAN_S: Final = 10.0  # rates and quantiles are of so many last seconds
SHARES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
ROWS: Final = {"ttft": "TTFT", "itl": "ITL", "send_delay": "send delay", "client_lag": "client lag"}

Count = Callable[[], NDArray[np.int64]]


class Address(NamedTuple):
    host: str
    port: int


class View(NamedTuple):
    """How a run is to be watched. `live` where the output is no terminal is `plain`."""

    style: Literal["live", "plain", "quiet"] = "live"
    listen: Address | None = None  # for Prometheus


def address(text: str) -> Address:
    """`PORT` (of 127.0.0.1) or `HOST:PORT`. Raises ScenarioError: not one, or not of loopback."""
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not (port.isascii() and port.isdigit() and int(port) < 65_536):
        raise ScenarioError(f"--listen {text}: expected PORT or HOST:PORT")
    try:
        is_ours = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_ours = False
    if not is_ours:
        raise ScenarioError(f"--listen {text}: serves this machine alone, such as 127.0.0.1:{port}")
    return Address("127.0.0.1" if host == "localhost" else host, int(port))


class Moment(NamedTuple):
    """A reading, and when it was taken: seconds from when the watching began."""

    at_s: float
    seen: Reading


@contextmanager
def progress(console: Console, view: View, count: Count, schedule: Schedule) -> Iterator[None]:
    """Show what is going on until the block ends. Raises ScenarioError if nobody can listen."""
    with ExitStack() as stack:
        if view.listen is not None:
            url = stack.enter_context(served(view.listen.host, view.listen.port, count))
            console.print(f"Prometheus: {url}", highlight=False, soft_wrap=True)
        if view.style != "quiet":
            is_live = view.style == "live" and console.is_terminal
            stack.enter_context(_watching(console, is_live, count, schedule))
        yield


@contextmanager
def _watching(console: Console, is_live: bool, count: Count, schedule: Schedule) -> Iterator[None]:
    done = threading.Event()
    show = _show_live if is_live else _show_lines
    arguments = (console, _moments(count), schedule, done)
    thread = threading.Thread(target=show, args=arguments, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _moments(count: Count) -> Iterator[tuple[Moment, Moment]]:
    """The moment before the last SPAN_S, and now; at every `next`. Time runs from this call."""
    started_s = time.monotonic()
    kept = deque([Moment(0.0, reading(count()))])

    def look() -> tuple[Moment, Moment]:
        now = Moment(time.monotonic() - started_s, reading(count()))
        kept.append(now)
        while len(kept) > 2 and kept[1].at_s <= now.at_s - SPAN_S:
            kept.popleft()
        return kept[0], now

    return iter(look, None)


def _show_live(
    console: Console,
    moments: Iterator[tuple[Moment, Moment]],
    schedule: Schedule,
    done: threading.Event,
) -> None:
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while not done.wait(REFRESH_S):
            live.update(dashboard(*next(moments), schedule), refresh=True)


def _show_lines(
    console: Console,
    moments: Iterator[tuple[Moment, Moment]],
    schedule: Schedule,
    done: threading.Event,
) -> None:
    while not done.wait(PLAIN_S):
        console.print(line(*next(moments), schedule), highlight=False, soft_wrap=True)


def line(before: Moment, now: Moment, schedule: Schedule) -> str:
    """One line for people and logs."""
    seen, series = now.seen, _recent(before.seen, now.seen)
    planned = f"/{schedule.num_requests}" if schedule.num_requests is not None else ""
    parts = [
        f"{now.at_s:6.1f} s",
        f"sent {seen.num_sent}{planned}",
        f"in flight {seen.num_sent - seen.num_ended}",
        f"ended {seen.num_ended}",
        _rates(before, now, schedule),
    ]
    for name in ("ttft", "itl"):
        if series[name].sum():
            parts.append(f"{ROWS[name]} p50 {_ms(series[name], 0.5)} p99 {_ms(series[name], 0.99)}")
    if seen.num_errors:
        parts.append(f"errors {seen.num_errors} ({_errors(seen)})")
    return "   ".join([*parts, _left(now, schedule), "(provisional)"])


def dashboard(before: Moment, now: Moment, schedule: Schedule) -> Group:
    """A few lines for a terminal, none of them longer than 80 characters."""
    seen, series = now.seen, _recent(before.seen, now.seen)
    planned = f" of {schedule.num_requests}" if schedule.num_requests is not None else ""
    head = (
        f"{now.at_s:.0f} s   sent {seen.num_sent}{planned}   "
        f"in flight {seen.num_sent - seen.num_ended}   {_left(now, schedule)}"
    )
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(f"last {now.at_s - before.at_s:.0f} s, provisional", min_width=22)
    for name in (*SHARES, "of"):
        table.add_column(name, justify="right", min_width=9)
    for name, title in ROWS.items():
        counts = series[name]
        values = [_ms(counts, share) for share in SHARES.values()]
        table.add_row(title, *values, str(int(counts.sum())))
    errors = Text(f"errors {seen.num_errors}   {_errors(seen)}", style="red")
    lines = (Text(head, style="bold"), Text(_rates(before, now, schedule)))
    return Group(*lines, table, errors) if seen.num_errors else Group(*lines, table)


def _recent(before: Reading, now: Reading) -> dict[str, NDArray[np.int64]]:
    """What came between two readings; never below zero, should a worker have just died."""
    return {name: np.maximum(now.series[name] - before.series[name], 0) for name in ROWS}


def _rates(before: Moment, now: Moment, schedule: Schedule) -> str:
    """What was asked and what was delivered, a second."""
    span_s = max(now.at_s - before.at_s, 1e-9)
    begun = (now.seen.num_begun - before.seen.num_begun) / span_s
    reads = (now.seen.num_reads - before.seen.num_reads) / span_s
    if schedule.due_s is None:
        asked = f"concurrency {schedule.concurrency}: {begun:.2f} sessions/s"
    else:
        first, last = np.searchsorted(schedule.due_s, (before.at_s, now.at_s))
        asked = f"sessions/s asked {(last - first) / span_s:.2f} delivered {begun:.2f}"
    return f"{asked}   reads/s {reads:.0f}"


def _left(now: Moment, schedule: Schedule) -> str:
    """How long it will go on, as far as anybody knows."""
    if now.seen.num_draining:
        return "draining"
    end_s = schedule.end_s
    if end_s is None and schedule.due_s:
        end_s = schedule.due_s[-1]
    if end_s is None and schedule.num_requests is not None and now.seen.num_ended:
        end_s = now.at_s * schedule.num_requests / now.seen.num_ended
    return "" if end_s is None else f"about {max(end_s - now.at_s, 0.0):.0f} s left"


def _errors(seen: Reading) -> str:
    return ", ".join(f"{name} {num}" for name, num in seen.errors.items() if num)


def _ms(counts: NDArray[np.int64], share: float) -> str:
    value_s = quantile_s(counts, share)
    return "-" if value_s is None else f"{value_s * 1e3:.3g} ms"
