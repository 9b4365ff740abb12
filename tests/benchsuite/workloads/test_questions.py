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
DATA = Path(__file__).parents[2] / "data"
GSM8K = DATA / "gsm8k.jsonl"


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


def test_what_is_to_choose_from_follows_the_question_with_its_letters(tmp_path):
    """AQuA-RAT's own letters stay; bare options get theirs, so that `B` names the same one."""
    asked = {"grader": "choice", "max_output_tokens": 9, "answer": "correct", "choices": "options"}
    lettered, _ = requests(Questions(path=str(DATA / "aqua_rat.jsonl"), **asked))
    row = json.loads((DATA / "aqua_rat.jsonl").read_text().splitlines()[0])
    (message,), _ = lettered.prompt.render()
    assert message.content == "\n".join([row["question"], *row["options"]])
    assert (lettered.expected, row["options"][0][:2]) == ("A", "A)")

    path = tmp_path / "bare.jsonl"
    path.write_text('{"question": "6 * 7?", "options": ["41", "B) 42"], "correct": "B"}')
    (bare,) = requests(Questions(path=str(path), template="Q: {question}\nA:", **asked))
    assert bare.prompt.render()[0][0].content == "Q: 6 * 7?\nA) 41\nB) 42\nA:"


def test_mmlu_pro_has_ten_options():
    """A to J; the answer's letter is that of the option that `answer_index` names."""
    path = DATA / "mmlu_pro.jsonl"
    asked = Questions(
        path=str(path), grader="choice", max_output_tokens=9, answer="answer", choices="options"
    )
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for request, row in zip(requests(asked), rows, strict=True):
        (message,), _ = request.prompt.render()
        shown = message.content.splitlines()[-10:]
        right = shown[row["answer_index"]]
        assert right == f"{request.expected}) {row['options'][row['answer_index']]}"
        assert grade("choice", f"The answer is ({row['answer']}).", request.expected)
        wrong = "A" if row["answer"] != "A" else "B"
        assert not grade("choice", f"The answer is ({wrong}).", request.expected)


def test_bbh_answers_are_words():
    """Three tasks: a truth value, an option's letter in brackets, a list of words."""
    path = DATA / "bbh.jsonl"
    asked = Questions(
        path=str(path), grader="exact", max_output_tokens=9, question="input", answer="target"
    )
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    found = requests(asked)
    assert [request.expected for request in found] == [row["target"] for row in rows]
    for request, row in zip(found, rows, strict=True):
        assert request.prompt.render()[0][0].content == row["input"]
        assert grade("exact", row["target"], request.expected)
        assert not grade("exact", "none of it", request.expected)


def test_an_answer_made_of_a_rows_fields_is_a_program_to_pass():
    """HumanEval: the tests and the function's name come from the row, `{code}` is the model's."""
    questions = Questions(
        path=str(DATA / "humaneval.jsonl"),
        grader="code",
        max_output_tokens=300,
        question="prompt",
        answer_template="{prompt}{code}\n{test}\ncheck({entry_point})",
    )
    rows = [json.loads(line) for line in (DATA / "humaneval.jsonl").read_text().splitlines()]
    for request, row in zip(requests(questions), rows, strict=True):
        after_code = f"\n{row['test']}\ncheck({row['entry_point']})"
        assert request.expected == row["prompt"] + "{code}" + after_code
        assert grade("code", row["canonical_solution"], request.expected)
        assert not grade("code", "    return None\n", request.expected)


def test_samples_of_a_question_are_requests_of_one_group():
    """Each is a request of its own with the same prompt; a question asked once has no group."""
    asked = {"path": str(GSM8K), "grader": "number", "max_output_tokens": 9, "answer_after": "####"}
    once, thrice = requests(Questions(**asked)), requests(Questions(**asked, samples=3))
    assert {request.group for request in once} == {None}
    assert [request.group for request in thrice] == [i // 3 for i in range(3 * len(once))]
    texts = [request.prompt.render() for request in thrice]
    assert texts == [request.prompt.render() for request in once for _ in range(3)]


def test_effort_and_budget_are_those_of_every_request():
    """Unset, neither is said."""
    asked = {"path": str(GSM8K), "grader": "number", "max_output_tokens": 9}
    told = requests(Questions(**asked, effort="high", thinking_budget=64))
    assert {(request.effort, request.thinking_budget) for request in told} == {("high", 64)}
    untold = requests(Questions(**asked))
    assert {(request.effort, request.thinking_budget) for request in untold} == {(None, None)}


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


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"choices": "options"}, "expected a field 'options', found: question, answer"),
        ({"choices": "answer"}, "Expected `array`, got `str`"),
        ({"answer_template": "{tests}"}, "expected a field 'tests', found: question, answer"),
    ],
)
def test_a_field_that_a_row_lacks_is_named(tmp_path, keys, problem):
    """Of the choices, and of the answer's template."""
    path = tmp_path / "q.jsonl"
    path.write_text('{"question": "x", "answer": "1"}')
    with pytest.raises(TraceError) as caught:
        requests(Questions(path=str(path), grader="exact", max_output_tokens=5, **keys))
    assert (caught.value.line, caught.value.problem) == (1, problem)


@pytest.mark.parametrize("change", [{"template": "no place"}, {"grader": "guess"}])
def test_what_cannot_be_is_refused(change):
    """A template without the question, an unknown grader."""
    written = {"path": "q", "grader": "exact", "max_output_tokens": 1} | change
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(written, Questions)


def test_a_batch_asks_several_questions_behind_their_numbers(tmp_path):
    """The last one what is left; later rounds in another order; each answer keeps its question."""
    path = tmp_path / "q.jsonl"
    path.write_text("".join(f'{{"question": "q{i}?", "answer": "{i}"}}\n' for i in range(10)))
    asked = {"path": str(path), "grader": "number", "max_output_tokens": 5}
    found = requests(Questions(**asked, batch_size=8, samples=4, samples_per_request=2))
    sizes = [(len(one.batch), one.max_output_tokens, one.group, one.num_samples) for one in found]
    assert sizes == [(8, 40, 0, 2)] * 2 + [(2, 10, 1, 2)] * 2
    orders = [[question.id for question in one.batch] for one in found]
    assert orders[0] == list(range(8)) != orders[1]
    assert sorted(orders[1]) == orders[0]
    for request in found:
        text = request.prompt.render()[0][0].content
        for number, question in enumerate(request.batch, start=1):
            assert f"\n[{number}] q{question.id}?" in text
            assert question.expected == str(question.id)


def test_samples_may_be_choices_of_one_request():
    """Half as many requests for two each; the same question keeps its group."""
    asked = {"path": str(GSM8K), "grader": "number", "max_output_tokens": 9}
    once = requests(Questions(**asked))
    found = requests(Questions(**asked, samples=4, samples_per_request=2))
    assert [(one.group, one.num_samples) for one in found] == [
        (i // 2, 2) for i in range(2 * len(once))
    ]
    written = {**asked, "samples": 3, "samples_per_request": 2}
    with pytest.raises(msgspec.ValidationError, match="multiple of samples_per_request"):
        msgspec.convert(written, Questions)
