"""What an agent's answer called, and what a request brought back: as it stands in a record.

Made when the records are made, from what the spool holds; nothing of it is on the hot path.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import pyarrow as pa
from msgspec import Struct
from msgspec.structs import replace

from benchsuite.exchange import Response
from benchsuite.message import Tool
from benchsuite.records import arrow
from benchsuite.tools.base import ToolResult
from benchsuite.tools.check import Problem, fault
from benchsuite.tools.in_text import calls_in_text


class JudgedCall(Struct, frozen=True, kw_only=True):
    """A tool call and what is wrong with it, if anything."""

    id: str  # empty: the server took it for text
    name: str
    arguments: str
    problem: Problem | None
    detail: str | None


CALLS: Final = pa.list_(
    pa.struct([(name, pa.string()) for name in ("id", "name", "arguments", "problem", "detail")])
)
RESULTS: Final = pa.list_(
    pa.struct(
        [
            ("call_id", pa.string()),
            ("name", pa.string()),
            ("started_s", pa.float64()),
            ("ended_s", pa.float64()),
            ("exit_code", pa.int32()),
            ("problem", pa.string()),
            ("output", pa.string()),
            ("output_tokens", pa.int64()),
        ]
    )
)
_tools: Final = msgspec.json.Decoder(tuple[Tool, ...])
_results: Final = msgspec.json.Decoder(tuple[ToolResult, ...])


def judged(response: Response, tools: str | None) -> tuple[JudgedCall, ...]:
    """The calls of an answer against the tools that the model was offered (JSON; None: none)."""
    if tools is None and not response.tool_calls:
        return ()
    offered = () if tools is None else _tools.decode(tools)
    calls = response.tool_calls or calls_in_text(response.text)
    found = []
    for call in calls:
        wrong = fault(call, offered)
        found.append(
            JudgedCall(
                id=call.id,
                name=call.name,
                arguments=call.arguments,
                problem=wrong.problem if wrong else None,
                detail=wrong.detail if wrong else None,
            )
        )
    return tuple(found)


def brought(results: str | None, start_s: float, *, keep_text: bool) -> tuple[ToolResult, ...]:
    """Results from the spool (JSON; None: none), times from the run's start."""
    if results is None:
        return ()
    return tuple(
        replace(
            result,
            started_s=result.started_s - start_s,
            ended_s=result.ended_s - start_s,
            output=result.output if keep_text else "",
        )
        for result in _results.decode(results)
    )


def column(rows: Sequence[tuple[Struct, ...]], kind: pa.ListType) -> pa.Array:
    """Structs as an Arrow column of lists."""
    if not any(rows):
        return arrow.nothing(len(rows), kind)
    values: list[Any] = [msgspec.to_builtins(row) for row in rows]
    return pa.array(values, kind)
