"""Runs of a sweep in one folder, each made once: what is there already is read, not run again."""

import shutil
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from benchsuite import runner
from benchsuite.endpoints.openai_server import OpenAIServer
from benchsuite.results.facts import Facts
from benchsuite.results.result import FILE_NAME, RunResult
from benchsuite.scenario import Scenario

Run = Callable[[Scenario, Path], RunResult]
"""Runs a scenario and leaves its folder."""


def once(scenario: Scenario, folder: Path, run: Run) -> RunResult:
    """The result in `folder`, or that of a run made now. A run that was cut off is set aside, as
    `<folder>.cut-1`, and made again: what it holds is not thrown away."""
    if (folder / FILE_NAME).exists() and Facts.load(folder).partial is None:
        return RunResult.load(folder)
    if folder.exists():
        number = 1
        while (aside := folder.with_name(f"{folder.name}.cut-{number}")).exists():
            number += 1
        shutil.move(folder, aside)
    return run(scenario, folder)


def runs_with(console: Console, command: str) -> Run:
    """A plain run, as `benchsuite run` makes it."""

    def run(scenario: Scenario, folder: Path) -> RunResult:
        return runner.run(scenario, folder, command=command, console=console)

    return run


def seed(scenario: Scenario, *, repeat: int, number: int) -> int:
    """Of one run among many. An engine that starts anew with every run gets the same prompts at
    every point, and others in another repeat: points then differ by what is varied alone. A server
    that runs on would find the prompts of the run before in its prefix cache, so there every run
    has its own."""
    stays_warm = isinstance(scenario.endpoint, OpenAIServer)
    return scenario.seed + (number if stays_warm else repeat)
