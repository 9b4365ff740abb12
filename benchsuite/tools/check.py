"""What is wrong with a tool call: the four ways in which a tool format collapses.

The patterns are those of "Beyond Accuracy: Unveiling Inefficiency Patterns in Tool-Integrated
Reasoning" (PTE), appendix E: not parsed, no JSON, no such tool, not after its schema.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

import msgspec

from benchsuite.message import Tool, ToolCall

Problem = Literal["unparsed", "malformed_json", "unknown_tool", "schema"]

_DETAIL_CHARS: Final = 200


class Fault(NamedTuple):
    """Why a call cannot be carried out."""

    problem: Problem
    detail: str


def fault(call: ToolCall, tools: Sequence[Tool]) -> Fault | None:
    """The first thing that is wrong with `call`, or None.

    Without any `tools` a call can only be judged by its JSON.
    """
    if not call.id:
        return Fault("unparsed", "the server took the call for text")
    found = arguments(call)
    if isinstance(found, Fault):
        return found
    if not tools:
        return None
    tool = next((one for one in tools if one.name == call.name), None)
    if tool is None:
        known = ", ".join(one.name for one in tools)
        return Fault("unknown_tool", f"no tool {call.name!r} (known: {known})"[:_DETAIL_CHARS])
    return _against_schema(found, tool)


def arguments(call: ToolCall) -> dict[str, Any] | Fault:
    """The arguments as an object; no text at all stands for none."""
    try:
        value = msgspec.json.decode(call.arguments or "{}")
    except (msgspec.DecodeError, RecursionError) as error:
        return Fault("malformed_json", str(error)[:_DETAIL_CHARS])
    if not isinstance(value, dict):
        return Fault("malformed_json", f"expected an object, found {call.arguments:.80}")
    return value


def _against_schema(value: dict[str, Any], tool: Tool) -> Fault | None:
    if not tool.parameters:
        return None
    known = validator(msgspec.json.encode(tool.parameters))
    if isinstance(known, Fault):
        return known
    error = next(known.iter_errors(value), None)
    if error is None:
        return None
    return Fault("schema", f"{error.json_path}: {error.message}"[:_DETAIL_CHARS])


@lru_cache(maxsize=1024)
def validator(schema: bytes) -> Any:
    """Of a JSON Schema in JSON, or the Fault that it has itself. Made once: that takes longer than
    all that it validates."""
    import jsonschema

    found = msgspec.json.decode(schema)
    kind = jsonschema.validators.validator_for(found)
    try:
        kind.check_schema(found)
    except jsonschema.SchemaError as error:
        return Fault("schema", f"the tool's own schema is broken: {error.message}"[:_DETAIL_CHARS])
    return kind(found)
