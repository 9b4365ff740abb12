"""Right answers: their share, and their rate."""

import numpy as np
import pytest

from benchsuite.metrics import answers
from benchsuite.metrics.statistics import wilson
from tests.runs import failed, record, run


def test_accuracy_is_over_graded_answers() -> None:
    """Neither requests without a question nor failed ones nor those of the warm-up are graded."""
    data = run(
        record(0, correct=True),  # in the warm-up
        record(1, correct=True),
        record(2, correct=True),
        record(3, correct=False),
        record(4),
        failed(5),
        window_s=(1.0, 11.0),
    )
    assert answers.accuracy(data)[0] == pytest.approx(2 / 3)
    assert answers.accuracy_interval(data) == wilson(2, 3)
    assert answers.correct_rate(data)[0] == pytest.approx(0.2)


def test_correct_rate_counts_answers_that_ended_inside_the_window() -> None:
    data = run(record(0, correct=True), record(1, correct=True), window_s=(0.0, 1.25))
    assert answers.correct_rate(data)[0] == pytest.approx(1 / 1.25)


def test_ungraded_runs_have_no_accuracy() -> None:
    data = run(record(0), failed(1))
    assert np.isnan(answers.accuracy(data)).tolist() == [True]
    assert np.isnan(answers.correct_rate(data)).tolist() == [True]
    assert answers.accuracy_interval(data) is None


def test_no_right_answer_is_a_rate_of_zero() -> None:
    assert answers.correct_rate(run(record(0, correct=False))).tolist() == [0.0]


def test_votes() -> None:
    """The most frequent answer of a group counts, of equals the first."""
    rows = [("4", True), ("5", False), ("5", False), ("6", True), ("7", False), ("8", True)]
    groups = (0, 0, 0, 1, 1, -1)
    data = run(
        *(
            record(i, answer=answer, correct=right, group=None if group < 0 else group)
            for i, ((answer, right), group) in enumerate(zip(rows, groups, strict=True))
        )
    )
    assert answers.vote_accuracy(data) == 0.5
    assert np.isnan(answers.vote_accuracy(run(record(0, correct=True, answer="4"))))
