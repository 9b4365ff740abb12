"""MLPerf's early stopping: may a run of n requests, t of them over the limit, say with confidence c
that a share p is within it?

With h = n - t it may if I(p; h, t + 1) <= 1 - c, I the regularised incomplete beta function (MLPerf
Inference rules, appendix "early stopping", tolerance d = 0). For whole h and t that is the chance
that at least h of n requests are within the limit if each is with probability p.
"""

import math
from typing import Final

import numpy as np

from benchsuite.records.table import FloatArray

CONFIDENCE: Final = 0.99


def may_stop(n: int, late: int, p: float, confidence: float = CONFIDENCE) -> bool:
    """Whether n requests, `late` of them over the limit, are enough."""
    return _at_most(late, n, 1 - p) <= 1 - confidence


def requests_needed(late: int, p: float, confidence: float = CONFIDENCE) -> int:
    """The fewest requests that allow `late` to be over the limit: 459 for none of them at 0.99."""
    low, high = late, max(64, 2 * late)
    while not may_stop(high, late, p, confidence):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if may_stop(middle, late, p, confidence) else (middle, high)
    return high


def most_late(n: int, p: float, confidence: float = CONFIDENCE) -> int | None:
    """How many of n requests may be over the limit; None if even none is too few requests."""
    if not may_stop(n, 0, p, confidence):
        return None
    low, high = 0, n
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if may_stop(n, middle, p, confidence) else (low, middle)
    return low


def estimate(values: FloatArray, p: float, confidence: float = CONFIDENCE) -> float:
    """The least limit that these values are shown to keep in a share p of all: an upper bound of
    the quantile, as LoadGen's "early stopping estimate". NaN where there are too few."""
    late = most_late(len(values), p, confidence)
    return math.nan if late is None else float(np.sort(values)[len(values) - 1 - late])


def _at_most(k: int, n: int, q: float) -> float:
    """P(count <= k) of n independent events of probability q."""
    counts = np.arange(k + 1, dtype=np.float64)
    steps = np.log(n - counts[:-1]) - np.log(counts[:-1] + 1) + math.log(q / (1 - q))
    log_mass = n * math.log1p(-q) + np.concatenate(([0.0], np.cumsum(steps)))
    return float(np.exp(log_mass).sum())
