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


def right_answers(data: RunData) -> FloatArray:
    """Right answers that ended inside the measurement window."""
    start_s, end_s = data.window_s
    return ended_per_second(data.correct == 1, data) * (end_s - start_s)


def tokens_per_correct(data: RunData) -> FloatArray:
    """Output tokens of all graded answers, right and wrong, / right answers. Of answers that ended
    where the model wanted; a demanded length says nothing. Source: Puzzle, arXiv:2602.11937."""
    return np.array([per_right_answer(data.output_tokens.astype(np.float64), data)])


def per_right_answer(values: FloatArray, data: RunData) -> float:
    """Sum of `values` [n] over graded answers / how many of them are right; NaN if none is."""
    right, _ = _counts(data)
    graded = data.in_window & data.ok & (data.correct >= 0)
    return float(values[graded].sum()) / right if right else np.nan


def lacks_grades(data: RunData) -> str | None:
    return None if _counts(data)[1] else "no answer was graded"


def lacks_natural_ends(data: RunData) -> str | None:
    """Tokens that were demanded are not those that an answer took."""
    if data.must_reach_asked.any():
        return "answers had to be of a demanded length"
    return None


def lacks_natural_grades(data: RunData) -> str | None:
    return lacks_grades(data) or lacks_natural_ends(data)


def _counts(data: RunData) -> tuple[int, int]:
    """(right, graded)"""
    counted = data.in_window & data.ok
    right, graded = counted & (data.correct == 1), counted & (data.correct >= 0)
    return int(np.count_nonzero(right)), int(np.count_nonzero(graded))
