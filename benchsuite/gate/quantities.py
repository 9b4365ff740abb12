"""Quantity: one number of a run that a gate looks at, such as `ttft_p99`, and how it is judged."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Final, NamedTuple

from benchsuite.comparison.verdicts import Samples, Scale
from benchsuite.errors import ScenarioError
from benchsuite.metrics import METRICS, bound, of_system
from benchsuite.metrics.base import Better, Interval
from benchsuite.metrics.slo import Slos
from benchsuite.metrics.system import UNTOLD
from benchsuite.results.result import RunResult

LATENCIES: Final = ("ttft_p50", "ttft_p99", "tpot_p50")
MIN_EFFECT: Final = 0.05
_COLUMNS: Final = ("p50", "p75", "p90", "p95", "p99", "p999", "mean")
_OTHER_NAMES: Final = {"goodput": "good_rate", "throughput": "output_token_rate"}
_SHARES: Final = frozenset({"attainment", "accuracy", "vote_accuracy"})


class Quantity(NamedTuple):
    """`ttft_p99` is the column p99 of the metric ttft; of a metric without quantiles, its mean."""

    name: str  # as it was asked for
    metric: str
    column: str

    def value(self, result: RunResult) -> float | None:
        """Of one run; None where it has none, or too few requests for that quantile."""
        summary = result.summaries.get(self.metric)
        return None if summary is None else getattr(summary, self.column)

    def interval(self, result: RunResult) -> Interval | None:
        """What this run alone leaves open, 95 %."""
        summary = result.summaries.get(self.metric)
        return None if summary is None else getattr(summary, f"{self.column}_ci", None)


def quantity(name: str) -> Quantity:
    metric, _, column = name.rpartition("_")
    if column in _COLUMNS and metric:
        return Quantity(name, metric, column)
    return Quantity(name, _OTHER_NAMES.get(name, name), "mean")


def declared(names: Sequence[str], has_slo: bool) -> tuple[Quantity, ...]:
    """The family: what was asked for; else the three latencies and the good rate, or the rate of
    tokens where no SLO says what is good."""
    usual = (*LATENCIES, "goodput" if has_slo else "throughput")
    return tuple(map(quantity, dict.fromkeys(names or usual)))


def min_effects(options: Sequence[str]) -> Mapping[str, float]:
    """`5%`, `0.05`, `ttft_p99=10%`: by name, the one for all others under ""."""
    found = {"": MIN_EFFECT}
    for option in options:
        name, _, text = option.rpartition("=")
        found[name] = share_below_1(text, f"--min-effect {option}")
    return found


def share_below_1(text: str, option: str) -> float:
    """`5%` or `0.05`. Raises ScenarioError, which names the option, for anything else."""
    value = amount(text, option)
    if not 0 <= value < 1:
        raise ScenarioError(f"{option}: expected at least 0 % and below 100 %")
    return value


def amount(text: str, option: str) -> float:
    """`5%` or `0.05`."""
    try:
        value = float(text.strip().removesuffix("%"))
    except ValueError:
        raise ScenarioError(f"{option}: {text!r} is no number") from None
    return value / 100 if text.strip().endswith("%") else value


def refuse_unknown(option: str, asked: Iterable[Quantity], slos: Slos) -> None:
    """Before anything is measured: ScenarioError for a metric that no run with these SLOs has."""
    known = {one.name for one in METRICS + of_system(slos, UNTOLD) + bound(slos)}
    for one in asked:
        if one.metric not in known:
            near = get_close_matches(one.metric, known, 1)
            hint = f", did you mean {near[0]!r}?" if near else ""
            raise ScenarioError(
                f"{option} {one.name}: no metric {one.metric!r}{hint} (benchsuite list metrics)"
            )


def samples(
    one: Quantity,
    baseline: Sequence[RunResult],
    now: Sequence[RunResult],
    min_effect: float,
) -> Samples:
    """Pairs of runs."""
    return _samples(one, [one.value(run) for run in baseline], now, min_effect, is_stored=False)


def stored_samples(
    one: Quantity, stored: Sequence[float | None], now: Sequence[RunResult], min_effect: float
) -> Samples:
    """Runs of now against those of another day."""
    return _samples(one, stored, now, min_effect, is_stored=True)


def _samples(
    one: Quantity,
    baseline: Sequence[float | None],
    now: Sequence[RunResult],
    min_effect: float,
    *,
    is_stored: bool,
) -> Samples:
    told = next((run.summaries[one.metric] for run in now if one.metric in run.summaries), None)
    scale: Scale = "difference" if one.metric in _SHARES else "ratio"
    better: Better = "lower" if told is None else told.better
    return Samples(
        metric=one.name,
        title=one.metric if told is None else told.title,
        unit="" if told is None else told.unit,
        better=better,
        baseline=tuple(baseline),
        now=tuple(one.value(run) for run in now),
        is_paired=not is_stored,
        is_stored=is_stored,
        scale=scale,
        min_effect=min_effect,
    )
