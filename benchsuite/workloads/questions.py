"""Real questions with an answer that can be checked."""

from collections.abc import Iterator
from typing import ClassVar

import msgspec

from benchsuite.errors import TraceError
from benchsuite.request import Grader, Message, Request, Scripted, Session
from benchsuite.spec import Count, DataPath, Spec
from benchsuite.workloads.formats.reading import lines
from benchsuite.workloads.tokenizer import Tokenizer


class Questions(Spec, frozen=True, tag="questions"):
    """Questions from a JSONL file, in its order, each asked once; outputs end where they end.

    `question` and `answer` name the fields. The expected answer is the whole `answer` field, or
    what follows the last `answer_after` in it (GSM8K: `####`). `template` is what is sent, with
    `{question}` in its place. `grader`: `exact`, `number`, `choice` or `contains`.
    """

    is_endless: ClassVar[bool] = False

    path: DataPath
    grader: Grader
    max_output_tokens: Count
    question: str = "question"
    answer: str = "answer"
    answer_after: str | None = None
    template: str = "{question}"

    def __post_init__(self) -> None:
        if "{question}" not in self.template:
            raise ValueError("template: expected {question} in it")

    def sessions(self, tokenizer: Tokenizer, seed: int) -> Iterator[Session]:
        for index, (number, line) in enumerate(lines(self.path)):
            question, expected = self._row(number, line)
            text = self.template.replace("{question}", question)
            num_tokens = tokenizer.count(text)
            request = Request(
                id=index,
                prompt=Scripted((Message("user", text),), num_tokens),
                prompt_tokens=num_tokens,
                max_output_tokens=self.max_output_tokens,
                expected=expected,
                grader=self.grader,
            )
            yield Session(index, (request,))

    def notes(self) -> tuple[str, ...]:
        return ()

    def _row(self, number: int, line: bytes) -> tuple[str, str]:
        """The question and its expected answer."""
        try:
            row = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
            question, answer = (
                str(msgspec.json.decode(row[field], type=str | int | float))
                for field in (self.question, self.answer)
            )
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
