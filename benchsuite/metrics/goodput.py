"""Goodput: the highest rate at which a criterion holds. Which rate to measure next, and when to
stop: a pure decision from what was measured so far.

A rate is doubled or halved until one passes and one fails, then the gap between them is halved.
Each rate is measured again until it passes or fails by Z standard errors, or was measured often
enough. A rate at which the backlog grows fails, whatever its latencies say. What was never crossed
is censored, never extrapolated. DistServe, OSDI'24, has goodput per GPU; its read-out (a straight
line between two measured rates) is `interpolated`.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, Literal, NamedTuple

import numpy as np
from msgspec import Struct

from benchsuite.metrics.steady import Growth, correlation_time, mean_error
from benchsuite.records.table import BoolArray, FloatArray

Z: Final = 3.0  # standard errors at every look: errs in about 1 in 200 on the line, 8 looks taken
GROWTH_SHARE: Final = 0.01  # of its arrivals that a server may fall behind by before it is refused
Standing = Literal["pass", "fail", "open", "even", "untrusted"]


class Goal(Struct, frozen=True, kw_only=True):
    """What is searched, and how hard."""

    start: float  # the first rate measured
    lowest: float
    highest: float
    precision: float = 0.02  # stops when no gap between rates around it is wider than this share
    max_looks: int = 8  # measurements of one rate
    max_readings: int = 64  # measurements in all
    is_whole: bool = False  # rates are whole numbers, as a concurrency is

    def __post_init__(self) -> None:
        if not 0 < self.lowest <= self.start <= self.highest:
            raise ValueError("expected 0 < lowest <= start <= highest")


class Reading(Struct, frozen=True, kw_only=True):
    """One measurement at one rate."""

    rate: float
    value: float  # of the criterion: the attainment, or a mean
    margin: float  # how far the value is on the good side; negative: it fails
    error: float  # standard error of the margin, correlation counted in
    num: int  # requests
    growth: Growth | None = None  # of the backlog
    trusted: bool = True  # false: the client could not deliver this rate

    @classmethod
    def of_share(
        cls, rate: float, met: BoolArray, target: float, growth: Growth | None
    ) -> "Reading":
        """That a share of at least `target` of the requests is good; `met` in order of origin.

        The error is the one that the share has if it is the target (a score test), with the
        correlation of what was seen.
        """
        share, n = float(met.mean()), len(met)
        variance = max(target * (1 - target), share * (1 - share), 1 / n)
        error = math.sqrt(variance * correlation_time(met.astype(np.float64)) / n)
        return cls(
            rate=rate, value=share, margin=share - target, error=error, num=n, growth=growth
        )  # fmt: skip

    @classmethod
    def of_mean(
        cls, rate: float, values: FloatArray, limit: float, growth: Growth | None
    ) -> "Reading":
        """That the mean of the values (in order of origin, at least 2) is at most `limit`."""
        mean = float(values.mean())
        error = max(mean_error(values), 1e-12 * limit)
        return cls(
            rate=rate, value=mean, margin=limit - mean, error=error, num=len(values), growth=growth
        )  # fmt: skip


class Rate(NamedTuple):
    """All readings of one rate together."""

    rate: float
    value: float
    margin: float
    error: float
    num: int
    is_stable: bool
    standing: Standing


class Goodput(Struct, frozen=True, kw_only=True):
    """What a search found. Rates are per second."""

    rate: float | None  # the highest good one; None: not even the lowest was
    interval: tuple[float | None, float | None]  # 95 %; None: nothing was found on that side
    censored: Literal["above", "below"] | None  # it lies beyond what could be measured
    reason: str  # why the search stopped, for people
    interpolated: float | None  # DistServe's read-out; None where nothing crosses
    rates: tuple[Rate, ...]  # what was measured, ascending


def decide(goal: Goal, readings: Sequence[Reading]) -> float | Goodput:
    """The rate to measure next, or what was found. The same readings, the same answer."""
    rates = pooled(goal, readings)
    undecided = [each.rate for each in rates if each.standing == "open"]
    if undecided and len(readings) < goal.max_readings:
        return undecided[0]
    low, high = _bracket(rates)
    if not rates:
        return goal.start
    if len(readings) >= goal.max_readings:
        return _found(rates, low, high, f"{goal.max_readings} measurements were made")
    if high is None:
        top = rates[-1].rate
        if top >= goal.highest:
            return _found(
                rates, low, None, f"{goal.highest:g}/s, the highest rate asked for, passes"
            )
        return min(2 * top, goal.highest)
    if low is None:
        bottom = rates[0].rate
        if bottom <= goal.lowest:
            return _found(rates, None, high, f"{goal.lowest:g}/s, the lowest rate asked for, fails")
        return max(_between(goal, 0.0, bottom), goal.lowest)
    below, above = _widest_gap(rates, low, high)
    middle = _between(goal, below, above)
    if above / below <= 1 + goal.precision or middle == below:
        return _found(rates, low, high, f"known within {(high - low) / low:.1%}")
    return middle


def _between(goal: Goal, below: float, above: float) -> float:
    middle = (below + above) / 2
    return float(math.floor(middle)) if goal.is_whole else middle


def pooled(goal: Goal, readings: Sequence[Reading]) -> tuple[Rate, ...]:
    """The readings by rate, ascending, each with what can be said of it."""
    by_rate: dict[float, list[Reading]] = {}
    for reading in readings:
        by_rate.setdefault(reading.rate, []).append(reading)
    return tuple(_pool(goal, by_rate[rate]) for rate in sorted(by_rate))


def _pool(goal: Goal, readings: list[Reading]) -> Rate:
    """Weighted by what each says (1 / error^2)."""
    weight = np.array([each.error**-2 for each in readings])
    share = weight / weight.sum()
    margin = float(share @ [each.margin for each in readings])
    error = float(weight.sum() ** -0.5)
    is_stable = not _grows([each.growth for each in readings if each.growth is not None])
    standing: Standing = "even" if len(readings) >= goal.max_looks else "open"
    if not is_stable or margin <= -Z * error:
        standing = "fail"
    elif margin >= Z * error:
        standing = "pass"
    if not all(each.trusted for each in readings):
        standing = "untrusted"
    return Rate(
        rate=readings[0].rate,
        value=float(share @ [each.value for each in readings]),
        margin=margin,
        error=error,
        num=sum(each.num for each in readings),
        is_stable=is_stable,
        standing=standing,
    )


def _grows(found: list[Growth]) -> bool:
    """Whether the backlog grew, over all measurements of a rate together."""
    if not found:
        return False
    per_s, error, share = np.array(found).T
    return Growth(
        float(per_s.mean()), float(np.sqrt((error**2).sum())) / len(found), float(share.mean())
    ).is_beyond(GROWTH_SHARE, Z)


def _bracket(rates: Sequence[Rate]) -> tuple[float | None, float | None]:
    """The lowest rate that fails or cannot be measured, and the highest below it that passes."""
    high = min((one.rate for one in rates if one.standing in ("fail", "untrusted")), default=None)
    low = max(
        (one.rate for one in rates if one.standing == "pass" and (high is None or one.rate < high)),
        default=None,
    )
    return low, high


def _widest_gap(rates: Sequence[Rate], low: float, high: float) -> tuple[float, float]:
    """Where the next measurement tells most: between `low` and `high`, or, where rates on the line
    lie between them, below or above all of those."""
    between = [one.rate for one in rates if low < one.rate < high]
    if not between:
        return low, high
    return max((low, between[0]), (between[-1], high), key=lambda gap: gap[1] / gap[0])


def _found(rates: tuple[Rate, ...], low: float | None, high: float | None, reason: str) -> Goodput:
    inside = [
        one
        for one in rates
        if (low is None or one.rate >= low) and (high is None or one.rate <= high)
    ]
    censored: Literal["above", "below"] | None = None
    rate = low
    is_crossed = low is not None and high is not None
    if high is None:
        censored = "above"
    elif low is None:
        censored = "below"
    elif inside[-1].standing == "untrusted":
        censored, reason = "above", f"the client cannot deliver {high:g}/s"
    if is_crossed and censored is None and inside[-1].margin < 0:
        rate = _crossing(inside)
    return Goodput(
        rate=rate,
        interval=(low, None if censored == "above" else high),
        censored=censored,
        reason=reason,
        interpolated=interpolated([(one.rate, one.margin) for one in rates]),
        rates=rates,
    )


def _crossing(rates: Sequence[Rate]) -> float:
    """Where the margin, made to fall with the rate, is zero: by straight lines between pools."""
    pools: list[list[float]] = []  # rate, margin, weight
    for one in rates:
        pools.append([one.rate, one.margin, one.error**-2])
        while len(pools) > 1 and pools[-1][1] >= pools[-2][1]:  # pool adjacent violators
            right, left = pools.pop(), pools.pop()
            weight = left[2] + right[2]
            merged = [(left[2] * left[at] + right[2] * right[at]) / weight for at in (0, 1)]
            pools.append([*merged, weight])
    found = interpolated([(rate, margin) for rate, margin, _ in pools])
    if found is None:  # everything in one pool
        return pools[0][0]
    return min(max(found, rates[0].rate), rates[-1].rate)


def interpolated(points: Sequence[tuple[float, float]]) -> float | None:
    """The rate at which (rate, margin) first falls below zero, by a straight line between two
    neighbours; None where it never does. As DistServe's artefact reads its curves, which however
    returns the first rate where none crosses."""
    for (rate, margin), (next_rate, next_margin) in pairwise(points):
        if margin >= 0 > next_margin:
            return rate + (next_rate - rate) * margin / (margin - next_margin)
    return None
