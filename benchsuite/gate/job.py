"""A gate's whole job: each scenario in turn, then every file, and the exit code."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from benchsuite.errors import BenchsuiteError, ScenarioError
from benchsuite.gate import pages, writing
from benchsuite.gate.gate import Asked, gate
from benchsuite.gate.outcome import Outcome, Report, exit_code, overall
from benchsuite.results.environment import Environment
from benchsuite.results.facts import Facts
from benchsuite.sweep.runs import runs_with


def run_all(
    asked: Sequence[Asked],
    folder: Path,
    *,
    fail_on: tuple[str, ...],
    command: str,
    console: Console,
    print_line: Callable[[str], None],
    environment: Mapping[str, str],
) -> int:
    """Measure, judge, write; returns the exit code. One that is interrupted, or that fails, writes
    what it has; then the failure is raised."""
    if len(asked) > 1 and any(one.save_baseline for one in asked):
        raise ScenarioError("--save-baseline keeps one scenario; give one")

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ScenarioError(f"--report-dir {folder}: {error.strerror}") from error

    def say(text: str) -> None:
        console.print(pages.flat(text), highlight=False, soft_wrap=True, markup=False)

    started_at, machine = Facts.now(), Environment.capture()
    run = runs_with(console, command)
    outcomes: list[Outcome] = []
    failure: BenchsuiteError | None = None
    for one, name in zip(asked, _names([each.scenario for each in asked]), strict=True):
        try:
            outcomes.append(gate(one, folder / name, run=run, say=say))
        except BenchsuiteError as error:
            outcomes.append(_failed(one, error))
            failure = error
        if outcomes[-1].partial is not None:
            break
    report = Report(
        benchsuite_version=machine.benchsuite,
        verdict=overall(outcomes),
        exit_code=exit_code(outcomes, fail_on) if failure is None else failure.exit_code,
        fail_on=fail_on,
        started_at=started_at,
        command=command,
        environment=machine,
        outcomes=tuple(outcomes),
    )
    for line in pages.lines(outcomes):
        print_line(line)
    writing.write(report, folder, environment, print_line)
    print_line(f"All of it: {folder}")
    if failure is not None:
        raise failure
    return report.exit_code


def _failed(asked: Asked, error: BenchsuiteError) -> Outcome:
    """A scenario that could not be carried out."""
    return Outcome(
        scenario=asked.scenario.stem,
        mode=asked.mode,
        verdict="error",
        reasons=(str(error),),
        partial="failed",
    )


def _names(paths: Sequence[Path]) -> list[str]:
    """A folder each: the file's name, numbered where two have the same."""
    found: list[str] = []
    for path in paths:
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-.")[:64] or "scenario"
        name, number = plain, 2
        while name in found:
            name, number = f"{plain}-{number}", number + 1
        found.append(name)
    return found
