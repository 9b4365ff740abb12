"""The table after a run, for a terminal: verdict first, then numbers, then where to look."""

from pathlib import Path
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from benchsuite.metrics.base import Interval
from benchsuite.report.quantities import bounds, number, percent, visible
from benchsuite.report.sections import gammas, metrics, targets
from benchsuite.results.frontier import Frontier
from benchsuite.results.result import RunResult
from benchsuite.results.truth import Truth

WIDEST: Final = 1_000  # letters; no table is


def show(result: RunResult, console: Console, folder: Path) -> None:
    """Print what a run found and where, in `folder`, its report lies."""
    _print_verdict(result, console)
    console.print(_text(_counts(result)))
    for table in (_metric_table(result), _target_table(result)):
        if table.rows:
            print_whole(table, console)
    for gamma in gammas(result):
        console.print(_text(gamma))
    for node in result.nodes:
        console.print(_text(node.describe()))
    for warning in result.warnings:
        console.print(_text(f"! {warning}", "yellow"))
    console.print(_text(f"Report: {folder / 'report.html'}"), soft_wrap=True)


def show_frontier(found: Frontier, console: Console) -> None:
    """Every run, and every curve against the baseline's."""
    points = _table("run", "frontier", "right", "95 %", "requests/s", f"times {found.baseline}",
                    "95 %", "tokens/right", "right/s")  # fmt: skip
    for point in found.points:
        cells = (
            point.name,
            "✓" if point.is_on_frontier else f"✗ behind {', '.join(point.dominated_by)}",
            percent(point.accuracy),
            bounds(point.accuracy_ci),
            number(point.request_rate),
            number(point.relative_rate),
            _span(point.relative_rate_ci),
            "–" if point.tokens_per_correct is None else number(point.tokens_per_correct),
            number(point.correct_rate),
        )
        points.add_row(*map(_text, cells))
    gaps = _table("curve", "at", "times as fast", "95 %", "more right", "95 %")
    for gap in found.gaps:
        more = "beyond" if gap.more_accurate is None else f"{gap.more_accurate * 100:+.1f} points"
        faster = "beyond" if gap.faster is None else number(gap.faster)
        cell_ci = None
        if gap.more_accurate_ci is not None:
            cell_ci = (gap.more_accurate_ci[0] * 100, gap.more_accurate_ci[1] * 100)
        row = (gap.group, gap.at, faster, _span(gap.faster_ci), more, _span(cell_ci))
        gaps.add_row(*map(_text, row))
    for table in (points, _of_throughput(found), gaps):
        if table.rows:
            print_whole(table, console)


def _of_throughput(found: Frontier) -> Table:
    """Request rates by the throughput at demanded lengths, where it was told."""
    rows = _table("run", "tokens/s, demanded", "requests/s of it", f"times {found.baseline}",
                  "95 %", "natural, times it")  # fmt: skip
    for point in found.points:
        if (of := point.of_throughput) is not None:
            relative = "–" if of.relative_rate is None else number(of.relative_rate)
            cells = (point.name, number(of.token_rate), number(of.request_rate), relative,
                     _span(of.relative_rate_ci), number(of.natural))  # fmt: skip
            rows.add_row(*map(_text, cells))
    return rows


def _span(interval: Interval | None) -> str:
    return "–" if interval is None else f"{number(interval[0])} to {number(interval[1])}"


def print_whole(table: Table, console: Console) -> None:
    """In full, however narrow the terminal: a number cut short is a wrong one."""
    width = console.width
    wide = console.options.update(max_width=WIDEST)
    console.width = max(width, console.measure(table, options=wide).maximum)
    console.print(table, crop=False)
    console.width = width


def _print_verdict(result: RunResult, console: Console) -> None:
    if result.verdict == "valid":
        console.print(_text(f"✓ valid: {result.name}", "bold green"))
    else:
        console.print(_text(f"✗ INVALID: {result.name}", "bold red"))
    for reason in result.reasons:
        console.print(_text(f"  - {reason}", "red"))
    if result.partial:
        console.print(_text(f"! incomplete: {result.partial}", "yellow"))


def show_truth(truth: Truth, console: Console) -> None:
    """Each latency's error beside its bound."""
    table = _table("metric", "", "bound", "off p50", "p99", "surely p99", "beyond", "may be")
    for name, held in truth.latencies.items():
        spreads = (held.error.p50, held.error.p99, held.sure.p99)
        mark = "✓" if held.is_within else "✗"
        counts = (f"{held.num_beyond:,}", f"{held.most_beyond:,}")
        row = (name, mark, *(_ms(value) for value in (held.bound_s, *spreads)), *counts)
        table.add_row(*(_text(cell) for cell in row))
    console.print(table)
    console.print(
        _text(
            f"ms; {truth.num_held:,} of {truth.num_requests:,} requests were held against the "
            f"server's log, whose writes took {_ms(truth.write.p50)} (p99 {_ms(truth.write.p99)}): "
            "`off` is from their begin, `surely` from the nearest moment of them; `beyond` are "
            "surely further off than the bound, of which 1 % `may be`, and chance."
        ),
        soft_wrap=True,
    )


def _ms(value_s: float | None) -> str:
    return "–" if value_s is None else f"{value_s * 1e3:.3f}"


def _counts(result: RunResult) -> str:
    counts, (start_s, end_s) = result.requests, result.window_s
    ends = {"error": counts.error, "timeout": counts.timeout, "cancelled": counts.cancelled}
    failed = "".join(f", {count:,} {name}" for name, count in ends.items() if count)
    return (
        f"{counts.sent:,} of {counts.planned:,} requests sent: {counts.ok:,} ok{failed}. "
        f"Measured: {counts.in_window:,} in {number(end_s - start_s)} s."
    )


def _metric_table(result: RunResult) -> Table:
    """Headline distributions and the numbers of the whole run, whose value stands under mean."""
    table = _table("metric", "unit", "p50", "p90", "p99", "mean", "95 % of mean")
    for group in metrics(result):
        for row in group.rows if group.is_headline else ():
            if len(row.cells) == 2:
                of_unit, mean = row.cells
                cells = [of_unit.value, "", "", "", mean.value, mean.more]
            else:
                of_unit, *quantiles, mean, _ = row.cells
                spread = [
                    f"({cell.more})" if cell.value == "–" else cell.value for cell in quantiles
                ]
                cells = [of_unit.value, *spread, mean.value, mean.more]
            table.add_row(*(_text(cell) for cell in (row.name, *cells)))
    return table


def _target_table(result: RunResult) -> Table:
    table = _table("class", "target", "limit", "met", "share", "95 %")
    for row in targets(result):
        table.add_row(*(_text(cell) for cell in row[:-1]))  # the page has all of it
    return table


def _table(*head: str) -> Table:
    """Two columns of words, then numbers; fits 80 letters."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=0)
    for position, name in enumerate(head):
        justify: JustifyMethod = "left" if position < 2 else "right"
        table.add_column(name, justify=justify, no_wrap=True)
    return table


def _text(words: str, style: str = "") -> Text:
    """Text as it stands: no markup and no control characters from outside."""
    return Text(visible(words).replace("\n", " "), style=style)
