"""What the report says of the benchmark's own error and cost: rows of text. Pure."""

from collections.abc import Iterator

from benchsuite.records.client import Pauses
from benchsuite.report.quantities import milliseconds, number, percent
from benchsuite.results.instrument import Instrument
from benchsuite.results.result import RunResult
from benchsuite.results.spread import Spread


def instrument(result: RunResult) -> tuple[tuple[str, str], ...]:
    """The benchmark's own error: what, and how large."""
    found = result.instrument
    words = {
        "kernel": "by the kernel, as bytes arrived",
        "user": "by the program, when it read them",
        "virtual": "on virtual time, exactly",
    }
    stamps = [
        f"{percent(share)} {words.get(source, source)}"
        for source, share in found.stamp_source.items()
        if share > 0
    ]
    rows = [
        ("Token times were stamped", ", ".join(stamps) or "not at all"),
        ("Requests left later than due by", _spread(found.send_delay)),
        ("The program saw bytes later than the kernel by", _spread(found.client_lag)),
    ]
    if found.timer_resolution_s is not None:
        rows.append(("The timer resolves", milliseconds(found.timer_resolution_s)))
    return (*rows, *_error_rows(found), *_client_rows(found))


def _error_rows(found: Instrument) -> Iterator[tuple[str, str]]:
    """How far latencies may be off, and whether this load was ever tested."""
    if found.error_s:
        parts = [f"{name} {milliseconds(value_s)}" for name, value_s in found.error_s.items()]
        yield "99 % of the values are off by at most", ", ".join(parts)
    if found.clients:
        shown = found.selftest
        none = "none of this machine and version; `benchsuite selftest` makes one"
        yield "The last selftest", f"of {shown.made_at[:10]}" if shown else none


def _client_rows(found: Instrument) -> Iterator[tuple[str, str]]:
    """What sending cost the processes that did it."""
    clients = found.clients
    if not clients:
        return
    stalls = [client.stalls for client in clients if client.stalls is not None]
    if stalls:
        yield f"Event loop held up, over {milliseconds(clients[0].stall_s)}", _pauses(stalls)
    yield "Garbage collection", _pauses([client.gc for client in clients])
    shares = [percent(client.cpu_s / client.wall_s) for client in clients if client.wall_s > 0]
    yield "CPU of each sending process, of a core", ", ".join(shares)
    if found.others_cpu is not None:
        yield "CPU of all others on this machine", f"{number(found.others_cpu)} cores"


def _pauses(found: list[Pauses]) -> str:
    num = sum(one.num for one in found)
    if not num:
        return "never"
    longest_s, total_s = max(one.longest_s for one in found), sum(one.total_s for one in found)
    times = "once" if num == 1 else f"{num:,} times"
    return f"{times}, longest {milliseconds(longest_s)}, in all {milliseconds(total_s)}"


def _spread(spread: Spread) -> str:
    named = (("median", spread.p50), ("p99", spread.p99), ("most", spread.max))
    parts = [f"{name} {milliseconds(value_s)}" for name, value_s in named if value_s is not None]
    return ", ".join(parts) or "not measured"
