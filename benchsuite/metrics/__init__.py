"""METRICS: the catalogue, one line per metric; `summarise` computes all of it for one run."""

from typing import Any, NamedTuple

import numpy as np

from benchsuite.metrics.answers import accuracy, accuracy_interval, correct_rate
from benchsuite.metrics.base import Interval, Metric, Summary
from benchsuite.metrics.generator import client_lag, connect_time, issue_delay, send_delay
from benchsuite.metrics.latency import (
    e2e_latency,
    e2e_latency_sent,
    icl,
    itl,
    normalised_latency,
    tpot,
    tps_user,
    ttfo,
    ttft,
    ttft_sent,
)
from benchsuite.metrics.slo import Slos, slo_metrics
from benchsuite.metrics.statistics import mean_intervals, quantiles
from benchsuite.metrics.throughput import (
    output_token_rate,
    output_tokens,
    prompt_tokens,
    request_rate,
    total_token_rate,
)
from benchsuite.records.table import FloatArray, IntArray, RunData

# name, title, unit, better, shape, values
METRICS: tuple[Metric, ...] = (
    Metric("ttft", "Time to first token", "s", "lower", "request", ttft),
    Metric("ttft_sent", "Time to first token, from sent", "s", "lower", "request", ttft_sent),
    Metric("ttfo", "Time to first visible output", "s", "lower", "request", ttfo),
    Metric("tpot", "Time per output token", "s", "lower", "request", tpot),
    Metric("itl", "Inter-token latency", "s", "lower", "token", itl),
    Metric("icl", "Inter-chunk latency", "s", "lower", "chunk", icl),
    Metric("e2e_latency", "E2E latency", "s", "lower", "request", e2e_latency),
    Metric("e2e_latency_sent", "E2E latency, from sent", "s", "lower", "request", e2e_latency_sent),
    Metric("normalised_latency", "Normalised latency", "s", "lower", "request", normalised_latency),
    Metric("tps_user", "Tokens/s per user", "tokens/s", "higher", "request", tps_user),
    Metric("request_rate", "Request rate", "requests/s", "higher", "run", request_rate),
    Metric("output_token_rate", "Output tokens/s", "tokens/s", "higher", "run", output_token_rate),
    Metric("total_token_rate", "Total tokens/s", "tokens/s", "higher", "run", total_token_rate),
    Metric("accuracy", "Accuracy", "share", "higher", "run", accuracy, interval=accuracy_interval),
    Metric("correct_rate", "Right answers/s", "answers/s", "higher", "run", correct_rate),
    Metric("prompt_tokens", "Prompt tokens", "tokens", "neither", "request", prompt_tokens),
    Metric("output_tokens", "Output tokens", "tokens", "neither", "request", output_tokens),
    Metric("send_delay", "Send delay", "s", "lower", "request", send_delay, over="sent"),
    Metric("issue_delay", "Issue delay", "s", "lower", "request", issue_delay, over="sent"),
    Metric("client_lag", "Client lag", "s", "lower", "chunk", client_lag, over="sent"),
    Metric("connect_time", "Connect time", "s", "lower", "request", connect_time, over="sent"),
)  # fmt: skip


def summarise(data: RunData, slos: Slos) -> dict[str, Summary]:
    """Every metric of the catalogue, and those of the SLOs where there are any, by name."""
    metrics = METRICS + (slo_metrics(slos) if slos else ())
    spread = [metric for metric in metrics if metric.shape != "run"]
    _, session = np.unique(data.session_id, return_inverse=True)
    samples = [_sample(metric, data, session) for metric in spread]
    intervals = _mean_intervals(samples)
    found = {
        metric.name: _of_sample(metric, sample, interval)
        for metric, sample, interval in zip(spread, samples, intervals, strict=True)
    }
    found |= {metric.name: _of_run(metric, data) for metric in metrics if metric.shape == "run"}
    return {metric.name: found[metric.name] for metric in metrics}


class _Sample(NamedTuple):
    """The values of a metric that count, and whose they are."""

    values: FloatArray
    session: IntArray  # of each value, from 0


def _sample(metric: Metric, data: RunData, session: IntArray) -> _Sample:
    values = metric.values(data)
    counted = data.in_window & (data.ok if metric.over == "ok" else ~np.isnan(data.sent_s))
    if metric.shape == "request":
        chosen = np.flatnonzero(counted & ~np.isnan(values))
        return _Sample(values[chosen], session[chosen])
    owner = data.request_of_chunk if metric.shape == "chunk" else data.request_of_token
    chosen = np.flatnonzero(counted[owner] & ~np.isnan(values))
    return _Sample(values[chosen], session[owner[chosen]])


def _mean_intervals(samples: list[_Sample]) -> list[Interval | None]:
    """Of all samples at once; sessions without a value in any of them are left out."""
    num = max(
        (int(sample.session.max()) + 1 for sample in samples if len(sample.values)), default=0
    )
    counts = np.array([np.bincount(sample.session, minlength=num) for sample in samples]).T
    sums = np.array([np.bincount(each.session, each.values, minlength=num) for each in samples]).T
    present = counts.any(axis=1)
    return mean_intervals(sums[present], counts[present].astype(np.float64))


def _of_sample(metric: Metric, sample: _Sample, interval: Interval | None) -> Summary:
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
        mean_ci=interval,
        std=float(values.std(ddof=1)) if len(values) > 1 else None,
        min=float(values.min()),
        max=float(values.max()),
        **points,
        p50_ci=found["p50"].interval,
        p90_ci=found["p90"].interval,
        p99_ci=found["p99"].interval,
        refused=refused,
    )


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
