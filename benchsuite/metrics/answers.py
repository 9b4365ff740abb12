"""How many answers were right, and how many right ones came per second. Grading: quality.py."""

from collections import Counter

import numpy as np

from benchsuite.metrics.base import Interval, Metric
from benchsuite.metrics.statistics import mean_intervals, wilson
from benchsuite.metrics.throughput import ended_per_second
from benchsuite.records.grades import Grades
from benchsuite.records.table import FloatArray, IntArray, RunData


def all_grades(data: RunData) -> Grades:
    """Of the whole run: one of each request that asked for one answer, all of those for several."""
    single = np.flatnonzero(data.correct >= 0)
    question = np.full(len(single), -1) if data.group is None else data.group[single]
    answer = tuple(data.answer[i] if data.answer else "" for i in single.tolist())
    found = Grades(single, question, data.correct[single] == 1, answer)
    if data.item_grades is None:
        return found
    both = Grades(
        np.concatenate([found.request, data.item_grades.request]),
        np.concatenate([found.question, data.item_grades.question]),
        np.concatenate([found.is_right, data.item_grades.is_right]),
        (*found.answer, *data.item_grades.answer),
    )
    order = np.argsort(both.request, kind="stable")
    answer = tuple(both.answer[i] for i in order.tolist())
    return Grades(both.request[order], both.question[order], both.is_right[order], answer)


def counted_grades(data: RunData) -> Grades:
    """Of requests due in the measurement window that ended well."""
    return data.once(all_grades).of(data.in_window & data.ok)


def num_right(data: RunData) -> IntArray:
    """Right answers of each request, [n]."""
    grades = data.once(all_grades)
    return np.bincount(grades.request[grades.is_right], minlength=len(data)).astype(np.int64)


def accuracy(data: RunData) -> FloatArray:
    """Share of graded answers that are right, over requests due in the measurement window that
    ended well; one that failed gave no answer to grade. Of several that one request asked for each
    is graded. Interval: Wilson's, or where requests asked for several a bootstrap over requests.
    Undefined where nothing was graded."""
    right, graded = _counts(data)
    return np.array([right / graded if graded else np.nan])


def accuracy_interval(data: RunData) -> Interval | None:
    grades = data.once(counted_grades)
    _, request, num = np.unique(grades.request, return_inverse=True, return_counts=True)
    if not (num > 1).any():
        return wilson(*_counts(data))
    # Answers to one prompt are no independent trials: whole requests are drawn.
    right = np.bincount(request, grades.is_right).astype(np.float64)
    return mean_intervals(right[:, None], num[:, None].astype(np.float64))[0]


def correct_rate(data: RunData) -> FloatArray:
    """Right answers that ended inside the measurement window / length of the window. It rises with
    speed and with accuracy, and falls when a faster model has to say more or is wrong more often.
    Undefined where nothing was graded."""
    if not _counts(data)[1]:
        return np.array([np.nan])
    return ended_per_second(num_right(data), data)


def right_answers(data: RunData) -> FloatArray:
    """Right answers that ended inside the measurement window."""
    start_s, end_s = data.window_s
    return ended_per_second(num_right(data), data) * (end_s - start_s)


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
        grades = data.once(counted_grades)
        again = grades.question >= 0
        of, question = np.unique(grades.question[again], return_inverse=True)
        num = np.bincount(question, minlength=len(of))
        right = np.bincount(question, grades.is_right[again], minlength=len(of))
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
        if not data.once(_asked_again):
            return "no question was asked several times"
        if lacking := lacks_grades(data):
            return lacking
        return None if np.isfinite(found(data)).any() else f"no question was asked {n} times"

    return Metric(f"coverage_{n}", f"Right in {n}", "share", "higher", "run", values,
                  interval=interval, lacks=lacks)  # fmt: skip


def per_right_answer(values: FloatArray, data: RunData) -> float:
    """Sum of `values` [n] over requests with graded answers / how many of these are right; NaN if
    none is."""
    right, _ = _counts(data)
    graded = np.unique(data.once(counted_grades).request)
    return float(values[graded].sum()) / right if right else np.nan


def lacks_grades(data: RunData) -> str | None:
    return None if _counts(data)[1] else "no answer was graded"


def lacks_votes(data: RunData) -> str | None:
    again = data.once(_asked_again) and (data.once(counted_grades).question >= 0).any()
    return None if again else "no question was asked several times and graded"


def lacks_natural_ends(data: RunData) -> str | None:
    """Tokens that were demanded are not those that an answer took."""
    if data.must_reach_asked.any():
        return "answers had to be of a demanded length"
    return None


def lacks_natural_grades(data: RunData) -> str | None:
    return lacks_grades(data) or lacks_natural_ends(data)


def _counts(data: RunData) -> tuple[int, int]:
    """(right, graded)"""
    is_right = data.once(counted_grades).is_right
    return int(np.count_nonzero(is_right)), len(is_right)


def vote_accuracy(data: RunData) -> FloatArray:
    """Share of questions whose most frequent answer among their samples is right (self-consistency,
    arXiv:2203.11171): over graded samples in the measurement window, whether each was a request of
    its own, a choice of one (`n`) or part of a batch; of equally frequent answers the one that came
    first. Undefined without groups."""
    grades = data.once(counted_grades)
    votes: dict[int, Counter[str]] = {}
    is_right: dict[tuple[int, str], bool] = {}  # of the first that said so
    for question, right, answer in zip(
        grades.question.tolist(), grades.is_right.tolist(), grades.answer, strict=True
    ):
        if question >= 0:
            votes.setdefault(question, Counter())[answer] += 1
            is_right.setdefault((question, answer), right)
    won = [is_right[question, said.most_common(1)[0][0]] for question, said in votes.items()]
    return np.array([np.mean(won) if won else np.nan])


def _asked_again(data: RunData) -> bool:
    """Whether several answers of one question may be had: a batch alone asks each once."""
    question = data.once(all_grades).question
    num = np.unique(question[question >= 0], return_counts=True)[1]
    in_batch = data.item_grades is not None and (num <= 1).all()
    return bool((num > 0).any()) and not in_batch
