"""Our own plain format: one request a line, in JSON, in this project's own words."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, Struct

from benchsuite.errors import TraceError
from benchsuite.request import Grader, Message
from benchsuite.spec import Count, DataPath, Spec
from benchsuite.workloads.formats.base import TraceRow
from benchsuite.workloads.formats.reading import json_rows

NotNegative = Annotated[float, Meta(ge=0)]


class _Row(Struct, frozen=True, forbid_unknown_fields=True):
    output_tokens: Count
    arrival_s: NotNegative | None = None
    gap_s: NotNegative | None = None
    session_id: str | int | None = None
    prompt_tokens: Count | None = None
    hash_ids: tuple[int, ...] = ()
    messages: Annotated[tuple[Message, ...], Meta(min_length=1)] | None = None
    slo_class: str = "default"
    expected: str | None = None
    grader: Grader | None = None

    def problem(self, block_tokens: int) -> str | None:
        """What does not fit together, or None."""
        if (self.arrival_s is None) == (self.gap_s is None):
            return "expected arrival_s, or gap_s for a later turn of a session: one of them"
        if self.gap_s is not None and self.session_id is None:
            return "gap_s: expected a session_id beside it"
        if (self.prompt_tokens is None) == (self.messages is None):
            return "expected prompt_tokens or messages: one of them"
        if (self.expected is None) != (self.grader is None):
            return "expected and grader go together"
        blocks = -(-(self.prompt_tokens or 0) // block_tokens)
        if self.hash_ids and len(self.hash_ids) != blocks:
            return (
                f"hash_ids: expected {blocks} for {self.prompt_tokens or 0} tokens in blocks of "
                f"{block_tokens}, found {len(self.hash_ids)}"
            )
        return None


class Jsonl(Spec, frozen=True, tag="jsonl"):
    """Plain JSONL: `arrival_s`, `prompt_tokens` or `messages`, `output_tokens`, and more.

    Rows with one `session_id` follow each other: the first has `arrival_s`, later ones `gap_s`, the
    seconds from the end of the answer before. `prompt_tokens` is the whole prompt; turns of a
    session begin alike. Also: `hash_ids` (blocks of `block_tokens`), `slo_class`, `expected`
    with `grader`.
    """

    path: DataPath
    block_tokens: Count = 512

    def rows(self) -> Iterator[TraceRow | TraceError]:
        for line, row in json_rows(self.path, _Row):
            if isinstance(row, TraceError):
                yield row
            elif problem := row.problem(self.block_tokens):
                yield TraceError(self.path, line, problem)
            else:
                yield TraceRow(
                    line=line,
                    output_tokens=row.output_tokens,
                    prompt_tokens=row.prompt_tokens,
                    arrival_s=row.arrival_s,
                    gap_s=row.gap_s,
                    session_id=row.session_id,
                    hash_ids=row.hash_ids,
                    messages=row.messages,
                    slo_class=row.slo_class,
                    expected=row.expected,
                    grader=row.grader,
                )
