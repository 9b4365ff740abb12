"""From a decoded answer to its grades, as the records are made."""

import re
from typing import Final

import msgspec

from benchsuite.exchange import Response
from benchsuite.metrics.quality import answer_of, grade
from benchsuite.records.grades import Grade
from benchsuite.records.spool import Asked
from benchsuite.request import Question

_NUMBER: Final = re.compile(r"^[\s*#-]*\[(\d+)\]", re.MULTILINE)
_questions: Final = msgspec.json.Decoder(tuple[Question, ...])


def grades_of(asked: Asked, response: Response) -> tuple[Grade, ...]:
    """One grade per answer that was asked for: of each choice, and in it of each question of a
    batch. None where there is nothing to grade: no grader, a failure, a turn that calls a tool."""
    grader = asked.grader
    if grader is None or response.error_class is not None or response.tool_calls:
        return ()
    texts = response.items or (response.text,)
    answers: list[tuple[str, ...]]
    if asked.batch is None:
        number = asked.request_id if asked.group is None else asked.group
        questions: tuple[Question, ...] = (Question(number, asked.expected or ""),)
        answers = [(text,) for text in texts]
    else:
        questions = _questions.decode(asked.batch)
        answers = [numbered(text, len(questions)) for text in texts]
    return tuple(
        Grade(question.id, grade(grader, text, question.expected), answer_of(grader, text))
        for choice in answers
        for question, text in zip(questions, choice, strict=True)
    )


def numbered(text: str, num: int) -> tuple[str, ...]:
    """What follows `[1]` to `[num]` in `text`, each at the start of a line and up to the next such
    number. Of one that stands there twice the last counts; one that does not is an empty answer."""
    found = [""] * num
    marks = list(_NUMBER.finditer(text))
    ends = [*(mark.start() for mark in marks), len(text)][1:]
    for mark, end in zip(marks, ends, strict=True):
        if 1 <= (number := int(mark[1])) <= num:
            found[number - 1] = text[mark.end() : end].strip()
    return tuple(found)
