"""From metrics to numbers: which values count, their quantiles and intervals. Names no metric."""

from typing import Any, Final, NamedTuple

import numpy as np
from msgspec.structs import replace

from benchsuite.metrics.base import Interval, Metric, Summary
from benchsuite.metrics.statistics import (
    QUANTILES,
    effective_sessions,
    mean_intervals,
    quantiles,
)
from benchsuite.metrics.steady import quantile_with_failures
from benchsuite.records.table import FloatArray, Int32Array, IntArray, RunData

AT_ONCE: Final = 1 << 22  # values added up together


def summaries(metrics: tuple[Metric, ...], data: RunData) -> dict[str, Summary]:
    """Each of `metrics` that is not absent over one run, by name, in their order."""
    missing = absent(metrics, data)
    metrics = tuple(metric for metric in metrics if metric.name not in missing)
    num_failed = int(np.count_nonzero(data.in_window & ~data.ok))
    found, totals = {}, []
    for metric in metrics:  # one after the other: values of tokens are many
        if metric.shape != "run":
            values = sample(metric, data)
            found[metric.name] = _of_sample(metric, values, num_failed)
            totals.append(_totals(values, data.num_sessions))
    for name, mean in zip(list(found), _means(totals), strict=True):
        if found[name].n:
            found[name] = replace(
                found[name],
                mean_ci=mean.interval,
                num_independent=round(mean.num_independent, 1),
            )
    found |= {metric.name: _of_run(metric, data) for metric in metrics if metric.shape == "run"}
    return {metric.name: found[metric.name] for metric in metrics}


def absent(metrics: tuple[Metric, ...], data: RunData) -> dict[str, str]:
    """Those of `metrics` that cannot be had of this run, and what it lacks."""
    reasons = {metric.name: metric.lacks and metric.lacks(data) for metric in metrics}
    return {name: reason for name, reason in reasons.items() if reason}


class Sample(NamedTuple):
    """The values of a metric that count, and whose they are."""

    values: FloatArray
    session: IntArray | Int32Array  # of each value, from 0


def sample(metric: Metric, data: RunData) -> Sample:
    """Of a metric that is not of shape `run`: the values that `summarise` draws from."""
    values, session = metric.values(data), data.session
    counted = data.in_window & (data.ok if metric.over == "ok" else ~np.isnan(data.sent_s))
    if metric.shape == "request":
        chosen = np.flatnonzero(counted & ~np.isnan(values))
        return Sample(values[chosen], session[chosen])
    if metric.shape == "session":
        num_outside = np.bincount(session[~counted], minlength=data.num_sessions)
        chosen = np.flatnonzero((num_outside == 0) & ~np.isnan(values))
        return Sample(values[chosen], chosen)
    spread = data.per_chunk if metric.shape == "chunk" else data.per_token
    chosen = ~np.isnan(values)
    if not counted.all():
        chosen &= spread(counted)
    return Sample(values[chosen], spread(session.astype(np.int32))[chosen])


class _Mean(NamedTuple):
    """What can be said of a mean."""

    interval: Interval | None
    num_independent: float  # sessions


class _Totals(NamedTuple):
    """Of each session, [num_sessions]."""

    counts: IntArray
    sums: FloatArray


def _totals(sample: Sample, num: int) -> _Totals:
    counts, sums = np.zeros(num, dtype=np.int64), np.zeros(num)
    for start in range(0, len(sample.values), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        counts += np.bincount(sample.session[part], minlength=num)
        sums += np.bincount(sample.session[part], sample.values[part], minlength=num)
    return _Totals(counts, sums)


def _means(totals: list[_Totals]) -> list[_Mean]:
    """Of all samples at once; sessions without a value in any of them are left out."""
    if not totals:
        return []
    counts = np.array([each.counts for each in totals]).T
    sums = np.array([each.sums for each in totals]).T
    present = counts.any(axis=1)
    sums, counts = sums[present], counts[present].astype(np.float64)
    independent = effective_sessions(sums, counts)
    intervals = mean_intervals(sums, counts, independent)
    return [_Mean(*pair) for pair in zip(intervals, independent.tolist(), strict=True)]


def _of_sample(metric: Metric, sample: Sample, num_failed: int) -> Summary:
    """All but what is said of its mean beside others'."""
    values = sample.values
    named = _names(metric)
    found = quantiles(values, sample.session)
    points: dict[str, Any] = {name: each.value for name, each in found.items()}
    refused = {name: each.needed for name, each in found.items() if each.needed is not None}
    if not len(values):
        return Summary(**named, n=0, refused=refused)
    return Summary(
        **named,
        n=len(values),
        mean=float(values.mean()),
        std=float(values.std(ddof=1)) if len(values) > 1 else None,
        min=float(values.min()),
        max=float(values.max()),
        **points,
        p50_ci=found["p50"].interval,
        p90_ci=found["p90"].interval,
        p99_ci=found["p99"].interval,
        refused=refused,
        with_failures=_with_failures(metric, values, num_failed, points),
    )


def _with_failures(
    metric: Metric, values: FloatArray, num_failed: int, points: dict[str, float | None]
) -> dict[str, float | None]:
    """Of a latency of requests, where some failed; quantiles that are refused stay out."""
    is_latency = (metric.shape, metric.unit, metric.over) == ("request", "s", "ok")
    if not (num_failed and is_latency and metric.better == "lower"):
        return {}
    named = {name: p for name, p in QUANTILES.items() if points[name] is not None}
    found = {name: quantile_with_failures(values, num_failed, p) for name, p in named.items()}
    return {name: value if np.isfinite(value) else None for name, value in found.items()}


def _of_run(metric: Metric, data: RunData) -> Summary:
    """One value for the run; no quantiles."""
    value = float(metric.values(data)[0])
    is_known = not np.isnan(value)
    return Summary(
        **_names(metric),
        n=1 if is_known else 0,
        mean=value if is_known else None,
        mean_ci=metric.interval(data) if metric.interval is not None and is_known else None,
        min=value if is_known else None,
        max=value if is_known else None,
    )


def _names(metric: Metric) -> dict[str, Any]:
    return {
        "metric": metric.name,
        "title": metric.title,
        "unit": metric.unit,
        "better": metric.better,
    }
