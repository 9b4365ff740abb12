"""From metrics to numbers: which values count, their quantiles and intervals. Names no metric."""

from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from benchsuite.metrics.base import Interval, Metric, Summary
from benchsuite.metrics.pool import Pool, pool
from benchsuite.metrics.statistics import (
    QUANTILES,
    effective_sessions,
    mean_intervals,
    quantiles_of,
)
from benchsuite.metrics.steady import quantile_with_failures
from benchsuite.records.table import FloatArray, RunData


def summaries(metrics: tuple[Metric, ...], data: RunData) -> dict[str, Summary]:
    """Each of `metrics` that is not absent over one run, by name, in their order."""
    missing = absent(metrics, data)
    metrics = tuple(metric for metric in metrics if metric.name not in missing)
    num_failed = int(np.count_nonzero(data.in_window & ~data.ok))
    spread = [metric for metric in metrics if metric.shape != "run"]
    found: dict[str, Summary] = {}
    totals = np.zeros((2, data.num_sessions, len(spread)))
    for m, metric in enumerate(spread):  # one after the other: values of tokens are many
        twin = metric.twin(data) if metric.twin is not None else None
        if twin is not None and twin in found:
            found[metric.name] = replace(found[twin], **_names(metric))
            totals[:, :, m] = totals[:, :, list(found).index(twin)]
            continue
        pooled = pool(metric, data)
        found[metric.name] = _of_pool(metric, pooled, num_failed)
        totals[0, :, m], totals[1, :, m] = pooled.counts, pooled.sums
    for name, mean in zip(list(found), _means(*totals), strict=True):
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


class _Mean(NamedTuple):
    """What can be said of a mean."""

    interval: Interval | None
    num_independent: float  # sessions


def _means(counts: FloatArray, sums: FloatArray) -> list[_Mean]:
    """Of all metrics at once, both [sessions, metrics]; sessions without a value in any of them are
    left out."""
    present = counts.any(axis=1)
    if not present.all():
        sums, counts = sums[present], counts[present]
    independent = effective_sessions(sums, counts)
    intervals = mean_intervals(sums, counts, independent)
    return [_Mean(*pair) for pair in zip(intervals, independent.tolist(), strict=True)]


def _of_pool(metric: Metric, pooled: Pool, num_failed: int) -> Summary:
    """All but what is said of its mean beside others'."""
    named, ordered = _names(metric), pooled.ordered
    found = quantiles_of(ordered, pooled.parts, pooled.counts)
    points: dict[str, Any] = {name: each.value for name, each in found.items()}
    refused = {name: each.needed for name, each in found.items() if each.needed is not None}
    if not len(ordered):
        return Summary(**named, n=0, refused=refused)
    return Summary(
        **named,
        n=len(ordered),
        mean=pooled.mean,
        std=pooled.std,
        min=float(ordered[0]),
        max=float(ordered[-1]),
        **points,
        p50_ci=found["p50"].interval,
        p90_ci=found["p90"].interval,
        p99_ci=found["p99"].interval,
        refused=refused,
        with_failures=_with_failures(metric, ordered, num_failed, points),
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
