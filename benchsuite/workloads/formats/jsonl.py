"""Our own plain format: one request a line, in JSON, in this project's own words.

Its keys are the fields of `base.Row`. Whatever another format knows can be written in it.
"""

from collections.abc import Iterable, Iterator

import msgspec
from msgspec.structs import asdict

from benchsuite.errors import TraceError
from benchsuite.spec import Count, DataPath, Spec
from benchsuite.workloads.blocks import misfit
from benchsuite.workloads.formats.base import Row, TraceRow
from benchsuite.workloads.formats.reading import json_rows


class Jsonl(Spec, frozen=True, tag="jsonl"):
    """The native form, JSONL: whatever a trace can say of a request, in this project's words.

    `benchsuite convert` writes it. Rows with one `session_id` belong together: by default each
    waits for the one before it, `after` names others. The first may have `arrival_s`, later ones
    have `gap_s`, the seconds from the end of the answer before. A prompt is `messages`,
    `new_messages` behind what was said before, or `prompt_tokens` (of the whole prompt) with or
    without `hash_ids`.
    """

    path: DataPath
    block_tokens: Count = 512  # that a hash id stands for in rows that do not say it themselves

    def rows(self) -> Iterator[TraceRow | TraceError]:
        for line, row in json_rows(self.path, Row):
            if isinstance(row, TraceError):
                yield row
            elif problem := _problem(row, self.block_tokens):
                yield TraceError(self.path, line, problem)
            else:
                yield TraceRow(line=line, **asdict(row))


def lines(rows: Iterable[TraceRow], block_tokens: int) -> Iterator[bytes]:
    """Rows as lines of the native form. `block_tokens`: of rows that do not say it themselves."""
    encoder = msgspec.json.Encoder()
    for row in rows:
        fields = asdict(row)
        del fields["line"]
        if row.hash_ids and row.block_tokens is None:
            fields["block_tokens"] = block_tokens
        yield encoder.encode(Row(**fields)) + b"\n"


def _problem(row: Row, block_tokens: int) -> str | None:
    """What does not fit together, or None."""
    if row.session_id is None and not (row.gap_s is None and row.after is None):
        return f"{'gap_s' if row.after is None else 'after'}: expected a session_id beside it"
    if row.prompt_tokens is None and row.messages is None and row.new_messages is None:
        return "expected prompt_tokens or messages or new_messages"
    if row.messages is not None and row.new_messages is not None:
        return "expected messages or new_messages: one of them"
    if row.output_tokens is None and row.prompt_tokens is not None and row.messages is None:
        return "output_tokens: expected beside prompt_tokens"
    if (row.expected is None) != (row.grader is None):
        return "expected and grader go together"
    if not row.hash_ids:
        return None
    size = row.block_tokens or block_tokens
    return misfit(row.hash_ids, row.prompt_tokens or 0, size, whole=True)
