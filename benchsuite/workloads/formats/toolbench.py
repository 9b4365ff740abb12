"""Answers of ToolBench (JSONL; Qin et al., "ToolLLM", ICLR 2024)."""

from collections.abc import Iterator
from typing import Any, ClassVar

from msgspec import Struct

from benchsuite.errors import TraceError
from benchsuite.spec import DataPath, Spec
from benchsuite.workloads.formats import chat
from benchsuite.workloads.formats.base import TraceRow
from benchsuite.workloads.formats.reading import Found, sessions


class _Row(Struct):
    # Each ends with an answer; None: the search found none.
    train_messages: list[list[dict[str, Any]]] | None
    functions: list[dict[str, Any]] | None = None
    path: str | None = None


class ToolBench(Spec, frozen=True, tag="toolbench"):
    """ToolBench answers (JSONL): each conversation of `train_messages` is a request.

    One that begins with the whole of the one before goes on with it; another begins anew. A row
    whose search found no answer has no conversation (`train_messages: null`), and is a broken one.
    """

    block_tokens: ClassVar[int] = 1  # the format has no hash ids

    path: DataPath  # the JSONL, plain or gzipped

    def rows(self) -> Iterator[TraceRow | TraceError]:
        return sessions(self.path, _Row, _session)


def _session(place: Found, row: _Row) -> Iterator[TraceRow]:
    if row.train_messages is None:
        raise ValueError("train_messages: null: no answer was found, so none was asked for")
    before: list[dict[str, Any]] = []
    tools = tuple(chat.tool(one) for one in row.functions or ())
    for turn, conversation in enumerate(row.train_messages):
        *said, answer = conversation
        goes_on = bool(before) and said[: len(before)] == before
        new = tuple(chat.message(one) for one in (said[len(before) :] if goes_on else said))
        extra = {key: value for key, value in place.raw.items() if key not in _TOLD}
        yield TraceRow(
            line=place.line,
            session_id=row.path or place.line,
            gap_s=0.0 if turn else None,
            messages=None if goes_on else new,
            new_messages=new if goes_on else None,
            reply=chat.message(answer),
            tools=None if goes_on else tools,
            extra=None if turn else extra or None,
        )
        before = conversation


_TOLD = {"train_messages", "functions"}
