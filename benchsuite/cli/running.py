"""Commands that send load: run, check, selftest."""

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from benchsuite.cli.base import (
    Overrides,
    ScenarioFile,
    command_line,
    exit_code,
    new_console,
)
from benchsuite.errors import InterruptedRunError

commands = typer.Typer()


@commands.command()
def run(
    scenario: ScenarioFile,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="The run folder. Default: runs/<time>-<name>."),
    ] = None,
    overrides: Overrides = [],  # noqa: B006  typer reads it and never changes it
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", help="Processes that send. Default: as needed."),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray", metavar="ADDRESS", help="Send from a Ray cluster: local, auto or HOST:PORT."
        ),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(
            "--listen", metavar="[HOST:]PORT", help="Serve Prometheus metrics of the run meanwhile."
        ),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Lines every 10 s, no dashboard; so without a terminal.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show nothing until the end.")] = False,
) -> None:
    """Send a scenario's load and leave records, metrics and a report in a run folder.

    Exit code 0: valid; 2: the scenario is wrong; 3: the server cannot be reached; 4: the numbers
    cannot be trusted, and the first line says why; 130: interrupted, what was measured is kept.
    """
    from benchsuite import runner
    from benchsuite.loadgen import workers as processes
    from benchsuite.loadgen.progress import View, address
    from benchsuite.loadgen.prometheus import refuse_taken
    from benchsuite.report import terminal
    from benchsuite.scenario import load

    at = None if listen is None else address(listen)
    if at is not None:
        refuse_taken(*at)
    view = View("quiet" if quiet else "plain" if plain else "live", at)
    send: runner.Send = partial(processes.send_all, view=view)
    if ray is not None:
        from benchsuite.loadgen import ray_workers

        send = partial(ray_workers.send_all, address=ray, view=view)
    more = () if workers is None else (f"workers={workers}",)
    checked = load(scenario, (*overrides, *more))
    folder = out or runner.default_folder(checked)
    console = new_console(stderr=True)
    try:
        result = runner.run(checked, folder, command=command_line(), console=console, send=send)
    except KeyboardInterrupt:  # while the engine started, or while the report was made
        found = f"; to report what was measured: benchsuite recover {shlex.quote(str(folder))}"
        raise InterruptedRunError(f"interrupted{found if folder.exists() else ''}") from None
    terminal.show(result, new_console(), folder)
    raise typer.Exit(exit_code(result.verdict, result.partial))


@commands.command()
def check(scenario: ScenarioFile, overrides: Overrides = []) -> None:  # noqa: B006
    """Check a scenario and say what it would send, without sending it."""
    from benchsuite.loadgen.schedule import Schedule
    from benchsuite.scenario import load
    from benchsuite.workloads import tokenizer

    checked = load(scenario, tuple(overrides))
    schedule = Schedule.plan(checked, tokenizer.load(checked.tokenizer))
    new_console().print(f"{scenario}: ok. {schedule.describe()}", highlight=False, soft_wrap=True)


@commands.command()
def selftest(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer loads: 10 s, not 60.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Also leave selftest.json and .html here."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The curve, for programs.")] = False,
) -> None:
    """Measure how wrong this load generator is on this machine, by load."""
    from benchsuite.selftest import page, sweep

    stderr = new_console(stderr=True)
    curve = sweep.sweep(
        sweep.QUICK if quick else sweep.FULL, lambda text: stderr.print(text, highlight=False)
    )
    if as_json:
        sys.stdout.write(curve.to_json().decode())
    else:
        page.show(curve, new_console())
    kept = curve.keep()
    if out is not None:
        curve.save(out / "selftest.json")
        (out / "selftest.html").write_text(page.render(curve), encoding="utf-8")
    if kept is not None:
        kept.with_suffix(".html").write_text(page.render(curve), encoding="utf-8")
        stderr.print(f"Kept for this machine's runs: {kept}", highlight=False, soft_wrap=True)
    else:
        stderr.print("Not kept: a full selftest of this machine is there.", highlight=False)
