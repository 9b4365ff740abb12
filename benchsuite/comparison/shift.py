"""Shift function: where in a distribution two sides differ, quantile by quantile. Pure.

A median can stand still while the slow tenth gets slower; the difference at every decile shows it.
Doksum, "Empirical probability plots and statistical inference for nonlinear models", Annals of
Statistics 1974; Wilcox and Erceg-Hurn, "Comparing two groups at all quantiles", 2012.

With several runs a side a quantile of one run is one observation. With one run a side the interval
is that of the requests within these two runs: what another run would say, it cannot tell.
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from msgspec import Struct

from benchsuite.comparison import effects
from benchsuite.metrics.base import Interval, Metric
from benchsuite.metrics.pool import Sample, sample
from benchsuite.metrics.statistics import MIN_BLOCKS, Quantile, quantiles
from benchsuite.metrics.steady import correlation_time
from benchsuite.records.table import FloatArray, IntArray, RunData
from benchsuite.report.thinning import ecdf

LEVELS: Final = {f"p{tenth}0": tenth / 10 for tenth in range(1, 10)} | {"p95": 0.95, "p99": 0.99}
MAX_POINTS: Final = 400  # of one run's curve
CONFIDENCE: Final = 0.95


class Distribution(NamedTuple):
    """A metric over one run. Intervals are of this run alone."""

    num: int
    quantiles: dict[str, Quantile]  # of LEVELS
    x: FloatArray  # the curve of shares, thinned: [points] values, ascending
    share: FloatArray  # [points] of all values, at or below x


class Step(Struct, frozen=True, kw_only=True):
    """The difference at one quantile. `change` 0.1 is a value that is 10 % higher than before."""

    level: str  # p10
    baseline: float  # median of the runs' quantiles
    now: float
    change: float  # now / baseline - 1: a median over pairs, or the ratio of medians
    interval: Interval | None  # 95 %, of this quantile alone
    is_within_runs: bool  # of requests in two runs, and not of runs


def distribution(metric: Metric, data: RunData) -> Distribution | None:
    """None where the run has no value of it."""
    found = sample(metric, data)
    if not len(found.values):
        return None
    x, share = ecdf(found.values, MAX_POINTS)
    return Distribution(len(found.values), quantiles(found.values, blocks(found), LEVELS), x, share)


def blocks(found: Sample) -> IntArray:
    """Which block each value is of, [n], from 0: neighbouring sessions, in the order in which they
    began, together for twice as long as their means are correlated.

    Values of one session resemble each other, and so do sessions that waited in one queue: blocks
    that are independent of each other let Kish's design effect count both. At least MIN_BLOCKS
    where there are as many sessions.
    """
    present, session = np.unique(found.session, return_inverse=True)
    counts = np.bincount(session)
    correlated = correlation_time(np.bincount(session, found.values) / counts)
    length = 1 if correlated < 1.5 else math.ceil(2 * correlated)
    length = max(1, min(length, len(present) // MIN_BLOCKS))
    owner: IntArray = (session // length).astype(np.int64)
    return owner


def shift(
    baseline: Sequence[Distribution], now: Sequence[Distribution], *, is_paired: bool
) -> tuple[Step, ...]:
    """At every level that all runs have. The k-th runs are a pair, if they are paired."""
    steps = []
    for level in LEVELS:
        sides = [[one.quantiles[level] for one in runs] for runs in (baseline, now)]
        values = [[one.value for one in side if one.value] for side in sides]
        if all(len(some) == len(side) for some, side in zip(values, sides, strict=True)):
            steps.append(_step(level, values[0], values[1], sides, is_paired))
    return tuple(steps)


def _step(
    level: str,
    baseline: list[float],
    now: list[float],
    sides: list[list[Quantile]],
    is_paired: bool,
) -> Step:
    is_single = min(len(baseline), len(now)) < 2
    if is_single:
        estimate = math.log(float(np.median(now)) / float(np.median(baseline)))
        interval = None
        if len(baseline) == len(now):
            interval = within(*sides[0][:1], *sides[1][:1])
    else:
        logs = np.log(baseline), np.log(now)
        effect = (
            effects.paired((logs[1] - logs[0]).tolist())
            if is_paired
            else effects.unpaired(logs[0].tolist(), logs[1].tolist())
        )
        estimate, interval = effect.estimate, effect.interval(CONFIDENCE)
    return Step(
        level=level,
        baseline=float(np.median(baseline)),
        now=float(np.median(now)),
        change=math.expm1(estimate),
        interval=None if interval is None else (math.expm1(interval[0]), math.expm1(interval[1])),
        is_within_runs=is_single,
    )


def within(baseline: Quantile, now: Quantile) -> Interval | None:
    """Of log(now / baseline), from the interval of each run: none can be had of one alone.

    With x between l and u: (now - baseline) - sqrt((now - l)^2 + (u - baseline)^2), and so upwards.
    Zou and Donner, "Construction of confidence limits about effect measures", Statistics in
    Medicine 2008. None where either has no interval, or one that reaches 0.
    """
    ends = [_logs(one) for one in (baseline, now)]
    if ends[0] is None or ends[1] is None:
        return None
    (low_a, a, high_a), (low_b, b, high_b) = ends[0], ends[1]
    return b - a - math.hypot(b - low_b, high_a - a), b - a + math.hypot(high_b - b, a - low_a)


def _logs(one: Quantile) -> tuple[float, float, float] | None:
    if one.value is None or one.interval is None or one.interval[0] <= 0:
        return None
    return math.log(one.interval[0]), math.log(one.value), math.log(one.interval[1])
