"""A plain sweep: every point run once, and one table of all."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from benchsuite.errors import ScenarioError
from benchsuite.results.result import RunResult
from benchsuite.scenario import Scenario, load
from benchsuite.sweep.plan import Point
from benchsuite.sweep.runs import Run, once, seed

FILE_NAME: Final = "sweep.json"
TABLE_NAME: Final = "sweep.csv"
COLUMNS: Final = ("n", "mean", "p50", "p90", "p99")


class Entry(Struct, frozen=True, kw_only=True):
    """One run of a sweep, where it lies and how it ended."""

    point: Point
    id: str
    title: str
    folder: str  # from the sweep's own
    verdict: str | None = None  # None: not run yet


class Sweep(Struct, frozen=True, kw_only=True):
    """What a sweep's folder holds, in the order of running."""

    schema_version: str = "1.0"
    scenario: str
    settings: tuple[str, ...]  # that hold for every point
    entries: tuple[Entry, ...]


def sweep(
    path: Path,
    settings: tuple[str, ...],
    points: tuple[Point, ...],
    folder: Path,
    *,
    run: Run,
    say: Callable[[str], None],
) -> Sweep:
    """Run what is not there yet. All scenarios are checked before the first is run; the index is
    written after each, so that an interrupted sweep goes on where it stopped."""
    scenarios = [_scenario(path, settings, point, at) for at, point in enumerate(points)]
    entries = [
        Entry(point=point, id=point.id, title=point.title, folder=f"runs/{point.id}")
        for point in points
    ]
    found = Sweep(scenario=str(path), settings=settings, entries=tuple(entries))
    _refuse_another(folder, found)
    (folder / "runs").mkdir(parents=True, exist_ok=True)
    _save(found, folder)
    results: list[RunResult] = []
    for at, (scenario, entry) in enumerate(zip(scenarios, entries, strict=True)):
        say(f"{at + 1} of {len(entries)}: {entry.title}")
        results.append(once(scenario, folder / entry.folder, run))
        entries[at] = replace(entry, verdict=results[-1].verdict)
        found = replace(found, entries=tuple(entries))
        _save(found, folder)
        (folder / TABLE_NAME).write_text(table(found, results), encoding="utf-8")
        if results[-1].partial == "interrupted":
            raise KeyboardInterrupt
    return found


def table(found: Sweep, results: list[RunResult]) -> str:
    """CSV: one row a run, the varied keys first, then each metric's n, mean and quantiles."""
    keys = list(dict.fromkeys(key for one in found.entries for key in one.point.overrides))
    metrics = list(dict.fromkeys(name for one in results for name in one.summaries))
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\r\n")
    head = [f"{metric}_{column}" for metric in metrics for column in COLUMNS]
    writer.writerow([*keys, "repeat", "id", "verdict", *head])
    for entry, result in zip(found.entries, results, strict=False):
        told = [result.summaries.get(metric) for metric in metrics]
        cells = [getattr(one, column, None) for one in told for column in COLUMNS]
        varied = [entry.point.overrides.get(key) for key in keys]
        writer.writerow([*varied, entry.point.repeat, entry.id, result.verdict, *cells])
    return file.getvalue()


def _scenario(path: Path, settings: tuple[str, ...], point: Point, number: int) -> Scenario:
    plain = load(path, (*settings, *point.settings))
    return replace(
        plain,
        name=f"{plain.name}: {point.title}",
        seed=seed(plain, repeat=point.repeat, number=number),
    )


def _refuse_another(folder: Path, found: Sweep) -> None:
    """A folder is taken up again by the sweep that made it, or by one that asks for more."""
    path = folder / FILE_NAME
    if not path.exists():
        if folder.exists() and any(folder.iterdir()):
            raise ScenarioError(f"--out {folder}: not empty, and no sweep; name a new folder")
        return
    before = msgspec.json.decode(path.read_bytes(), type=Sweep)
    if (before.scenario, before.settings) != (found.scenario, found.settings):
        raise ScenarioError(
            f"--out {folder}: holds a sweep of {before.scenario} {' '.join(before.settings)}; "
            "name a new folder"
        )
    lost = {one.id for one in before.entries if one.verdict} - {one.id for one in found.entries}
    if lost:
        raise ScenarioError(
            f"--out {folder}: holds {len(lost)} runs that this sweep does not ask for; "
            "name a new folder"
        )


def _save(found: Sweep, folder: Path) -> None:
    draft = folder / f".{FILE_NAME}.tmp"
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    draft.replace(folder / FILE_NAME)
