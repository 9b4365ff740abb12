"""How many answers were right, and how many right ones came per second. Grading: quality.py."""

import numpy as np

from benchsuite.metrics.base import Interval
from benchsuite.metrics.statistics import wilson
from benchsuite.metrics.throughput import ended_per_second
from benchsuite.records.table import FloatArray, RunData


def accuracy(data: RunData) -> FloatArray:
    """Share of graded answers that are right, over requests due in the measurement window that
    ended well; one that failed gave no answer to grade. Interval: Wilson's. Undefined where
    nothing was graded."""
    right, graded = _counts(data)
    return np.array([right / graded if graded else np.nan])


def accuracy_interval(data: RunData) -> Interval | None:
    return wilson(*_counts(data))


def correct_rate(data: RunData) -> FloatArray:
    """Right answers that ended inside the measurement window / length of the window. It rises with
    speed and with accuracy, and falls when a faster model has to say more or is wrong more often.
    Undefined where nothing was graded."""
    if not _counts(data)[1]:
        return np.array([np.nan])
    return ended_per_second(data.correct == 1, data)


def _counts(data: RunData) -> tuple[int, int]:
    """(right, graded)"""
    counted = data.in_window & data.ok
    right, graded = counted & (data.correct == 1), counted & (data.correct >= 0)
    return int(np.count_nonzero(right)), int(np.count_nonzero(graded))
