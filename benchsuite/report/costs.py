"""What the table of cost and energy says: a number where it was measured, else why it is not."""

from collections.abc import Iterator
from typing import Final

from benchsuite.metrics.base import Summary
from benchsuite.report.sections import Rows, bare
from benchsuite.results.result import RunResult

HEAD: Final = ("what", "value", "interval, or why not")
METRICS: Final = (
    "energy", "power", "joules_per_output_token", "joules_per_request", "joules_per_good_request",
    "joules_per_correct", "cpu_energy", "cpu_power", "cpu_joules_per_output_token",
    "usd_per_million_output_tokens", "usd_per_million_tokens", "usd_per_request", "token_price",
    "usd_per_correct",
)  # fmt: skip


def costs(result: RunResult) -> Rows:
    """The columns of HEAD: what is known first; then, reason by reason, what is not."""
    return tuple(map(_row, _known(result))) + tuple(_missing(result))


def has_any(result: RunResult) -> bool:
    """Whether anything was measured."""
    return bool(_known(result))


def _known(result: RunResult) -> list[Summary]:
    told = [result.summaries[name] for name in METRICS if name in result.summaries]
    return [one for one in told if _value(one) is not None]


def _row(one: Summary) -> tuple[str, ...]:
    value = _value(one)
    assert value is not None
    ci = one.mean_ci
    interval = f"{bare(ci[0], one.unit)} to {bare(ci[1], one.unit)}" if ci else ""
    title = one.title if one.title.startswith(one.unit) else f"{one.title}, {one.unit}"
    return (title, bare(value, one.unit), interval)


def _value(one: Summary) -> float | None:
    return one.mean if one.n else None


def _missing(result: RunResult) -> Iterator[tuple[str, ...]]:
    """What a run cannot have, and what has no value in it: never a zero for want of a meter."""
    reasons: dict[str, list[str]] = {}
    for name in METRICS:
        one = result.summaries.get(name)
        if name in result.absent:
            reasons.setdefault(result.absent[name], []).append(name)
        elif one is not None and _value(one) is None:
            reasons.setdefault("nothing in the window to divide by", []).append(name)
    for reason, names in reasons.items():
        yield (", ".join(names), "unavailable", reason)
