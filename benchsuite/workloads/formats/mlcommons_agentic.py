"""Agentic conversations of MLPerf Endpoints (JSONL, one turn a line; MLCommons)."""

from collections.abc import Iterator
from itertools import groupby
from typing import Annotated, Any, ClassVar

from msgspec import Meta, Struct

from benchsuite.errors import TraceError
from benchsuite.spec import DataPath, Spec
from benchsuite.workloads.formats import chat
from benchsuite.workloads.formats.base import TraceRow
from benchsuite.workloads.formats.reading import Found, objects


class _Result(Struct):
    tool_call_id: str
    content: str


class _Row(Struct):
    conversation_id: str
    turn: int
    role: str
    content: Any = None
    system: str | None = None
    tools: list[dict[str, Any]] | None = None
    tool_results: list[_Result] = []
    delay_seconds: Annotated[float, Meta(ge=0)] = 0.0


class MLCommonsAgentic(Spec, frozen=True, tag="mlcommons_agentic"):
    """MLPerf Endpoints' agentic conversations (JSONL): turns with tool results and tool delays.

    Lines of one `conversation_id` follow each other. The delay of a tool's line is the gap before
    the next request. The conversation is broken with its first broken line.
    """

    block_tokens: ClassVar[int] = 1  # the format has no hash ids

    path: DataPath  # the JSONL, plain or gzipped

    def rows(self) -> Iterator[TraceRow | TraceError]:
        known: list[tuple[Found, _Row]] = []
        for found in objects(self.path, _Row):
            if isinstance(found, TraceError):
                yield found
            else:
                known.append(found)
        for session_id, lines in groupby(known, key=lambda found: found[1].conversation_id):
            turns = list(lines)
            try:
                rows = list(_session(session_id, turns))
            except ValueError as error:
                yield TraceError(self.path, turns[0][0].line, f"{session_id}: {error}")
            else:
                yield from rows


def _session(session_id: str, turns: list[tuple[Found, _Row]]) -> Iterator[TraceRow]:
    messages: list[dict[str, Any]] = []
    gaps_s: dict[int, float] = {}
    for place, row in turns:
        gaps_s[len(messages)] = row.delay_seconds
        if row.system is not None:
            messages.append({"role": "system", "content": row.system})
        if row.role == "tool":
            messages += (
                {"role": "tool", "tool_call_id": one.tool_call_id, "content": one.content}
                for one in row.tool_results
            )
        else:
            messages.append({key: value for key, value in place.raw.items() if key not in _TOLD})
    place, first = turns[0]
    return chat.session(place.line, session_id, messages, tools=first.tools, gaps_s=gaps_s)


_TOLD = {"conversation_id", "turn", "system", "tools", "tool_results", "delay_seconds"}
