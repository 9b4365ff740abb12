"""Metric: one number definition. Summary: what a run says about it, with its uncertainty."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from msgspec import Struct

from benchsuite.records.table import FloatArray, RunData

Better = Literal["lower", "higher", "neither"]
Shape = Literal["request", "session", "chunk", "token", "run"]
Over = Literal["ok", "sent"]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Metric:
    """A definition. Its words are the docstring of `values`; docs/metrics.md takes them from there.

    `values` gives one value per request [n], per session [num_sessions], per chunk [chunks], per
    token [sum of chunk_tokens] or for the run [1], as `shape` says, and NaN where the metric is
    undefined. Which of them count is not its business: `summarise` keeps those whose request lies
    in the measurement window and ended well (`over="ok"`) or was sent at all (`over="sent"`); of
    sessions those of which every request does.

    `lacks` says what a run does not have that the metric is made of; the metric is then absent,
    with that reason, and never zero.
    """

    name: str
    title: str
    unit: str
    better: Better
    shape: Shape
    values: Callable[[RunData], FloatArray]
    over: Over = "ok"
    interval: Callable[[RunData], Interval | None] | None = None  # of a per-run metric, if known
    lacks: Callable[[RunData], str | None] | None = None  # why it is absent; None: it is not
    twin: Callable[[RunData], str | None] | None = None  # which metric before it has its values

    @property
    def doc(self) -> str:
        """The definition in words, one paragraph."""
        return self._parts[0]

    @property
    def source(self) -> str:
        """Paper, rules or tool that defines it; "" where it is our own."""
        return self._parts[2].rstrip(".")

    @property
    def _parts(self) -> tuple[str, str, str]:
        """The words of the docstring on either side of its `Source:`."""
        return " ".join((self.values.__doc__ or "").split()).partition(" Source: ")


class Summary(Struct, frozen=True, kw_only=True):
    """One metric over one run. None stands where there is no such number; `refused` says why.

    Intervals are 95 %. `refused[quantile]` is the n that it would take. A per-run metric has n = 1,
    its value in `mean`, and no quantiles. `num_independent` sessions say as much as all of these,
    which waited together. `with_failures` holds the quantiles with every request that did not end
    well as infinitely late (null: so many failed that the quantile is), where there were any.
    """

    metric: str
    title: str
    unit: str
    better: Better
    n: int
    mean: float | None = None
    mean_ci: Interval | None = None
    std: float | None = None
    min: float | None = None
    max: float | None = None
    p1: float | None = None
    p5: float | None = None
    p10: float | None = None
    p25: float | None = None
    p50: float | None = None
    p75: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    p999: float | None = None
    p50_ci: Interval | None = None
    p90_ci: Interval | None = None
    p99_ci: Interval | None = None
    refused: dict[str, int] = {}
    num_independent: float | None = None
    with_failures: dict[str, float | None] = {}
