"""Sides: the runs that are held against each other, from wherever their results lie.

A run is a run folder, a result.json alone, or a peer's file; a side is one of them, a folder that
holds several run folders, or a pattern. The records are read for their distributions and let go.
"""

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from msgspec.structs import replace

from benchsuite import __version__, runner
from benchsuite.comparison.comparable import Seen
from benchsuite.comparison.shift import Distribution, distribution
from benchsuite.errors import RunError, ScenarioError
from benchsuite.metrics import METRICS
from benchsuite.metrics.base import Metric
from benchsuite.records import requests as requests_file
from benchsuite.records.table import RunData
from benchsuite.results.imports import IMPORTS
from benchsuite.results.imports.aiperf import NAME as AIPERF_NAME
from benchsuite.results.result import FILE_NAME, RunResult

SPREAD: Final = ("ttft", "ttft_sent", "tpot", "itl", "e2e_latency", "e2e_latency_sent")
"""Metrics whose whole distributions are kept."""
SEPARATOR: Final = "vs"
NAMED: Final = 3  # words up to which a side is called by all of them
_AGAIN: Final = "-again"  # a gate's second attempt, made where the first was invalid


class Run(NamedTuple):
    """One run, and how its latencies are spread."""

    name: str  # its path, as it was given or found
    result: RunResult
    distributions: dict[str, Distribution]  # of SPREAD; empty where there are no records

    @property
    def seen(self) -> Seen:
        return Seen(self.name, self.result)


class Side(NamedTuple):
    """Runs of one thing."""

    name: str
    runs: tuple[Run, ...]


def grouped(words: Sequence[str]) -> list[list[str]]:
    """What was named, by side: each word is one, or those between two `vs` are. A gate's folder
    alone is both of its sides.

    Raises ScenarioError where fewer than two sides remain.
    """
    if SEPARATOR not in words:
        groups = _sides_of_gate(Path(words[0])) if len(words) == 1 else [[word] for word in words]
    else:
        groups = [[]]
        for word in words:
            if word == SEPARATOR:
                groups.append([])
            else:
                groups[-1].append(word)
    if len(groups) < 2 or not all(groups):
        raise ScenarioError(
            "expected two sides: `compare A B`, or `compare A1 A2 vs B1 B2` where they have "
            "several runs (a run named vs is ./vs), or the folder of one scenario of a gate"
        )
    return groups


def _sides_of_gate(folder: Path) -> list[list[str]]:
    """Runs of before and of now, as `benchsuite ci` names them: `runs/03-now`. Of a report folder,
    those of its one scenario. Empty lists where there are none."""
    scenarios = (
        [folder] if (folder / "runs").is_dir() else [p.parent for p in folder.glob("*/runs")]
    )
    if len(scenarios) > 1:
        names = ", ".join(sorted(map(str, scenarios)))
        raise ScenarioError(f"{folder}: a gate of several scenarios; name one of {names}")
    return [
        [str(path) for one in scenarios for path in _counted(one / "runs", side)]
        for side in ("baseline", "now")
    ]


def _counted(runs: Path, side: str) -> list[Path]:
    """Runs of one side of a gate; of a run that was made twice, the second."""
    made = sorted(one.parent for one in runs.glob(f"*-{side}/{FILE_NAME}"))
    again = [one.with_name(one.name + _AGAIN) for one in made]
    return [b if (b / FILE_NAME).exists() else a for a, b in zip(made, again, strict=True)]


def side(words: Sequence[str], scratch: Path) -> Side:
    """The runs that `words` name. Peers' files become run folders in `scratch`, new ones.

    Raises ScenarioError for what is no run and holds none, RunError for one that is broken.
    """
    paths = [path for word in words for path in _runs(word)]
    doubled = {path for path in paths if paths.count(path) > 1}
    if doubled:
        raise ScenarioError(f"{min(doubled)}: named twice on one side; a run counts once")
    runs = tuple(_run(path, scratch) for path in paths)
    name = " ".join(words) if len(words) <= NAMED else f"{words[0]} and {len(words) - 1} more"
    return Side(name, runs)


def _runs(word: str) -> list[Path]:
    """Paths of single runs."""
    path = Path(word)
    if path.exists():
        return _inside(path)
    found = sorted(map(Path, glob.glob(word)))
    if not found:
        raise ScenarioError(f"{word}: no such file or folder, and no pattern that matches any")
    return [inner for one in found for inner in _inside(one)]


def _inside(path: Path) -> list[Path]:
    if not path.is_dir() or (path / FILE_NAME).exists() or (path / AIPERF_NAME).exists():
        return [path]
    found = sorted(one.parent for one in path.rglob(FILE_NAME))
    if not found:
        raise ScenarioError(f"{path}: holds no {FILE_NAME}, nor a folder that does")
    return found


def _run(path: Path, scratch: Path) -> Run:
    folder = path if path.is_dir() else path.parent
    if path.name == FILE_NAME or (path.is_dir() and (path / FILE_NAME).exists()):
        if not (folder / requests_file.FILE_NAME).exists():
            return Run(str(path), RunResult.load(path), {})
        return _told(path, folder)
    for read in IMPORTS.values():
        found = read(path)
        if found is not None:
            inner = scratch / f"{len(list(scratch.iterdir()))}"
            runner.place_imported(found, inner, command="")
            return _told(path, inner)
    raise ScenarioError(
        f"{path}: neither a run folder, nor a {FILE_NAME}, nor a result file of "
        f"{', '.join(IMPORTS)}"
    )


def _told(path: Path, folder: Path) -> Run:
    """From the records, by the definitions of this version, whatever version measured."""
    try:
        result, data = runner.analyse(folder)
    except ScenarioError as error:
        raise RunError(f"{path}: its scenario cannot be read: {error}") from error
    result = replace(result, benchsuite_version=__version__)  # which worked it out
    return Run(str(path), result, _distributions(data))


def _distributions(data: RunData) -> dict[str, Distribution]:
    drawn: list[Metric] = [metric for metric in METRICS if metric.name in SPREAD]
    found = {metric.name: distribution(metric, data) for metric in drawn}
    return {name: one for name, one in found.items() if one is not None}
