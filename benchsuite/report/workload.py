"""What a workload holds: rows of text for a terminal, and one HTML page that opens offline."""

from pathlib import Path
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as TerminalTable
from rich.text import Text

from benchsuite.report import html
from benchsuite.report.charts.workload import workload_charts
from benchsuite.report.quantities import number, percent, visible
from benchsuite.report.terminal import print_whole
from benchsuite.workloads.description import Columns, Description, Spread

_POINTS = ("p0", "p10", "p50", "p90", "p99", "p100")


class Line(NamedTuple):
    what: str
    found: str


def lines(found: Description) -> list[Line]:
    """Counts, times, burstiness, correlation, prefixes; what is not known is left out."""
    told = [
        Line("requests", number(found.num_requests)),
        Line("sessions", _sessions(found)),
        Line("time from first to last start", _seconds(found.span_s)),
        Line("sessions per second", _number(found.rate)),
        Line("CV of the gaps (1: Poisson)", _number(found.gap_cv)),
        *(Line(f"Fano factor at {window}", number(value)) for window, value in found.fano.items()),
        Line("Spearman, prompt and output", _number(found.correlation)),
    ]
    for hits in found.prefix_hits:
        sizes = ", ".join(map(number, hits.block_tokens))
        cache = "endless" if hits.cache_tokens is None else f"{number(hits.cache_tokens)} tokens"
        share = "" if hits.share is None else percent(hits.share)
        told.append(Line(f"prefix hits, {cache}, blocks of {sizes}", share))
    counts = (
        ("requests with tools", found.num_with_tools),
        ("tool calls in what is sent", found.num_tool_calls),
        ("images", found.num_images),
    )
    told += [Line(what, number(count)) for what, count in counts if count]
    if len(found.classes) > 1:
        told += [Line(f"class {name}", number(num)) for name, num in found.classes.items()]
    return [Line(what, value) for what, value in told if value]


def spreads(found: Description) -> list[tuple[str, ...]]:
    """What, how many, mean, then the points of `HEAD`."""
    named = (
        ("prompt tokens", found.prompt_tokens),
        ("output tokens", found.output_tokens),
        ("requests per session", found.turns),
        ("think and tool times, s", found.gaps_s),
    )
    return [_spread(what, spread) for what, spread in named if spread.mean is not None]


HEAD = ("", "n", "mean", "least", *_POINTS[1:-1], "most")


def show(name: str, notes: tuple[str, ...], found: Description, console: Console) -> None:
    console.print(Text(visible(name), "bold"))
    for note in notes:
        console.print(Text(f"! {visible(note)}", "yellow"))
    plain = TerminalTable(box=None, show_header=False, pad_edge=False)
    for line in lines(found):
        plain.add_row(visible(line.what), line.found)
    print_whole(plain, console)
    table = TerminalTable(box=SIMPLE_HEAD, pad_edge=False)
    for title in HEAD:
        table.add_column(title, justify="right" if title else "left")
    for row in spreads(found):
        table.add_row(*row)
    print_whole(table, console)


def write(
    name: str, notes: tuple[str, ...], found: Description, columns: Columns, path: Path
) -> None:
    """The page, with charts."""
    page = html.page(
        "workload.html.jinja",
        workload_charts(columns),
        name=name,
        notes=notes,
        lines=lines(found),
        head=("of a request", *HEAD[1:]),
        spreads=spreads(found),
    )
    path.write_text(page, encoding="utf-8")


def _sessions(found: Description) -> str:
    graphs = f" ({number(found.num_graphs)} fork or join)" if found.num_graphs else ""
    return f"{number(found.num_sessions)}{graphs}"


def _seconds(value_s: float | None) -> str:
    return "" if value_s is None else f"{number(value_s)} s"


def _number(value: float | None) -> str:
    return "" if value is None else number(value)


def _spread(what: str, spread: Spread) -> tuple[str, ...]:
    mean = "" if spread.mean is None else number(spread.mean)
    return (what, number(spread.n), mean, *(number(spread.at[point]) for point in _POINTS))
