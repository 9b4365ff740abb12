"""Metrics over all classes that have SLOs: attainment, good rate, worst class, tardiness, scale."""

import math
from collections.abc import Callable
from typing import Final

import numpy as np

from benchsuite.metrics.attainment import (
    DEFAULT_TARGET,
    ended_inside,
    finite,
    judge,
    length_s,
    num_good,
    observed,
    scales,
    smallest,
)
from benchsuite.metrics.base import Interval, Metric
from benchsuite.metrics.objectives import limits
from benchsuite.metrics.slo import Slos, slo_of
from benchsuite.metrics.statistics import binomial_ranks, wilson
from benchsuite.records.table import FloatArray, RunData

_DEADLINES: Final = ("ttft", "ttfo", "e2e_latency")  # of something that a user waits for


def slo_metrics(slos: Slos) -> tuple[Metric, ...]:
    """The metrics that exist only where limits are set, bound to them; over all classes."""

    def attained(data: RunData) -> FloatArray:
        """Share of requests that met every SLO of their class. The denominator is all requests
        sent in the measurement window, or due in it and never sent: failures, timeouts and
        cancelled requests are misses. Interval: Wilson's. Source: DistServe, OSDI'24."""
        met, num = _total(data, slos)
        return np.array([met / num if num else np.nan])

    def attained_interval(data: RunData) -> Interval | None:
        return wilson(*_total(data, slos))

    def good_rate(data: RunData) -> FloatArray:
        """Requests that met every SLO of their class and ended inside the measurement window /
        length of the window, at this one load: that part of `request_rate`. Others call this
        goodput; here goodput is the highest rate whose attainment is at least x. Interval:
        Wilson's, with the number of requests that ended in the window held fixed. Source: vLLM
        bench serve, goodput."""
        good, _ = _total_ended(data, slos)
        return np.array([good / length_s(data)])

    def good_rate_interval(data: RunData) -> Interval | None:
        good, ended = _total_ended(data, slos)
        interval, window_s = wilson(good, ended), length_s(data)
        return interval and (interval[0] * ended / window_s, interval[1] * ended / window_s)

    def worst(data: RunData) -> FloatArray:
        """Attainment of the class that has the least. A policy that gives up one class to please
        the others raises the attainment of all and lowers this. Interval: Wilson's. Source:
        FlowPrefill, arXiv:2602.16603."""
        shares = [met / num for met, num in _by_class(data, slos) if num]
        return np.array([min(shares, default=np.nan)])

    def worst_interval(data: RunData) -> Interval | None:
        found = [pair for pair in _by_class(data, slos) if pair[1]]
        return wilson(*min(found, key=lambda pair: pair[0] / pair[1])) if found else None

    def lacks_classes(data: RunData) -> str | None:
        num = len(judge(data, slos).classes)
        return None if num > 1 else "it takes two classes with limits"

    def late(data: RunData) -> FloatArray:
        """By how much a request was later than its latest deadline (`ttft`, `ttfo`, `e2e_latency`
        of its class); zero if it kept all. Attainment counts who was late, this counts how late:
        policies that park late requests raise the one and the other. Undefined for failures, which
        have no time. Source: total tardiness of single-machine scheduling."""
        return _tardiness(data, slos)

    def lacks_deadlines(data: RunData) -> str | None:
        named = {key for name in set(data.slo_class) for key in slo_of(slos, name).objectives}
        return None if named & set(_DEADLINES) else "no limit on ttft, ttfo or e2e_latency"

    def scale(data: RunData) -> FloatArray:
        """The smallest factor on all limits at which as many requests meet them as are wanted (the
        least `target` of the classes; 90 % where none is stated). Two systems at one rate: the
        ratio of their scales is how many times tighter SLOs the better one keeps. Undefined where
        too many failed. Interval: order statistics. Source: DistServe, OSDI'24, SLO scale."""
        return np.array([finite(smallest(*_all_scales(data, slos))) or np.nan])

    def scale_interval(data: RunData) -> Interval | None:
        ratios, wanted = _all_scales(data, slos)
        ranks = binomial_ranks(len(ratios), wanted)
        if ranks is None:
            return None
        low, high = (float(np.sort(ratios)[rank - 1]) for rank in ranks)
        return (low, high) if math.isfinite(high) else None

    return (
        Metric("attainment", "SLO attainment", "share", "higher", "run", attained,
               interval=attained_interval),
        Metric("good_rate", "Good rate", "requests/s", "higher", "run", good_rate,
               interval=good_rate_interval),
        Metric("worst_class_attainment", "Worst class", "share", "higher", "run", worst,
               interval=worst_interval, lacks=lacks_classes),
        Metric("tardiness", "Tardiness", "s", "lower", "request", late, lacks=lacks_deadlines),
        Metric("slo_scale", "SLO scale", "", "lower", "run", scale, interval=scale_interval),
    )  # fmt: skip


def good_rate_of(slos: Slos) -> Callable[[RunData], FloatArray]:
    """`good_rate` alone, for what is counted per good request."""
    (found,) = (one for one in slo_metrics(slos) if one.name == "good_rate")
    return found.values


def _tardiness(data: RunData, slos: Slos) -> FloatArray:
    found, classes = np.full(len(data), np.nan), np.array(data.slo_class, dtype=str)
    for name in sorted(set(data.slo_class)):
        for objective in slo_of(slos, name).objectives.values():
            if objective.metric in _DEADLINES:
                late_s = observed(objective.metric, data, None) - limits(objective.limit, data)
                chosen = data.ok & (classes == name)
                found[chosen] = np.fmax(found[chosen], np.maximum(late_s, 0.0)[chosen])
    return found


def _all_scales(data: RunData, slos: Slos) -> tuple[FloatArray, float]:
    """(factors of all requests that count, the share wanted)"""
    judged = judge(data, slos)
    each = [scales(data, slo_of(slos, name), of, 0) for name, of in judged.classes.items()]
    lost = np.full(judged.num_unrecorded, np.inf)
    wanted = [slo_of(slos, name).wanted or DEFAULT_TARGET for name in judged.classes]
    return np.concatenate((*each, lost)), min(wanted, default=DEFAULT_TARGET)


def _by_class(data: RunData, slos: Slos) -> list[tuple[int, int]]:
    """(met, num) of each class that has limits."""
    judged = judge(data, slos)
    return [
        (num_good(judged.met[name], counted), int(np.count_nonzero(counted)))
        for name, counted in judged.classes.items()
    ]


def _total(data: RunData, slos: Slos) -> tuple[int, int]:
    """(met, num) over all classes that have limits."""
    found = _by_class(data, slos)
    lost = judge(data, slos).num_unrecorded
    return sum(met for met, _ in found), sum(num for _, num in found) + lost


def _total_ended(data: RunData, slos: Slos) -> tuple[int, int]:
    """(good, all) requests of classes with limits that ended in the window, well or not."""
    judged, ended = judge(data, slos), ended_inside(data)
    good = sum(num_good(met, ended) for met in judged.met.values())
    has_limits = np.isin(np.array(data.slo_class, dtype=str), list(judged.classes))
    return good, int(np.count_nonzero(ended & has_limits))
