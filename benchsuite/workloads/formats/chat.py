"""Recorded conversations, in the words of OpenAI's API and its relatives, as rows of a session."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from benchsuite.request import ImagePart, Message, Part, TextPart, Tool, ToolCall
from benchsuite.workloads.formats.base import Name, TraceRow

_ROLES: Final = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "function": "tool",
}
_KNOWN: Final = {
    "role",
    "from",
    "content",
    "value",
    "tool_calls",
    "function_call",
    "tool_call_id",
    "name",
    "reasoning_content",
    "reasoning",
}


def message(raw: Mapping[str, Any]) -> Message:
    """One message. Raises ValueError that says what was expected where."""
    role = _role(raw)
    calls = [_call(call, at) for at, call in enumerate(raw.get("tool_calls") or ())]
    if raw.get("function_call"):
        calls.append(_call({"function": raw["function_call"]}, 0))
    fields = {
        "role": _ROLES.get(str(role), role),
        "content": _content(raw.get("content", raw.get("value"))),
        "tool_calls": calls,
        "tool_call_id": raw.get("tool_call_id"),
        "reasoning": raw.get("reasoning_content") or raw.get("reasoning"),
        "name": raw.get("name"),
    }
    try:
        return msgspec.convert(fields, Message)
    except msgspec.ValidationError as error:
        raise ValueError(f"message: {error}") from error


def tool(raw: Mapping[str, Any]) -> Tool:
    """A function schema, in OpenAI's wrapping or bare. Raises ValueError."""
    found = raw.get("function", raw)
    if not isinstance(found, Mapping) or not isinstance(found.get("name"), str):
        raise ValueError(f"tools: expected a function with a name, found {raw!r:.80}")
    parameters = found.get("parameters") or found.get("input_schema") or {}
    if not isinstance(parameters, dict):
        raise ValueError(f"tools: {found['name']}: parameters: expected a JSON Schema")
    return Tool(found["name"], str(found.get("description") or ""), parameters)


def session(
    line: int,
    session_id: Name,
    messages: Sequence[Mapping[str, Any]],
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    gaps_s: Mapping[int, float] | None = None,
    extra: dict[str, Any] | None = None,
    **first: Any,
) -> Iterator[TraceRow]:
    """A row for each answer of the model: what was new before it, and the answer as the reply.

    A gap is the sum of the `gaps_s` of the messages before it (by position): how long a tool took,
    or a user thought. An answer to nothing (a greeting) is part of the first prompt; messages after
    the last answer were never sent, and stay in the last row's `extra`. `extra` and `first`: of the
    first row. Raises ValueError; nothing is yielded if the conversation has no answer.
    """
    answers = [at for at, raw in enumerate(messages) if _is_answer(raw) and _asked(messages[:at])]
    begin = 0
    for turn, at in enumerate(answers):
        said = messages[begin:at]
        rest: dict[str, Any] = dict(extra or {}) if turn == 0 else {}
        unknown = [_unknown(one) for one in messages[begin : at + 1]]
        if any(unknown):
            rest["messages"] = unknown
        if at == answers[-1] and messages[at + 1 :]:
            rest["unsent"] = list(messages[at + 1 :])
        found = tuple(message(one) for one in said)
        yield TraceRow(
            line=line,
            session_id=session_id,
            gap_s=sum((gaps_s or {}).get(i, 0.0) for i in range(begin, at)) if turn else None,
            messages=None if turn else found,
            new_messages=found if turn else None,
            reply=message(messages[at]),
            tools=None if turn or tools is None else tuple(tool(one) for one in tools),
            extra=rest or None,
            **({} if turn else first),
        )
        begin = at + 1


def _asked(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether somebody but the agent itself has said something."""
    own = ("system", "developer", "assistant")
    return any(_ROLES.get(str(role), role) not in own for role in map(_role, messages))


def _role(raw: Mapping[str, Any]) -> Any:
    return raw.get("role", raw.get("from"))


def _is_answer(raw: Mapping[str, Any]) -> bool:
    role = _role(raw)
    return bool(_ROLES.get(str(role), role) == "assistant")


def _unknown(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in raw.items() if key not in _KNOWN}


def _call(raw: Mapping[str, Any], at: int) -> ToolCall:
    function = raw.get("function", raw)
    arguments = function.get("arguments", "")
    if not isinstance(arguments, str):
        arguments = msgspec.json.encode(arguments).decode()
    return ToolCall(str(raw.get("id") or f"call_{at}"), str(function.get("name")), arguments)


def _content(raw: Any) -> Any:
    """Text, or parts; parts of one text are that text."""
    if not isinstance(raw, list):
        return raw
    parts: list[Part] = [_part(one) for one in raw]
    if len(parts) == 1 and isinstance(parts[0], TextPart):
        return parts[0].text
    return [msgspec.to_builtins(part) for part in parts]


def _part(raw: Any) -> Part:
    if isinstance(raw, str):
        return TextPart(raw)
    if isinstance(raw, Mapping) and raw.get("type") in ("text", "input_text", "output_text"):
        return TextPart(str(raw.get("text", raw.get("content"))))
    if isinstance(raw, Mapping) and raw.get("type") == "image_url":
        url = raw["image_url"]
        return ImagePart(str(url["url"] if isinstance(url, Mapping) else url))
    raise ValueError(f"content: expected text or image parts, found {raw!r:.80}")
