"""Series in time: how much they say, where they become steady, whether a backlog grows. Pure.

Requests of one run are no independent draws: they queued together. The formulas here say what that
costs. Values come in the order of their requests' origins.
"""

import math
from typing import Final, NamedTuple

import numpy as np

from benchsuite.metrics.base import Interval
from benchsuite.records.table import FloatArray

BATCH: Final = 5  # values in one batch of MSER-5
NUM_BATCHES: Final = 20  # of the backlog's history
MIN_VALUES: Final = 40  # below, neither a warm-up nor a trend can be told from noise


def correlation_time(values: FloatArray) -> float:
    """How many values in a row say as much as one independent value; at least 1.

    1 + 2 * (sum of autocorrelations), summed in pairs up to the first pair that is not positive,
    each pair at most the one before (initial monotone sequence: Geyer, "Practical Markov Chain
    Monte Carlo", Statistical Science 1992). 1 for fewer than 4 values, or equal ones.
    """
    n = len(values)
    centred = values - values.mean() if n else values
    if n < 4 or not centred.any():
        return 1.0
    centred = centred / np.abs(centred).max()  # whose squares are numbers, however small it was
    size = 1 << (2 * n - 1).bit_length()  # padded: the correlation must not wrap around
    spectrum = np.fft.rfft(centred, size)
    covariance = np.fft.irfft(spectrum * np.conj(spectrum), size)[:n]
    pairs = covariance[: n - n % 2].reshape(-1, 2).sum(axis=1) / covariance[0]
    negative = np.flatnonzero(pairs <= 0)
    pairs = np.minimum.accumulate(pairs[: negative[0]] if len(negative) else pairs)
    return max(1.0, float(2 * pairs.sum() - 1))


def effective_size(values: FloatArray) -> float:
    """How many independent values say as much about the mean as these do."""
    return len(values) / correlation_time(values)


def mean_error(values: FloatArray) -> float:
    """Standard error of the mean of correlated values; NaN for fewer than 2."""
    if len(values) < 2:
        return math.nan
    return float(values.std(ddof=1)) / math.sqrt(effective_size(values))


def steady_from(values: FloatArray, batch: int = BATCH) -> int:
    """Index from which the values look steady: what lies before is warm-up. MSER-5.

    The cut that makes the error of the remaining mean smallest: of means of `batch` values each, d
    of n dropped, the least sum of squared deviations / (n - d)^2, d at most n / 2. White, "An
    effective truncation heuristic", Simulation 1997. 0 where there is too little to tell.
    """
    n = len(values) // batch
    if len(values) < MIN_VALUES:
        return 0
    means = values[: n * batch].reshape(n, batch).mean(axis=1)
    means = means - means.mean()  # keeps the differences of squares below exact enough
    left = np.arange(n, 0, -1)
    sums = means[::-1].cumsum()[::-1]
    squares = (means**2)[::-1].cumsum()[::-1]
    statistic = (squares - sums**2 / left) / left**2.0
    return int(np.argmin(statistic[: n // 2 + 1])) * batch


class Growth(NamedTuple):
    """How fast a backlog grew."""

    per_s: float  # requests per second, by least squares
    error: float  # its standard error
    share: float  # of the requests that came: 0.05 means that one in 20 is never caught up with

    def is_beyond(self, share: float, z: float) -> bool:
        """It grew faster than a share of the arrivals, and that was no chance (z errors)."""
        return self.share > share and self.per_s > z * self.error


def in_flight(begun_s: FloatArray, ended_s: FloatArray, at_s: FloatArray) -> FloatArray:
    """Requests begun and not ended at each of the times; NaN in `ended_s` is never."""
    ended = np.sort(ended_s[~np.isnan(ended_s)])
    begun = np.sort(begun_s[~np.isnan(begun_s)])
    up = np.searchsorted(begun, at_s, side="right")
    down = np.searchsorted(ended, at_s, side="right")
    return (up - down).astype(np.float64)


def growth(begun_s: FloatArray, ended_s: FloatArray, window_s: Interval) -> Growth | None:
    """Whether the backlog grew over the window; None where fewer than MIN_VALUES requests came.

    A line through NUM_BATCHES means of the number in flight. Its error counts in that neighbouring
    means resemble each other: the residuals' correlation r widens it by sqrt((1 + r) / (1 - r)).
    A server that is short of capacity by a share of its arrivals grows its backlog by that share;
    latencies can look good until then, however long that takes.
    """
    start_s, end_s = window_s
    came = int(np.count_nonzero((begun_s >= start_s) & (begun_s < end_s)))
    if came < MIN_VALUES:
        return None
    at_s = np.linspace(start_s, end_s, NUM_BATCHES * max(8, came // NUM_BATCHES), endpoint=False)
    num = in_flight(begun_s, ended_s, at_s).reshape(NUM_BATCHES, -1).mean(axis=1)
    x = at_s.reshape(NUM_BATCHES, -1).mean(axis=1)
    x = x - x.mean()
    slope = float(x @ num / (x @ x))
    left = num - num.mean() - slope * x
    spread = float(left @ left)
    r = float(left[1:] @ left[:-1]) / spread if spread else 0.0
    r = min(max(r, 0.0), 0.9)
    error = math.sqrt(spread / (NUM_BATCHES - 2) / float(x @ x) * (1 + r) / (1 - r))
    return Growth(slope, error, slope * (end_s - start_s) / came)


def quantile_with_failures(values: FloatArray, num_failed: int, p: float) -> float:
    """The quantile `p` where failures count as +infinity: nobody waited longer than who never got
    an answer. Interpolated as all quantiles are; NaN where there is nothing at all. It cannot
    improve by failing slow requests. AIPerf's adjusted percentiles."""
    rank = p * (len(values) + num_failed - 1)
    above = math.ceil(rank)
    if len(values) + num_failed == 0:
        return math.nan
    if above >= len(values):
        return math.inf
    low, high = np.partition(values, [math.floor(rank), above])[[math.floor(rank), above]]
    return float(low + (high - low) * (rank - math.floor(rank)))
