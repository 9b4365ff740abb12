"""What a sweep or a search found, for a terminal."""

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchsuite.report.quantities import number
from benchsuite.results.result import RunResult
from benchsuite.sweep import goodput, grid

HEADLINE = (("ttft", "p50"), ("ttft", "p99"), ("tpot", "p50"), ("output_token_rate", "mean"))


def show_goodput(found: goodput.Found, console: Console, folder: Path) -> None:
    """The rate with its interval, what it rests on, and where it lies."""
    told = found.goodput
    console.print(sentence(found), highlight=False, soft_wrap=True)
    if found.per_gpu is not None:
        console.print(
            f"Per GPU ({found.num_gpus}): {number(found.per_gpu)}/s",
            highlight=False,
            soft_wrap=True,
        )
    if found.output_token_rate is not None:
        console.print(
            f"Output at {number(told.interval[0] or 0)}/s: "
            f"{number(found.output_token_rate)} tokens/s",
            highlight=False,
        )
    if told.interpolated is not None:
        console.print(
            f"By a straight line between two rates, as DistServe reads it: "
            f"{number(told.interpolated)}/s",
            highlight=False,
            soft_wrap=True,
        )
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in (found.key, found.criterion, "±", "requests", "backlog", ""):
        table.add_column(name, justify="right")
    for one in told.rates:
        table.add_row(
            number(one.rate),
            number(one.value),
            number(one.error),
            f"{one.num:,}",
            "steady" if one.is_stable else "grows",
            one.standing,
        )
    console.print(table)
    console.print(f"All of it: {folder / goodput.FILE_NAME}", highlight=False, soft_wrap=True)
    _show_report(console, folder)


def sentence(found: goodput.Found) -> str:
    """What was found, in one line."""
    told = found.goodput
    low, high = told.interval
    if told.rate is None:
        return (
            f"✗ No goodput ({found.criterion}): {told.reason}. It is below {number(high or 0)}/s."
        )
    if told.censored == "above":
        return f"✓ Goodput ({found.criterion}): at least {number(told.rate)}/s; {told.reason}."
    return (
        f"✓ Goodput ({found.criterion}): {number(told.rate)}/s "
        f"(95 %: {number(low or 0)} to {number(high or 0)}); {told.reason}."
    )


def show_sweep(found: grid.Sweep, console: Console, folder: Path) -> None:
    """One row a run: what was varied, how it ended, the headline."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("point", "", *(f"{metric} {column}" for metric, column in HEADLINE), "attainment"):
        table.add_column(name, justify="left" if name == "point" else "right")
    order = sorted(found.entries, key=lambda one: (list(one.point.overrides.items()), one.id))
    for entry in order:
        told = RunResult.load(folder / entry.folder).summaries
        cells = [getattr(told.get(metric), column, None) for metric, column in HEADLINE]
        attained = getattr(told.get("attainment"), "mean", None)
        table.add_row(
            entry.title,
            entry.verdict or "",
            *("" if value is None else number(value) for value in cells),
            "" if attained is None else f"{attained:.1%}",
        )
    console.print(table)
    console.print(
        f"All metrics of all runs: {folder / grid.TABLE_NAME}", highlight=False, soft_wrap=True
    )
    _show_report(console, folder)


def _show_report(console: Console, folder: Path) -> None:
    console.print(f"Report: {folder / 'report.html'}", highlight=False, soft_wrap=True)
