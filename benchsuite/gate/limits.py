"""Absolute limits: kept, missed or open, from the interval of what was measured.

A limit is kept only if the whole interval lies on the good side of it, and missed only if the whole
lies on the other; all else is open. Several runs count as several observations.
"""

import statistics
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from benchsuite.comparison.effects import paired
from benchsuite.errors import ScenarioError
from benchsuite.gate.quantities import Quantity, amount, quantity
from benchsuite.metrics.base import Better, Interval
from benchsuite.results.result import RunResult
from benchsuite.spec import seconds

Standing = Literal["kept", "missed", "open"]
TARGET = 0.9  # of attainment, where the scenario states none


class Limit(Struct, frozen=True, kw_only=True):
    """One limit and how it stands."""

    name: str
    title: str
    unit: str
    limit: float
    better: Better
    value: float | None
    interval: Interval | None
    num_runs: int
    standing: Standing


def asked(options: Sequence[str]) -> tuple[tuple[Quantity, float], ...]:
    """`--limit ttft_p99=500ms`, `--limit attainment=95%`."""
    found = []
    for option in options:
        name, mark, text = option.partition("=")
        if not (name and mark and text):
            raise ScenarioError(f"--limit {option}: expected METRIC=LIMIT, such as ttft_p99=500ms")
        told = seconds(text)
        found.append((quantity(name), amount(text, f"--limit {option}") if told is None else told))
    return tuple(found)


def limits(
    results: Sequence[RunResult], more: Sequence[tuple[Quantity, float]], target: float | None
) -> tuple[Limit, ...]:
    """Each class's attainment against its target, and what else was asked for. Pure."""
    classes = dict.fromkeys(name for run in results for name in run.attainment)
    found = [_attained(name, results, target) for name in classes]
    return (*found, *(_limited(one, limit, results) for one, limit in more))


def _attained(name: str, results: Sequence[RunResult], target: float | None) -> Limit:
    told = [run.attainment[name] for run in results if name in run.attainment]
    stated = next((one.target for one in told if one.target is not None), None)
    wanted = stated if stated is not None else TARGET if target is None else target
    value, interval = _over_runs([(one.share, one.interval) for one in told])
    return Limit(
        name=f"attainment[{name}]",
        title=f"Attainment of class {name}",
        unit="",
        limit=wanted,
        better="higher",
        value=value,
        interval=None if interval is None else (max(0.0, interval[0]), min(1.0, interval[1])),
        num_runs=len(told),
        standing=_standing(interval, wanted, "higher"),
    )


def _limited(one: Quantity, limit: float, results: Sequence[RunResult]) -> Limit:
    told = [run.summaries[one.metric] for run in results if one.metric in run.summaries]
    better: Better = told[0].better if told else "lower"
    value, interval = _over_runs([(one.value(run), one.interval(run)) for run in results])
    return Limit(
        name=one.name,
        title=told[0].title if told else one.metric,
        unit=told[0].unit if told else "",
        limit=limit,
        better=better,
        value=value,
        interval=interval,
        num_runs=len(told),
        standing=_standing(interval, limit, better),
    )


def _over_runs(
    found: Sequence[tuple[float | None, Interval | None]],
) -> tuple[float | None, Interval | None]:
    """The median run, and an interval: of one run its own; of several that of their mean (t), but
    no narrower than their own are on average."""
    values = [value for value, _ in found if value is not None]
    own = [interval for _, interval in found if interval is not None]
    if not values:
        return None, None
    value = statistics.median(values)
    if len(values) == 1:
        return value, own[0] if own else None
    low, high = paired(values).interval(0.95)
    if own:
        low = min(low, statistics.fmean(one[0] for one in own))
        high = max(high, statistics.fmean(one[1] for one in own))
    return value, (low, high)


def _standing(interval: Interval | None, limit: float, better: Better) -> Standing:
    if interval is None or better == "neither":
        return "open"
    low, high = interval if better == "lower" else (-interval[1], -interval[0])
    bound = limit if better == "lower" else -limit
    return "kept" if high <= bound else "missed" if low > bound else "open"
