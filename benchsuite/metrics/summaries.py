"""From metrics to numbers: which values count, their quantiles and intervals. Names no metric."""

from typing import Any, NamedTuple

import numpy as np

from benchsuite.metrics.base import Interval, Metric, Summary
from benchsuite.metrics.statistics import (
    QUANTILES,
    effective_sessions,
    mean_intervals,
    quantiles,
)
from benchsuite.metrics.steady import quantile_with_failures
from benchsuite.records.table import FloatArray, IntArray, RunData


def summaries(metrics: tuple[Metric, ...], data: RunData) -> dict[str, Summary]:
    """Each of `metrics` that is not absent over one run, by name, in their order."""
    missing = absent(metrics, data)
    metrics = tuple(metric for metric in metrics if metric.name not in missing)
    spread = [metric for metric in metrics if metric.shape != "run"]
    samples = [_sample(metric, data) for metric in spread]
    means = _means(samples)
    num_failed = int(np.count_nonzero(data.in_window & ~data.ok))
    found = {
        metric.name: _of_sample(metric, sample, mean, num_failed)
        for metric, sample, mean in zip(spread, samples, means, strict=True)
    }
    found |= {metric.name: _of_run(metric, data) for metric in metrics if metric.shape == "run"}
    return {metric.name: found[metric.name] for metric in metrics}


def absent(metrics: tuple[Metric, ...], data: RunData) -> dict[str, str]:
    """Those of `metrics` that cannot be had of this run, and what it lacks."""
    reasons = {metric.name: metric.lacks and metric.lacks(data) for metric in metrics}
    return {name: reason for name, reason in reasons.items() if reason}


class _Sample(NamedTuple):
    """The values of a metric that count, and whose they are."""

    values: FloatArray
    session: IntArray  # of each value, from 0


def _sample(metric: Metric, data: RunData) -> _Sample:
    values, session = metric.values(data), data.session
    counted = data.in_window & (data.ok if metric.over == "ok" else ~np.isnan(data.sent_s))
    if metric.shape == "request":
        chosen = np.flatnonzero(counted & ~np.isnan(values))
        return _Sample(values[chosen], session[chosen])
    if metric.shape == "session":
        num_outside = np.bincount(session[~counted], minlength=data.num_sessions)
        chosen = np.flatnonzero((num_outside == 0) & ~np.isnan(values))
        return _Sample(values[chosen], chosen)
    spread = data.per_chunk if metric.shape == "chunk" else data.per_token
    chosen = ~np.isnan(values)
    if not counted.all():
        chosen &= spread(counted)
    return _Sample(values[chosen], spread(session)[chosen])


class _Mean(NamedTuple):
    """What can be said of a mean."""

    interval: Interval | None
    num_independent: float  # sessions


def _means(samples: list[_Sample]) -> list[_Mean]:
    """Of all samples at once; sessions without a value in any of them are left out."""
    if not samples:
        return []
    num = max(
        (int(sample.session.max()) + 1 for sample in samples if len(sample.values)), default=0
    )
    counts = np.array([np.bincount(sample.session, minlength=num) for sample in samples]).T
    sums = np.array([np.bincount(each.session, each.values, minlength=num) for each in samples]).T
    present = counts.any(axis=1)
    sums, counts = sums[present], counts[present].astype(np.float64)
    independent = effective_sessions(sums, counts)
    intervals = mean_intervals(sums, counts, independent)
    return [_Mean(*pair) for pair in zip(intervals, independent.tolist(), strict=True)]


def _of_sample(metric: Metric, sample: _Sample, mean: _Mean, num_failed: int) -> Summary:
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
        num_independent=round(mean.num_independent, 1),
        mean=float(values.mean()),
        mean_ci=mean.interval,
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
