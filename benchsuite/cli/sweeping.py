"""Command: sweep."""

from pathlib import Path
from typing import Annotated

import typer

from benchsuite.cli.base import (
    INVALID,
    OK,
    Overrides,
    ScenarioFile,
    command_line,
    new_console,
)
from benchsuite.errors import ScenarioError

commands = typer.Typer()


@commands.command()
def sweep(
    scenario: ScenarioFile,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="The sweep's folder; may be taken up again."),
    ],
    vary: Annotated[
        list[str],
        typer.Option(
            "--vary",
            metavar="KEY=VALUES",
            help="arrivals.rate=1,2,4, or 1..32:6 for six log-spaced ones; several make a grid.",
        ),
    ] = [],  # noqa: B006
    matrix: Annotated[
        Path | None,
        typer.Option("--matrix", metavar="FILE", help="YAML: vary, include, exclude, repeats."),
    ] = None,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Runs of each point.")] = 1,
    overrides: Overrides = [],  # noqa: B006
    goodput: Annotated[
        bool, typer.Option("--goodput", help="Search the highest rate that is good enough.")
    ] = False,
    target: Annotated[
        float, typer.Option("--target", min=0.5, max=0.9999, help="Least attainment.")
    ] = 0.9,
    at_most: Annotated[
        str | None,
        typer.Option("--at-most", metavar="METRIC=LIMIT", help="Instead: a mean, as tpot=50ms."),
    ] = None,
    between: Annotated[
        tuple[float, float] | None,
        typer.Option("--between", metavar="LOW HIGH", help="Rates. Default: a 64th to 64 times."),
    ] = None,
    precision: Annotated[
        float, typer.Option("--precision", min=0.001, max=0.5, help="Width of the interval.")
    ] = 0.05,
    looks: Annotated[int, typer.Option("--looks", min=1, help="Runs at one rate, at most.")] = 4,
    max_runs: Annotated[int, typer.Option("--max-runs", min=1, help="Runs in all.")] = 64,
    gpus: Annotated[
        int | None,
        typer.Option("--gpus", min=1, help="Of the server; goodput is told per GPU too."),
    ] = None,
) -> None:
    """Run a scenario many times: over a grid of settings, or to find its goodput.

    Exit code 0: all runs are valid, or a goodput was found; 4: some are not, or none was found.
    """
    from benchsuite.metrics.goodput import Goal
    from benchsuite.scenario import load
    from benchsuite.sweep import goodput as goodput_search
    from benchsuite.sweep import grid, page, plan, report, runs

    stderr = new_console(stderr=True)
    settings = tuple(overrides)
    run = runs.runs_with(stderr, command_line())

    def say(text: str) -> None:
        stderr.print(text, highlight=False, soft_wrap=True)

    if goodput:
        if vary or matrix:
            raise ScenarioError("--goodput searches over the rate alone; it takes no --vary")
        criterion = goodput_search.criterion(target, at_most)
        plain = load(scenario, settings)
        start = goodput_search.current_rate(plain)
        is_whole = goodput_search.is_whole(plain)
        low, high = between or (max(start / 64, 1.0 if is_whole else 0.0), start * 64)
        goal = Goal(
            start=min(max(start, low), high),
            lowest=low,
            highest=high,
            precision=precision,
            max_looks=looks,
            max_readings=max_runs,
            is_whole=is_whole,
        )
        found = goodput_search.search(
            scenario, settings, goal, criterion, out, run=run, say=say, num_gpus=gpus
        )
        report.write_goodput(found, page.sentence(found), out)
        page.show_goodput(found, new_console(), out)
        raise typer.Exit(OK if found.goodput.rate is not None else INVALID)
    told = plan.matrix(matrix) if matrix else plan.Matrix()
    points = plan.points(
        [*plan.axes(told), *map(plan.axis, vary)],
        include=told.include,
        exclude=told.exclude,
        repeats=max(repeats, told.repeats),
        seed=load(scenario, settings).seed,
        source=str(matrix) if matrix else "--vary",
    )
    index = grid.sweep(scenario, settings, points, out, run=run, say=say)
    report.write_sweep(index, out)
    page.show_sweep(index, new_console(), out)
    are_valid = all(entry.verdict == "valid" for entry in index.entries)
    raise typer.Exit(OK if are_valid else INVALID)
