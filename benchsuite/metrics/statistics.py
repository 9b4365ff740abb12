"""Quantiles, intervals and the measurement window. Pure arithmetic on arrays; all intervals 95 %.

One way each: quantiles interpolate linearly (Hyndman and Fan's type 7, numpy's default, what other
tools print); a quantile's interval is two order statistics (binomial), with the effective number of
values where they come in sessions; a mean's is a block bootstrap over sessions; a share's is
Wilson's.
They speak of this run: another run of the same scenario differs by more than they say.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np

from benchsuite.metrics.base import Interval
from benchsuite.metrics.steady import effective_size
from benchsuite.records.table import FloatArray, Int32Array, IntArray
from benchsuite.streams import rng

QUANTILES: Final = {
    "p1": 0.01,
    "p5": 0.05,
    "p10": 0.10,
    "p25": 0.25,
    "p50": 0.50,
    "p75": 0.75,
    "p90": 0.90,
    "p95": 0.95,
    "p99": 0.99,
    "p999": 0.999,
}
TAIL: Final = 0.025  # what a two-sided 95 % interval leaves out on each side
Z: Final = 1.959963984540054  # standard normal quantile of 1 - TAIL
MIN_SESSIONS: Final = 8  # a bootstrap over fewer covers far less than it says
RESAMPLES: Final = 2000
MAX_GROUPS: Final = 1000  # sessions are dealt into so many; the interval's width is off by ~2 %
MIN_BLOCKS: Final = 16  # blocks of a mean at least, however long the correlation
AT_ONCE: Final = 1 << 16  # values looked at together: as many as stay in the processor's cache
UNCORRELATED: Final = 1.5  # sessions that say as much as one; below, the difference is noise


Parts = Callable[[], Iterator[tuple[FloatArray, IntArray | Int32Array]]]
"""Values in parts that fit in memory, each with its sessions [of the part]; can be had again."""


class Quantile(NamedTuple):
    """A sample quantile with its interval; both None where the sample is too small for one."""

    value: float | None
    interval: Interval | None
    needed: int | None  # values that it would take, where it was refused


def values_needed(p: float) -> int:
    """Independent values from which the quantile `p` has a two-sided interval: 368 for 0.99.

    The largest value lies above the quantile with probability 1 - p^n, the smallest below it with
    1 - (1 - p)^n; both must be at least 1 - TAIL.
    """
    return math.ceil(math.log(TAIL) / math.log(max(p, 1 - p)))


def binomial_ranks(n: int, p: float) -> tuple[int, int] | None:
    """Ranks (from 1) of the order statistics around the quantile `p` of n independent values.

    The quantile lies below the lower one with probability <= TAIL and above the upper one with
    <= TAIL, whatever the distribution. None if such a rank would lie outside the sample.
    """
    if n < values_needed(p):
        return None
    first, mass = _binomial(n, p)
    below = np.cumsum(mass)  # P(count <= first + i)
    lower = first + int(np.count_nonzero(below <= TAIL))
    upper = first + int(np.count_nonzero(below < 1 - TAIL)) + 1
    # The smallest sample that suffices ends where rounding could push a rank off it.
    return max(lower, 1), min(upper, n)


def most_by_chance(n: int, p: float) -> int:
    """The largest number of n independent events that a probability of `p` each explains: more
    come about with probability <= TAIL."""
    first, mass = _binomial(n, p)
    return first + int(np.count_nonzero(np.cumsum(mass) < 1 - TAIL))


def _binomial(n: int, p: float) -> tuple[int, FloatArray]:
    """(first, mass): P(count = first + i), within 12 standard deviations of the mean."""
    mean, spread = n * p, 12 * math.sqrt(n * p * (1 - p)) + 12
    first, last = max(0, math.floor(mean - spread)), min(n, math.ceil(mean + spread))
    counts = np.arange(first, last, dtype=np.float64)
    # log of P(count + 1) / P(count); summed it is the log mass, up to a constant
    steps = np.log(n - counts) - np.log(counts + 1) + math.log(p / (1 - p))
    log_mass = np.concatenate(([0.0], np.cumsum(steps)))
    mass = np.exp(log_mass - log_mass.max())
    return first, mass / mass.sum()


def quantiles(
    values: FloatArray,
    sessions: IntArray | Int32Array,
    levels: Mapping[str, float] = QUANTILES,
) -> dict[str, Quantile]:
    """All of `levels` of finite `values` [n]; value i belongs to session `sessions[i]`, from 0.

    Values of one session resemble each other, so n of them tell less than n independent ones.
    How much less is measured at each quantile (Kish's design effect of the share of values at or
    below it); the interval is then that of n / design effect values, read off the whole sample.
    A quantile is refused when its interval would run off the sample.
    """
    sizes = np.bincount(sessions)
    return quantiles_of(np.sort(values), lambda: iter([(values, sessions)]), sizes, levels)


def quantiles_of(
    ordered: FloatArray, parts: Parts, sizes: IntArray, levels: Mapping[str, float] = QUANTILES
) -> dict[str, Quantile]:
    """`quantiles` of values that are in order already, and in parts with their sessions; `sizes`:
    how many each session has, [sessions]."""
    if not len(ordered):
        return {name: Quantile(None, None, values_needed(p)) for name, p in levels.items()}
    points = interpolated(ordered, np.array(list(levels.values())))
    effects = _design_effects(points, float(ordered[-1]), parts, sizes)
    return {
        name: _quantile(ordered, float(point), p, float(effect))
        for (name, p), point, effect in zip(levels.items(), points, effects, strict=True)
    }


def interpolated(ordered: FloatArray, p: FloatArray) -> FloatArray:
    """`np.quantile(ordered, p)`, to the last bit, of values that are sorted already."""
    rank = p * (len(ordered) - 1)
    below = np.floor(rank).astype(np.int64)
    above = np.minimum(below + 1, len(ordered) - 1)
    part, low, high = rank - below, ordered[below], ordered[above]
    step = high - low
    points: FloatArray = np.where(part < 0.5, low + step * part, high - step * (1 - part))
    return points


def _quantile(ordered: FloatArray, point: float, p: float, effect: float) -> Quantile:
    n = len(ordered)
    effective = max(1, math.floor(n / effect + 1e-9))
    ranks = binomial_ranks(effective, p)
    if ranks is None:
        return Quantile(None, None, math.ceil(values_needed(p) * effect - 1e-9))
    lower = max(1, math.floor(ranks[0] * n / effective))
    upper = min(n, math.ceil(ranks[1] * n / effective))
    return Quantile(point, (float(ordered[lower - 1]), float(ordered[upper - 1])), None)


def _design_effects(points: FloatArray, most: float, parts: Parts, sizes: IntArray) -> FloatArray:
    """How many times more values are needed than if they were independent, [points]; at least 1.

    (k / (k - 1)) * sum over sessions of (below_s - q * n_s)^2 / (n * q * (1 - q)), where of the n_s
    values of session s below_s are <= the point, q is their share in all, and k counts sessions.
    """
    n = int(sizes.sum())
    k = int(np.count_nonzero(sizes))
    if k == n:
        return np.ones(len(points))
    if k == 1:
        return np.full(len(points), float(n))  # one session is one observation
    # At the maximum the share would be 1 whoever the values belong to: look just below it.
    points = np.where(points < most, points, np.nextafter(points, -np.inf))
    width = len(points) + 1
    counts = np.zeros(len(sizes) * width, dtype=np.int64)
    for values, sessions in parts():
        for start in range(0, len(values), AT_ONCE):
            part = values[start : start + AT_ONCE]
            cell = sessions[start : start + AT_ONCE] * np.int64(width)
            low = int(cell.min())  # sessions of one part are few, and near each other
            cell -= low
            for point in points:  # number of points below the value
                cell += part > point
            found = np.bincount(cell)
            counts[low : low + len(found)] += found
    below = counts.reshape(len(sizes), width).cumsum(axis=1)[:, :-1].astype(np.float64)
    share = below.sum(axis=0) / n
    below -= share * sizes[:, None]
    spread = np.square(below, out=below).sum(axis=0)
    independent = n * share * (1 - share)
    effects = np.ones(len(points))
    has_both = independent > 0
    effects[has_both] = spread[has_both] * k / (k - 1) / independent[has_both]
    return np.maximum(effects, 1.0)


def wilson(met: int, num: int) -> Interval | None:
    """Wilson's interval of the share met / num; None if num is 0.

    Wilson, "Probable inference", JASA 1927. It stays within [0, 1] and has a width at 0 and at 1.
    """
    if num == 0:
        return None
    share, z2 = met / num, Z * Z
    centre = (share + z2 / (2 * num)) / (1 + z2 / num)
    half = Z / (1 + z2 / num) * math.sqrt(share * (1 - share) / num + z2 / (4 * num * num))
    low = 0.0 if met == 0 else max(0.0, centre - half)
    high = 1.0 if met == num else min(1.0, centre + half)
    return low, high


def effective_sessions(sums: FloatArray, counts: FloatArray) -> FloatArray:
    """How many independent sessions say as much as these do, [m]; rows in order of time.

    Sessions that follow each other waited in the same queue: their means are correlated. See
    `steady.correlation_time`.
    """
    found = np.zeros(sums.shape[1])
    for m in range(sums.shape[1]):
        present = counts[:, m] > 0
        found[m] = effective_size(sums[present, m] / counts[present, m])
    return found


def mean_intervals(
    sums: FloatArray, counts: FloatArray, independent: FloatArray | None = None
) -> list[Interval | None]:
    """Intervals of several means by a block bootstrap over sessions.

    `sums[s, m]` and `counts[s, m]`: sum and number of metric m's values in session s, in order of
    time; `independent[m]`: their `effective_sessions`, where they are known. Blocks of neighbouring
    sessions are drawn with replacement, twice as long as they are correlated (one session, where
    they are not); a mean is sum of sums / sum of counts. Künsch, "The jackknife and the bootstrap
    for general stationary observations", Annals of Statistics 1989, with blocks that do not
    overlap. Seeded: the same numbers give the same interval. None below MIN_SESSIONS sessions with
    values.
    """
    num_with_values = (counts > 0).sum(axis=0)
    intervals: list[Interval | None] = [None] * sums.shape[1]
    if not len(sums) or not counts.any():
        return intervals
    if independent is None:
        independent = effective_sessions(sums, counts)
    correlation = num_with_values / np.maximum(independent, 1.0)
    num_blocks = np.array([_num_blocks(len(sums), float(each)) for each in correlation])
    for blocks in np.unique(num_blocks).tolist():
        chosen = np.flatnonzero((num_blocks == blocks) & (num_with_values >= MIN_SESSIONS))
        edges = np.arange(blocks) * len(sums) // blocks
        weights = _draws(blocks)
        totals = weights @ np.add.reduceat(counts[:, chosen], edges)
        drawn = weights @ np.add.reduceat(sums[:, chosen], edges)
        means = np.divide(drawn, totals, out=np.full_like(totals, np.nan), where=totals > 0)
        for column, m in enumerate(chosen.tolist()):
            intervals[m] = percentile_interval(means[:, column])
    return intervals


def _num_blocks(n: int, correlation: float) -> int:
    """Into how many blocks n sessions are put: a halving of what MAX_GROUPS allows, so that many
    metrics share their draws."""
    wanted = n if correlation < UNCORRELATED else n / (2 * correlation)
    found = min(n, MAX_GROUPS)
    while found > max(wanted, MIN_BLOCKS):
        found = -(-found // 2)
    return found


def resampled(rows: FloatArray) -> FloatArray:
    """Totals of `rows` [sessions, k] over sessions drawn with replacement, [RESAMPLES, k].

    Seeded, and the same draws for every call with as many rows: what is made of several totals is
    made of one world.
    """
    dealt = _deal(rows)
    totals: FloatArray = _draws(len(dealt)) @ dealt
    return totals


@lru_cache(maxsize=8)
def _draws(groups: int) -> FloatArray:
    """How often each group is drawn, [RESAMPLES, groups]."""
    drawn = rng(1, "bootstrap").integers(0, groups, (RESAMPLES, groups))
    drawn += np.arange(RESAMPLES)[:, None] * groups
    weights = np.bincount(drawn.ravel(), minlength=RESAMPLES * groups)
    return weights.reshape(RESAMPLES, groups).astype(np.float64)


def percentile_interval(statistics: FloatArray) -> Interval:
    """Of a bootstrap's statistics; those that are undefined are passed over."""
    low, high = np.nanquantile(statistics, [TAIL, 1 - TAIL])
    return float(low), float(high)


