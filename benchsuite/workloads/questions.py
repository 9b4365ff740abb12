"""Real questions with an answer that can be checked."""

import re
import string
from collections.abc import Iterator
from typing import ClassVar, Final

import msgspec

from benchsuite.errors import TraceError
from benchsuite.request import Grader, Message, Request, Scripted, Session
from benchsuite.spec import Count, DataPath, Spec
from benchsuite.workloads.formats.reading import lines
from benchsuite.workloads.tokenizer import Tokenizer

_LETTERS: Final = string.ascii_uppercase
_FIELD: Final = re.compile(r"\{(\w+)\}")


class Questions(Spec, frozen=True, tag="questions"):
    """Questions from a JSONL file, in its order; outputs end where they end.

    `question` and `answer` name the fields. The expected answer is the whole `answer` field, or
    what follows the last `answer_after` in it (GSM8K: `####`), or `answer_template` with the row's
    fields in it (`code`: a program with `{code}` where the model's belongs). `template` is what is
    sent, with `{question}` in its place; a list in the field `choices` follows it, a letter before
    each. `grader`: `exact`, `number`, `choice`, `contains`, `math` (needs the extra `grading`) or
    `code`. Each question is asked `samples` times, in requests of one `group`.
    """

    is_endless: ClassVar[bool] = False

    path: DataPath
    grader: Grader
    max_output_tokens: Count
    question: str = "question"
    answer: str = "answer"
    answer_after: str | None = None
    answer_template: str | None = None  # the expected answer, made of the row's fields: `{name}`
    choices: str | None = None  # the field that holds a list to choose from
    template: str = "{question}"
    samples: Count = 1  # how often each question is asked: a rollout
    effort: str | None = None  # of reasoning: none, low, medium, high ...; unset: not said
    thinking_budget: Count | None = None  # most tokens of reasoning; unset: not said

    def __post_init__(self) -> None:
        if "{question}" not in self.template:
            raise ValueError("template: expected {question} in it")

    def sessions(self, tokenizer: Tokenizer, seed: int) -> Iterator[Session]:
        next_id = 0
        for index, (number, line) in enumerate(lines(self.path)):
            question, expected = self._row(number, line)
            text = self.template.replace("{question}", question)
            num_tokens = tokenizer.count(text)
            for _ in range(self.samples):
                request = Request(
                    id=next_id,
                    prompt=Scripted((Message("user", text),), num_tokens),
                    prompt_tokens=num_tokens,
                    max_output_tokens=self.max_output_tokens,
                    expected=expected,
                    grader=self.grader,
                    effort=self.effort,
                    thinking_budget=self.thinking_budget,
                    group=index if self.samples > 1 else None,
                )
                yield Session(next_id, (request,))
                next_id += 1

    def notes(self) -> tuple[str, ...]:
        return ()

    def _row(self, number: int, line: bytes) -> tuple[str, str]:
        """The question and its expected answer."""
        try:
            row = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
            question = _text(row, self.question)
            if self.choices is not None:
                options = msgspec.json.decode(row[self.choices], type=list[str])
                question += "\n" + "\n".join(map(_option, _LETTERS, options))
            if self.answer_template is not None:
                return question, _filled(self.answer_template, row)
            answer = _text(row, self.answer)
        except KeyError as error:
            known = ", ".join(row)
            problem = f"expected a field {error.args[0]!r}, found: {known}"
            raise TraceError(self.path, number, problem) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise TraceError(self.path, number, str(error)) from error
        if self.answer_after is not None:
            _, mark, answer = answer.rpartition(self.answer_after)
            if not mark:
                problem = f"{self.answer}: expected {self.answer_after!r} before the answer"
                raise TraceError(self.path, number, problem)
        return question, answer.strip()


def _text(row: dict[str, msgspec.Raw], field: str) -> str:
    return str(msgspec.json.decode(row[field], type=str | int | float))


def _option(letter: str, option: str) -> str:
    """`B) what is to choose`; AQuA-RAT's own have their letters."""
    return option if option.startswith(f"{letter})") else f"{letter}) {option}"


def _filled(template: str, row: dict[str, msgspec.Raw]) -> str:
    """`template` with `{name}` replaced by the row's field of that name, but for `{code}`."""

    def value(match: re.Match[str]) -> str:
        return match[0] if match[1] == "code" else _text(row, match[1])

    return _FIELD.sub(value, template)
