"""AIPerf's dialect of Mooncake traces (JSONL): lengths, texts, messages or payloads; sessions."""

from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import Meta, Struct

from benchsuite.errors import TraceError
from benchsuite.request import Message
from benchsuite.spec import Count, DataPath, Spec
from benchsuite.workloads.blocks import misfit, packed
from benchsuite.workloads.formats import chat
from benchsuite.workloads.formats.base import Name, Tokens, TraceRow
from benchsuite.workloads.formats.reading import objects

NotNegative = Annotated[float, Meta(ge=0)]


class _Row(Struct):
    input_length: Tokens | None = None
    text_input: str | None = None
    messages: list[dict[str, Any]] | None = None
    payload: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    output_length: Tokens | None = None
    hash_ids: tuple[int, ...] = ()
    timestamp: NotNegative | None = None  # milliseconds
    delay: NotNegative | None = None  # milliseconds after the turn before
    session_id: Name | None = None

    def problem(self, block_tokens: int) -> str | None:
        kinds = (self.input_length, self.text_input, self.messages, self.payload)
        if sum(kind is not None for kind in kinds) != 1:
            return "expected input_length, text_input, messages or payload: one of them"
        if self.payload is not None and not self.payload.get("messages"):
            return "payload: expected messages in it"
        if self.input_length is not None and self.output_length is None:
            return "output_length: expected beside input_length"
        return (
            misfit(self.hash_ids, self.input_length or 0, block_tokens) if self.hash_ids else None
        )


class AIPerfMooncake(Spec, frozen=True, tag="aiperf_mooncake"):
    """AIPerf's Mooncake dialect (JSONL): a length, a text, messages or a whole payload a row.

    Rows of one `session_id` follow each other, `delay` after the answer before. Messages are the
    whole prompt of their row.
    """

    path: DataPath  # the JSONL, plain or gzipped
    block_tokens: Count = 512  # that one hash id stands for

    def rows(self) -> Iterator[TraceRow | TraceError]:
        begun: set[Name] = set()
        for found in objects(self.path, _Row):
            if isinstance(found, TraceError):
                yield found
                continue
            place, row = found
            is_later = row.session_id in begun
            try:
                if problem := row.problem(self.block_tokens):
                    raise ValueError(problem)
                read = _read(place.line, row, place.rest(_Row), is_later=is_later)
            except ValueError as error:
                yield TraceError(self.path, place.line, str(error))
                continue
            if row.session_id is not None:
                begun.add(row.session_id)
            yield read


def _read(line: int, row: _Row, extra: dict[str, Any] | None, *, is_later: bool) -> TraceRow:
    payload = row.payload or {}
    raw = row.messages or payload.get("messages") or ()
    messages = tuple(chat.message(one) for one in raw)
    if row.text_input is not None:
        messages = (Message("user", row.text_input),)
    tools = row.tools if row.tools is not None else payload.get("tools")
    left = {key: value for key, value in payload.items() if key not in ("messages", "tools")}
    delay_s = None if row.delay is None else row.delay / 1000
    if is_later and delay_s is None and row.timestamp is None:
        delay_s = 0.0
    return TraceRow(
        line=line,
        session_id=row.session_id,
        arrival_s=None if row.timestamp is None else row.timestamp / 1000,
        gap_s=delay_s if is_later else None,
        prompt_tokens=row.input_length,
        output_tokens=row.output_length if row.output_length is not None else _asked(payload),
        hash_ids=packed(row.hash_ids),
        messages=messages or None,
        tools=None if tools is None else tuple(chat.tool(one) for one in tools),
        extra=(extra or {}) | ({"payload": left} if left else {}) or None,
    )


def _asked(payload: dict[str, Any]) -> int | None:
    found = payload.get("max_completion_tokens", payload.get("max_tokens"))
    return found if isinstance(found, int) and found > 0 else None
