"""Real questions with an answer that can be checked."""

import re
import string
from collections.abc import Iterator
from itertools import islice, repeat
from typing import ClassVar, Final

import msgspec
import numpy as np
from msgspec.structs import replace

from benchsuite import streams
from benchsuite.errors import TraceError
from benchsuite.request import Grader, Message, Question, Request, Scripted, Session
from benchsuite.spec import Count, DataPath, Spec
from benchsuite.workloads.formats.reading import lines
from benchsuite.workloads.tokenizer import Tokenizer

_LETTERS: Final = string.ascii_uppercase
_EACH: Final = (
    "Answer each of the following questions. Begin each answer on a new line with the question's "
    "number in square brackets, such as [1].\n\n"
)
_FIELD: Final = re.compile(r"\{(\w+)\}")


class Questions(Spec, frozen=True, tag="questions"):
    """Questions from a JSONL file, in its order; outputs end where they end.

    `question` and `answer` name the fields. The expected answer is the whole `answer` field, or
    what follows the last `answer_after` in it (GSM8K: `####`), or `answer_template` with the row's
    fields in it (`code`: a program with `{code}` where the model's belongs). `template` is what is
    sent, with `{question}` in its place; a list in the field `choices` follows it, a letter before
    each. `grader`: `exact`, `number`, `choice`, `contains`, `math` (needs the extra `grading`) or
    `code`. Each question is asked `samples` times, in requests of one `group`; with
    `samples_per_request` so many of them are one request for several choices (`n`).

    With `batch_size` a request asks so many questions of the file at once (BatchPrompt,
    arXiv:2309.00384), the last one what is left: `{question}` is then a demand to answer each
    behind its number in brackets, and the questions behind theirs. Each is graded on its own; one
    whose number does not come is wrong. `max_output_tokens` is for each. The samples are rounds of
    votes: each but the first puts a batch's questions in an order of its own, from the seed.
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
    samples_per_request: Count = 1  # `samples` is a multiple of it
    batch_size: Count = 1  # questions in one request
    effort: str | None = None  # of reasoning: none, low, medium, high ...; unset: not said
    thinking_budget: Count | None = None  # most tokens of reasoning; unset: not said

    def __post_init__(self) -> None:
        if "{question}" not in self.template:
            raise ValueError("template: expected {question} in it")
        if self.samples % self.samples_per_request:
            raise ValueError("samples: expected a multiple of samples_per_request")

    def sessions(self, tokenizer: Tokenizer, seed: int) -> Iterator[Session]:
        rows = (self._row(number, line) for number, line in lines(self.path))
        if self.batch_size > 1:
            asked = self._batches(rows, tokenizer, seed)
        else:
            asked = self._singles(rows, tokenizer)
        for next_id, request in enumerate(asked):
            yield Session(next_id, (replace(request, id=next_id),))

    def _singles(self, rows: Iterator[tuple[str, str]], tokenizer: Tokenizer) -> Iterator[Request]:
        for index, (text, expected) in enumerate(rows):
            request = replace(self._request(text, tokenizer, index), expected=expected)
            yield from repeat(request, self.samples // self.samples_per_request)

    def _batches(
        self, rows: Iterator[tuple[str, str]], tokenizer: Tokenizer, seed: int
    ) -> Iterator[Request]:
        numbered = enumerate(rows)
        batches = iter(lambda: list(islice(numbered, self.batch_size)), [])
        for index, batch in enumerate(batches):
            for turn in range(self.samples // self.samples_per_request):
                order = np.arange(len(batch))
                if turn:
                    order = streams.rng(seed, "batch", index, turn).permutation(order)
                asked = [batch[place] for place in order.tolist()]
                text = "\n\n".join(
                    f"[{number}] {question}" for number, (_, (question, _)) in enumerate(asked, 1)
                )
                yield replace(
                    self._request(_EACH + text, tokenizer, index),
                    max_output_tokens=self.max_output_tokens * len(batch),
                    batch=tuple(Question(row, expected) for row, (_, expected) in asked),
                )

    def _request(self, text: str, tokenizer: Tokenizer, index: int) -> Request:
        text = self.template.replace("{question}", text)
        num_tokens = tokenizer.count(text)
        return Request(
            id=0,
            prompt=Scripted((Message("user", text),), num_tokens),
            prompt_tokens=num_tokens,
            max_output_tokens=self.max_output_tokens,
            grader=self.grader,
            effort=self.effort,
            thinking_budget=self.thinking_budget,
            num_samples=self.samples_per_request,
            group=index if self.samples > 1 else None,
        )

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
