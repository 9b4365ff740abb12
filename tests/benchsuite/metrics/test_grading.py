"""Grades of requests that ask for several answers."""

import msgspec
import numpy as np
import pytest

from benchsuite.exchange import NO_CHUNKS, Response
from benchsuite.metrics import answers
from benchsuite.metrics.base import Metric
from benchsuite.metrics.grading import grades_of, numbered
from benchsuite.records.grades import Grade
from benchsuite.records.spool import Asked
from benchsuite.records.table import RunData
from benchsuite.request import Question
from tests.runs import failed, record, run


def asked(**changes: object) -> Asked:
    usual: dict[str, object] = {
        "request_id": 9, "session_id": 9, "turn": 0, "worker": 0, "slo_class": "default",
        "due_s": None, "prompt_tokens_asked": 3, "prompt_tokens": 3, "output_tokens_asked": 4,
        "must_reach_asked": False, "expected": "4", "grader": "number",
    }  # fmt: skip
    return Asked(**{**usual, **changes})  # type: ignore[arg-type]


def response(*items: str, error_class: str | None = None) -> Response:
    return Response(NO_CHUNKS, None, "chunks", "stop", error_class, None, items=items)


def batch(*questions: Question) -> dict[str, object]:
    asked_json = msgspec.json.encode(questions).decode()
    return {"expected": None, "batch": asked_json, "num_questions": len(questions)}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[1] 4\n[2] 5\n[3] 6", ("4", "5", "6")),
        ("Sure!\n[2] five,\nso 5\n[1] 4", ("4", "five,\nso 5", "")),
        ("**[1]** 4 [2] 5", ("** 4 [2] 5", "", "")),
        ("[1] 4\n[9] 7\n[1] 5", ("5", "", "")),
        ("4, 5, 6", ("", "", "")),
    ],
)
def test_the_answers_of_a_batch_stand_behind_their_numbers(
    text: str, found: tuple[str, ...]
) -> None:
    """At the start of a line; the last of equal ones; what has no number is no answer."""
    assert numbered(text, 3) == found


def test_each_choice_and_each_question_has_its_grade() -> None:
    """Of `n` choices by the group; of a batch by its questions; of both, each of each."""
    choices = grades_of(asked(group=3, num_items=2), response("so 4", "so 5"))
    assert choices == (Grade(3, True, "4"), Grade(3, False, "5"))
    two = batch(Question(7, "4"), Question(5, "6"))
    both = grades_of(asked(**two, num_items=2), response("[1] 4\n[2] 6", "[2] 4"))
    assert [(one.question, one.correct, one.answer) for one in both] == [
        (7, True, "4"), (5, True, "6"), (7, False, ""), (5, False, "4"),
    ]  # fmt: skip
    assert grades_of(asked(**two), response(error_class="truncated")) == ()
    assert grades_of(asked(grader=None), response("4")) == ()


def graded(*pairs: tuple[int, bool], answer: str = "") -> tuple[Grade, ...]:
    return tuple(
        Grade(question, right, answer or ("4" if right else "5")) for question, right in pairs
    )


ROUNDS = (
    record(0, group=0, num_items=2, grades=graded((0, True), (1, False))),
    record(1, group=0, num_items=2, grades=graded((1, True), (0, True))),
    record(2, group=0, num_items=2, grades=graded((0, False), (1, True))),
    failed(3, group=0, num_items=2),
    record(4, correct=False, answer="9"),
)


def test_answers_are_counted_one_by_one() -> None:
    """Two questions in three rounds, 4 of 6 right, and one alone, wrong: 4 of 7; 16 tokens."""
    data = run(*ROUNDS)
    assert answers.accuracy(data)[0] == pytest.approx(4 / 7)
    assert answers.vote_accuracy(data)[0] == 1.0
    assert answers.tokens_per_correct(data)[0] == pytest.approx(16 / 4)
    assert answers.right_answers(data)[0] == pytest.approx(4)
    assert answers.num_right(data).tolist() == [1, 2, 1, 0, 0]


def value(metric: Metric, data: RunData) -> float:
    assert metric.lacks is not None
    assert metric.lacks(data) is None
    return float(metric.values(data)[0])


def test_coverage_is_over_the_samples_of_a_question() -> None:
    """2 of 3 right, twice: 2/3 of single draws, all draws of two."""
    data = run(*ROUNDS)
    assert value(answers.coverage_metric(1), data) == pytest.approx(2 / 3)
    assert value(answers.coverage_metric(2), data) == pytest.approx(1.0)


def test_a_batch_alone_has_no_votes() -> None:
    """Each of its questions is asked once; nothing to vote on, nor to draw several of."""
    data = run(record(0, num_items=2, grades=graded((0, True), (1, False))))
    assert answers.accuracy(data)[0] == 0.5
    assert answers.lacks_votes(data) == "no question was asked several times and graded"
    lacks = answers.coverage_metric(1).lacks
    assert lacks is not None
    assert lacks(data) == "no question was asked several times"
    assert np.isnan(answers.vote_accuracy(run(failed(0, num_items=2))))


def test_samples_of_one_request_are_no_independent_trials() -> None:
    """Sixty requests whose four choices are alike are as uncertain as 60 answers, not as 240."""
    alike = [record(i, num_items=4, grades=graded(*[(i, i % 2 == 0)] * 4)) for i in range(60)]
    apart = [record(i, correct=i % 2 == 0, answer="") for i in range(240)]
    wide, narrow = (answers.accuracy_interval(run(*records)) for records in (alike, apart))
    assert wide is not None
    assert narrow is not None
    assert wide[1] - wide[0] > 1.5 * (narrow[1] - narrow[0])
