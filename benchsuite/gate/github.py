"""What GitHub's runner reads: annotations, the step summary, outputs. Only where its files are
named by the environment; a gate is the same without them.

The runner's limits: 10 annotations of a level in a step; a summary beyond 1 MiB is lost whole.
"""

import json
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from benchsuite.gate.outcome import Outcome, Report
from benchsuite.gate.pages import sentence
from benchsuite.report.quantities import visible

MOST_ANNOTATIONS: Final = 10
MOST_BYTES: Final = 900 * 1024
CUT: Final = "\n\n*Truncated; the whole is in the artifact.*\n"
LEVELS: Final = ("error", "warning")
_MS: Final = ("ttft_p50", "ttft_p99", "tpot_p50", "tpot_p99")


def annotations(report: Report) -> Iterator[str]:
    """Workflow commands for standard output: what failed, then what is unsettled."""
    for level in LEVELS:
        found = [
            _command(level, title, said)
            for outcome in report.outcomes
            for at, title, said in _told(outcome)
            if at == level
        ]
        if len(found) > MOST_ANNOTATIONS:
            more = len(found) - MOST_ANNOTATIONS + 1
            rest = _command(level, "benchsuite", f"and {more} more: see the step summary")
            found = [*found[: MOST_ANNOTATIONS - 1], rest]
        yield from found


def _told(outcome: Outcome) -> Iterator[tuple[str, str, str]]:
    """(level, title, message)."""
    for limit in outcome.limits:
        if limit.standing != "kept":
            level = "error" if limit.standing == "missed" else "warning"
            yield level, f"SLO {limit.standing}: {outcome.scenario}", sentence(limit)
    for one in outcome.comparisons:
        if one.word == "worse":
            yield "error", f"Regression: {outcome.scenario}", sentence(one)
        elif one.word == "inconclusive":
            yield "warning", f"Unsettled: {outcome.scenario}", sentence(one)
    if outcome.verdict in ("invalid", "error"):
        title = f"{outcome.verdict.capitalize()}: {outcome.scenario}"
        yield "error", title, "; ".join(outcome.reasons)


def _command(level: str, title: str, message: str) -> str:
    return f"::{level} title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    """As actions/toolkit escapes the data of a command."""
    return visible(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def append_summary(text: str, path: Path) -> None:
    """Behind what other commands of the step have written; never past the limit."""
    written = path.stat().st_size if path.exists() else 0
    room = MOST_BYTES - written - len(CUT)
    data = text.encode()
    if len(data) > room:
        data = data[: max(0, room)].decode(errors="ignore").encode() + CUT.encode()
    if written + len(data) <= MOST_BYTES + len(CUT):
        with path.open("ab") as file:
            file.write(data)


def outputs(report: Report, files: Mapping[str, Path]) -> dict[str, str]:
    """Names and values of the step's outputs; figures are of the first scenario."""
    figures = report.outcomes[0].figures if report.outcomes else {}
    found = {
        "verdict": report.verdict,
        "exit-code": str(report.exit_code),
        "regressions": json.dumps(
            [
                {"scenario": outcome.scenario, "metric": name}
                for outcome in report.outcomes
                for name in outcome.regressions
            ]
        ),
        "goodput": _number(figures.get("goodput")),
        "slo-attainment": _number(figures.get("attainment")),
        "pte": _number(figures.get("pte")),
    }
    for name in _MS:
        value = figures.get(name)
        found[f"{name.replace('_', '-')}-ms"] = _number(None if value is None else value * 1e3)
    return found | {name: str(path) for name, path in files.items()}


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def append_outputs(values: Mapping[str, str], path: Path) -> None:
    """With a delimiter that no value can hold, so that none can add an output of its own."""
    with path.open("a", encoding="utf-8") as file:
        for name, value in values.items():
            end = f"end-{secrets.token_hex(16)}"
            file.write(f"{name}<<{end}\n{value}\n{end}\n")
