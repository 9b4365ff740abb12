"""How many answers were right, and how many right ones came per second. Grading: quality.py."""

from collections import Counter

import numpy as np

from benchsuite.metrics.base import Interval, Metric
from benchsuite.metrics.statistics import mean_intervals, wilson
from benchsuite.metrics.throughput import ended_per_second
from benchsuite.records.table import FloatArray, IntArray, RunData


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


def coverage(num_right: IntArray, num_trials: IntArray, n: int) -> FloatArray:
    """Of each question the share of draws of `n` of its trials with a right one among them:
    1 - C(N - c, n) / C(N, n), unbiased; NaN below n trials. Kinetics, arXiv:2506.05333."""
    wrong = (num_trials - num_right).astype(np.float64)
    none = np.ones(len(num_trials))
    for k in range(n):
        none *= np.maximum(wrong - k, 0.0) / np.maximum(num_trials - k, 1)
    return np.where(num_trials >= n, 1.0 - none, np.nan)


def coverage_metric(n: int) -> Metric:
    """Of `n` trials of a question, where it was asked so often."""

    def found(data: RunData) -> FloatArray:
        assert data.group is not None
        graded = data.in_window & data.ok & (data.correct >= 0) & (data.group >= 0)
        of, group = np.unique(data.group[graded], return_inverse=True)
        num = np.bincount(group, minlength=len(of))
        right = np.bincount(group, data.correct[graded] == 1, minlength=len(of))
        return coverage(right.astype(np.int64), num, n)

    def values(data: RunData) -> FloatArray:
        return np.array([np.nanmean(found(data))])

    values.__doc__ = f"""Share of questions of which at least one of {n} answers is right, in the
    mean over all draws of {n} from those that were given. Questions asked more seldom do not count.
    Interval: bootstrap over questions. Source: Kinetics, arXiv:2506.05333, coverage@n."""

    def interval(data: RunData) -> Interval | None:
        each = found(data)
        each = each[~np.isnan(each)]
        return mean_intervals(each[:, None], np.ones((len(each), 1)))[0]

    def lacks(data: RunData) -> str | None:
        if data.group is None or not (data.group >= 0).any():
            return "no question was asked several times"
        if lacking := lacks_grades(data):
            return lacking
        return None if np.isfinite(found(data)).any() else f"no question was asked {n} times"

    return Metric(f"coverage_{n}", f"Right in {n}", "share", "higher", "run", values,
                  interval=interval, lacks=lacks)  # fmt: skip


def per_right_answer(values: FloatArray, data: RunData) -> float:
    """Sum of `values` [n] over graded answers / how many of them are right; NaN if none is."""
    right, _ = _counts(data)
    graded = data.in_window & data.ok & (data.correct >= 0)
    return float(values[graded].sum()) / right if right else np.nan


def lacks_grades(data: RunData) -> str | None:
    return None if _counts(data)[1] else "no answer was graded"


def lacks_votes(data: RunData) -> str | None:
    return None if _groups(data) else "no question was asked several times and graded"


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


def vote_accuracy(data: RunData) -> FloatArray:
    """Share of questions whose most frequent answer among their samples is right (self-consistency,
    arXiv:2203.11171): over groups of requests with one prompt, of their graded samples in the
    measurement window; of equally frequent answers the one that came first. Undefined without
    groups."""
    won = [
        next(data.correct[i] == 1 for i in members if _answer(data, i) == winner)
        for members in _groups(data)
        for winner, _ in [Counter(_answer(data, i) for i in members).most_common(1)[0]]
    ]
    return np.array([np.mean(won) if won else np.nan])


def _answer(data: RunData, i: int) -> str:
    assert data.answer is not None, "a graded sample has one"
    return data.answer[i]


def _groups(data: RunData) -> list[IntArray]:
    """Positions of the graded samples of each group."""
    if data.group is None:
        return []
    graded = np.flatnonzero(data.in_window & data.ok & (data.correct >= 0) & (data.group >= 0))
    return [graded[data.group[graded] == group] for group in np.unique(data.group[graded])]
