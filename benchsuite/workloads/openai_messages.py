"""Messages and tools as OpenAI's API writes them, which most recordings keep, in our own words.

Pure. What a recording leaves out or calls by an older name is understood: `function_call` and the
role `function` (before 2023-11), arguments as an object instead of JSON text, `reasoning` beside
`reasoning_content`, tools without the `{"type": "function"}` around them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import msgspec

from benchsuite.message import (
    AudioPart,
    ImagePart,
    Message,
    Part,
    Role,
    TextPart,
    Tool,
    ToolCall,
)


def message(fields: Mapping[str, Any]) -> Message:
    """One message. Raises ValueError that names the field which is not as the API has it."""
    role = _text(fields, "role")
    if role == "function":
        role = "tool"
    if role not in get_args(Role):
        raise ValueError(f"role: expected one of {', '.join(get_args(Role))}, found {role!r}")
    calls = fields.get("tool_calls") or ()
    if not isinstance(calls, Sequence) or isinstance(calls, str):
        raise ValueError(f"tool_calls: expected a list, found {calls!r:.80}")
    found = tuple(_call(call, f"tool_calls[{i}]") for i, call in enumerate(calls))
    if legacy := fields.get("function_call"):
        found = (*found, ToolCall("", *_function(legacy, "function_call")))
    is_answer = role == "tool"
    return Message(
        role=role,  # type: ignore[arg-type]  # one of them, as asked above
        content=_content(fields.get("content")),
        tool_calls=found,
        tool_call_id=str(fields["tool_call_id"]) if fields.get("tool_call_id") else None,
        reasoning=fields.get("reasoning_content") or fields.get("reasoning"),
        name=None if is_answer else fields.get("name"),
    )


def tool(fields: Mapping[str, Any]) -> Tool:
    """A tool's description. Raises ValueError where it has no name."""
    inner = fields.get("function", fields)
    if not isinstance(inner, Mapping):
        raise ValueError(f"function: expected an object, found {inner!r:.80}")
    parameters = inner.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise ValueError(f"parameters: expected a JSON Schema, found {parameters!r:.80}")
    return Tool(_text(inner, "name"), inner.get("description") or "", parameters)


def _call(call: Any, where: str) -> ToolCall:
    if not isinstance(call, Mapping):
        raise ValueError(f"{where}: expected an object, found {call!r:.80}")
    return ToolCall(str(call.get("id") or ""), *_function(call.get("function", call), where))


def _function(function: Any, where: str) -> tuple[str, str]:
    """(name, arguments)"""
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise ValueError(f"{where}: expected a name and arguments, found {function!r:.80}")
    arguments = function.get("arguments", "")
    if not isinstance(arguments, str):
        arguments = msgspec.json.encode(arguments).decode()
    return function["name"], arguments


def _content(content: Any) -> str | tuple[Part, ...] | None:
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        raise ValueError(f"content: expected text or a list of parts, found {content!r:.80}")
    return tuple(_part(part, f"content[{i}]") for i, part in enumerate(content))


def _part(part: Any, where: str) -> Part:
    match part:
        case {"type": "text" | "input_text" | "output_text", "text": str(text)}:
            return TextPart(text)
        case {"type": "image_url", "image_url": {"url": str(url), **more}}:
            detail = more.get("detail")
            return ImagePart(url, detail if detail in ("auto", "low", "high") else None)
        case {"type": "image_url" | "input_image", "image_url": str(url)}:
            return ImagePart(url)
        case {"type": "input_audio", "input_audio": {"data": str(data), "format": str(kind)}}:
            return AudioPart(data, kind)
        case _:
            known = "text, image_url, input_audio"
            raise ValueError(f"{where}: expected a part of type {known}, found {part!r:.80}")


def _text(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key}: expected text, found {value!r:.80}")
    return value
