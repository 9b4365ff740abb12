"""The files of a gate, in its folder and where GitHub wants them."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from benchsuite.comparison.verdicts import Verdict
from benchsuite.gate import github, pages
from benchsuite.gate.outcome import FILE_NAME, Report
from benchsuite.results.exports.github import Point

SMALLER: Final = "smaller-is-better.json"
BIGGER: Final = "bigger-is-better.json"


def write(
    report: Report, folder: Path, environment: Mapping[str, str], say: Callable[[str], None]
) -> None:
    """All of it; workflow commands only on GitHub's runner."""
    folder.mkdir(parents=True, exist_ok=True)
    summary = pages.markdown(report)
    _keep(folder / FILE_NAME, msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    _keep(folder / "junit.xml", pages.junit(report))
    _keep(folder / "summary.md", summary.encode(errors="backslashreplace"))
    _keep(folder / SMALLER, points(report, "lower"))
    _keep(folder / BIGGER, points(report, "higher"))
    if environment.get("GITHUB_ACTIONS") == "true":
        for line in github.annotations(report):
            say(line)
    if path := environment.get("GITHUB_STEP_SUMMARY"):
        github.append_summary(summary, Path(path))
    if path := environment.get("GITHUB_OUTPUT"):
        files = {"result-json": folder / FILE_NAME}
        pages_made = sorted(folder.glob("**/runs/*-now/report.html"))
        for name, file in (("report-html", "report.html"), ("csv", "summary.csv")):
            if pages_made and (found := pages_made[0].with_name(file)).exists():
                files[name] = found
        github.append_outputs(github.outputs(report, files), Path(path))


def points(report: Report, better: str) -> bytes:
    """customSmallerIsBetter (or Bigger) of github-action-benchmark: what the gate looked at. Of an
    invalid or failed scenario nothing: a number nobody may trust is no point of a curve."""
    found = [
        _point(outcome.scenario, one)
        for outcome in report.outcomes
        if outcome.verdict not in ("invalid", "error")
        for one in outcome.comparisons
        if one.better == better and one.now is not None
    ]
    found += [
        Point(f"{outcome.scenario}: {limit.name}", limit.unit, limit.value, None, None)
        for outcome in report.outcomes
        if outcome.verdict not in ("invalid", "error")
        for limit in outcome.limits
        if limit.better == better and limit.value is not None
    ]
    return msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"


def _point(scenario: str, one: Verdict) -> Point:
    assert one.now is not None
    scale, unit = (1e3, "ms") if one.unit == "s" else (1.0, one.unit)
    return Point(
        f"{scenario}: {one.metric}",
        unit,
        one.now * scale,
        pages.change(one),
        f"{one.word}, n={one.num_now}",
    )


def _keep(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.name}.tmp")
    draft.write_bytes(data)
    os.replace(draft, path)
