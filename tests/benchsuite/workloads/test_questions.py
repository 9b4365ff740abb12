"""Questions with checkable answers."""

import json
from pathlib import Path

import msgspec
import pytest

from benchsuite.errors import TraceError
from benchsuite.metrics.quality import grade
from benchsuite.workloads.questions import Questions
from benchsuite.workloads.tokenizer import load

BUNDLED = load("bundled")
GSM8K = Path(__file__).parents[2] / "data" / "gsm8k.jsonl"


def requests(questions):
    found = list(questions.sessions(BUNDLED, 1))
    assert [session.id for session in found] == list(range(len(found)))
    return [session.requests[0] for session in found]


def test_gsm8k_questions_carry_their_answers():
    """The expected answer is what follows ####; the worked answer in the file grades as right."""
    questions = Questions(
        path=str(GSM8K),
        grader="number",
        max_output_tokens=300,
        answer_after="####",
        template="Question: {question}\nAnswer: {braces stay}",
    )
    rows = [json.loads(line) for line in GSM8K.read_text().splitlines()]
    found = requests(questions)
    assert [request.expected for request in found[:3]] == ["18", "3", "70000"]
    for request, row in zip(found, rows, strict=True):
        (message,), num_tokens = request.prompt.render()
        assert message.content == f"Question: {row['question']}\nAnswer: {{braces stay}}"
        assert num_tokens == request.prompt_tokens == BUNDLED.count(message.content)
        assert not request.ignore_eos
        assert grade(request.grader, row["answer"], request.expected)


def test_fields_are_named_in_the_scenario_and_numbers_are_answers_too(tmp_path):
    """Any JSONL with two fields will do; other fields are left alone."""
    path = tmp_path / "q.jsonl"
    path.write_text('{"q": "6 * 7?", "a": 42, "more": [1]}\n\n{"q": "7 * 6?", "a": " B "}\n')
    questions = Questions(
        path=str(path), grader="exact", max_output_tokens=5, question="q", answer="a"
    )
    assert [request.expected for request in requests(questions)] == ["42", "B"]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ('{"question": "x"}', "expected a field 'answer', found: question"),
        ('{"question": "x", "answer": "no mark"}', "expected '####' before the answer"),
        ('{"question": ["x"], "answer": "#### 1"}', "Expected `int | float | str`"),
        ("x", "malformed"),
    ],
)
def test_a_broken_row_names_its_line(tmp_path, row, problem):
    """File, line, and what was expected there."""
    path = tmp_path / "q.jsonl"
    path.write_text('{"question": "x", "answer": "#### 1"}\n' + row)
    questions = Questions(path=str(path), grader="number", max_output_tokens=5, answer_after="####")
    with pytest.raises(TraceError) as caught:
        requests(questions)
    assert caught.value.line == 2
    assert problem in caught.value.problem


@pytest.mark.parametrize("change", [{"template": "no place"}, {"grader": "guess"}])
def test_what_cannot_be_is_refused(change):
    """A template without the question, an unknown grader."""
    written = {"path": "q", "grader": "exact", "max_output_tokens": 1} | change
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(written, Questions)
