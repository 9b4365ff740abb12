"""JSON of benchmark-action/github-action-benchmark: `customSmallerIsBetter`.

https://github.com/benchmark-action/github-action-benchmark: a list of name, unit, value, and,
optionally, range and extra.
"""

from typing import Final

import msgspec
from msgspec import Struct

from benchsuite.metrics.base import Summary
from benchsuite.records.table import RunData
from benchsuite.results.result import RunResult

QUANTILES: Final = ("p50", "p90", "p99")


class Point(Struct, frozen=True, omit_defaults=True):
    """One line of the dashboard."""

    name: str
    unit: str
    value: float
    range: str | None = None
    extra: str | None = None


def write(result: RunResult, data: RunData) -> bytes:
    """customSmallerIsBetter of github-action-benchmark: all that is better when lower, and the
    inverse share of what is better when higher is left to the report. An invalid run has none: a
    number nobody may trust is no point of a curve."""
    if result.verdict != "valid":
        return b"[]\n"
    points = [
        point
        for summary in result.summaries.values()
        if summary.better == "lower"
        for point in _points(result.name, summary)
    ]
    return msgspec.json.format(msgspec.json.encode(points), indent=2) + b"\n"


def _points(run: str, summary: Summary) -> list[Point]:
    scale, unit = (1e3, "ms") if summary.unit == "s" else (1.0, summary.unit)
    found = []
    for name in ("mean", *QUANTILES):
        value, interval = getattr(summary, name), getattr(summary, f"{name}_ci")
        if value is not None:
            wide = f"{interval[0] * scale:.6g} to {interval[1] * scale:.6g}" if interval else None
            found.append(
                Point(
                    f"{run}: {summary.metric} {name}", unit, value * scale, wide, f"n={summary.n}"
                )
            )
    return found