def _deal(rows: FloatArray) -> FloatArray:
    """Rows added up into at most MAX_GROUPS groups, dealt out in turn like cards."""
    if len(rows) <= MAX_GROUPS:
        return rows
    padded = np.zeros((-(-len(rows) // MAX_GROUPS) * MAX_GROUPS, rows.shape[1]))
    padded[: len(rows)] = rows
    dealt: FloatArray = padded.reshape(-1, MAX_GROUPS, rows.shape[1]).sum(axis=0)
    return dealt


def measurement_window(
    origin_s: FloatArray,
    finished_s: FloatArray,
    *,
    warmup_s: float = 0.0,
    duration_s: float | None = None,
) -> Interval:
    """[start, end) in seconds from run start: the part of a run that is measured.

    A request belongs to it by its origin (due, or sent where nothing was due), however long it
    takes; its latency is followed to its end. Cut are the warm-up, and the drain: what comes after
    the last request was issued, when the load is falling. `duration_s` is the end of issuing where
    that is what ended it, None where the requests ran out; then it is just after the last origin.
    If everything was issued before anything was answered (fewer requests than slots, or a burst)
    there is no steady part, and the window reaches to the last answer.
    """
    known_s = origin_s[~np.isnan(origin_s)]
    if not len(known_s):
        return warmup_s, max(warmup_s, duration_s or 0.0)
    end_s = duration_s if duration_s is not None else _just_after(float(known_s.max()))
    answered_s = finished_s[~np.isnan(finished_s)]
    if len(answered_s) and not (answered_s < end_s).any():
        end_s = _just_after(float(answered_s.max()))
    return warmup_s, max(warmup_s, end_s)


def _just_after(at_s: float) -> float:
    return math.nextafter(at_s, math.inf)
