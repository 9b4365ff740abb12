"""Straight lines and correlations over requests, with intervals from a bootstrap over sessions.

Everything is made of sums per session, so a resample costs a product of matrices.
"""

from typing import NamedTuple

import numpy as np

from benchsuite.metrics.base import Interval
from benchsuite.metrics.statistics import MIN_SESSIONS, percentile_interval, resampled
from benchsuite.records.table import FloatArray, IntArray


class Line(NamedTuple):
    """y = intercept + slope * x, by least squares."""

    intercept: float
    slope: float
    intercept_ci: Interval | None
    slope_ci: Interval | None
    r2: float  # share of y's variance that it explains
    slopes: FloatArray  # of the resamples, to make ratios of; empty where there are too few


def line(x: FloatArray, y: FloatArray, sessions: IntArray, num_sessions: int) -> Line | None:
    """The line through the points where both are known, [n] each; None where x does not vary."""
    sums, centre = _sums(x, y, sessions, num_sessions)
    whole = _moments(sums.sum(axis=0, keepdims=True))
    if not len(sums) or not whole.var_x[0] > 0:
        return None
    slope = float(whole.cov[0] / whole.var_x[0])
    intercept = float(whole.mean_y[0] - slope * whole.mean_x[0])
    r2 = slope * float(whole.cov[0]) / float(whole.var_y[0]) if whole.var_y[0] > 0 else 1.0
    at_zero = intercept + centre[1] - slope * centre[0]
    if len(sums) < MIN_SESSIONS:
        return Line(at_zero, slope, None, None, r2, np.empty(0))
    drawn = _moments(resampled(sums))
    slopes = _ratio(drawn.cov, drawn.var_x)
    intercepts = drawn.mean_y - slopes * drawn.mean_x + centre[1] - slopes * centre[0]
    return Line(
        at_zero, slope, percentile_interval(intercepts), percentile_interval(slopes), r2, slopes
    )


def correlation(x: FloatArray, y: FloatArray) -> float:
    """Pearson's r over the points where both are known; NaN where one does not vary."""
    sums, _ = _sums(x, y, np.zeros(len(x), dtype=np.int64), 1)
    return float(_r(_moments(sums))[0]) if len(sums) else np.nan


def correlation_interval(
    x: FloatArray, y: FloatArray, sessions: IntArray, num_sessions: int
) -> Interval | None:
    """Of `correlation`, by a bootstrap over sessions."""
    sums, _ = _sums(x, y, sessions, num_sessions)
    if len(sums) < MIN_SESSIONS:
        return None
    drawn = _r(_moments(resampled(sums)))
    return None if np.isnan(drawn).all() else percentile_interval(drawn)


class _Moments(NamedTuple):
    mean_x: FloatArray
    mean_y: FloatArray
    var_x: FloatArray
    var_y: FloatArray
    cov: FloatArray


def _sums(
    x: FloatArray, y: FloatArray, sessions: IntArray, num_sessions: int
) -> tuple[FloatArray, tuple[float, float]]:
    """(n, x, y, xx, yy, xy) of each session that has points, [sessions, 6], around the centre."""
    known = np.isfinite(x) & np.isfinite(y)
    x, y, sessions = x[known], y[known], sessions[known]
    if not len(x):
        return np.empty((0, 6)), (0.0, 0.0)
    centre = float(x.mean()), float(y.mean())
    x, y = x - centre[0], y - centre[1]
    columns = (np.ones(len(x)), x, y, x * x, y * y, x * y)
    sums = np.stack([np.bincount(sessions, one, minlength=num_sessions) for one in columns], axis=1)
    return sums[sums[:, 0] > 0].astype(np.float64, copy=False), centre


def _moments(totals: FloatArray) -> _Moments:
    n = np.where(totals[:, 0] > 0, totals[:, 0], np.nan)
    mean_x, mean_y = totals[:, 1] / n, totals[:, 2] / n
    return _Moments(
        mean_x,
        mean_y,
        np.maximum(totals[:, 3] / n - mean_x**2, 0.0),
        np.maximum(totals[:, 4] / n - mean_y**2, 0.0),
        totals[:, 5] / n - mean_x * mean_y,
    )


def _r(found: _Moments) -> FloatArray:
    return _ratio(found.cov, np.sqrt(found.var_x * found.var_y))


def _ratio(top: FloatArray, bottom: FloatArray) -> FloatArray:
    found = np.full(len(top), np.nan)
    np.divide(top, bottom, out=found, where=bottom > 0)
    return found
