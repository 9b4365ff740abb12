"""Recorded messages are read whatever age of the API they are of."""

from typing import Any

import pytest

from benchsuite.message import AudioPart, ImagePart, Message, TextPart, Tool, ToolCall
from benchsuite.workloads.openai_messages import message, tool


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"role": "user", "content": "hi"}, Message("user", "hi")),
        (
            {
                "role": "assistant",
                "content": None,
                "reasoning_content": "hm",
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{"}}
                ],
            },
            Message("assistant", None, (ToolCall("a", "f", "{"),), reasoning="hm"),
        ),
        (  # tau2-bench
            {"role": "assistant", "tool_calls": [{"id": "a", "name": "f", "arguments": {"x": 1}}]},
            Message("assistant", None, (ToolCall("a", "f", '{"x":1}'),)),
        ),
        (  # ToolBench
            {"role": "assistant", "content": "", "function_call": {"name": "f", "arguments": "{}"}},
            Message("assistant", "", (ToolCall("", "f", "{}"),)),
        ),
        ({"role": "function", "name": "f", "content": "42"}, Message("tool", "42")),
        (
            {"role": "tool", "tool_call_id": "a", "name": "f", "content": "42"},
            Message("tool", "42", tool_call_id="a"),
        ),
        (
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "see"},
                    {"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}},
                    {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
                ],
            },
            Message(
                "user", (TextPart("see"), ImagePart("data:x", "low"), AudioPart("AA==", "wav"))
            ),
        ),
    ],
)
def test_messages(fields: dict[str, Any], expected: Message) -> None:
    """What was said is kept, in one form."""
    assert message(fields) == expected


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"content": "hi"}, "role: expected text, found None"),
        ({"role": "bot"}, "role: expected one of system"),
        ({"role": "user", "content": 4}, "content: expected text or a list"),
        ({"role": "user", "content": [{"type": "pdf"}]}, r"content\[0\]: expected a part"),
        ({"role": "assistant", "tool_calls": [{"id": "a"}]}, r"tool_calls\[0\]: expected a name"),
        ({"role": "assistant", "tool_calls": 4}, "tool_calls: expected a list"),
    ],
)
def test_a_broken_message_is_described(fields: dict[str, Any], said: str) -> None:
    """Which field, and what was expected."""
    with pytest.raises(ValueError, match=said):
        message(fields)


def test_tools() -> None:
    """With `function` around them, or bare."""
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}}
    bare = {"name": "f", "description": "adds", "parameters": schema}
    assert tool({"type": "function", "function": bare}) == Tool("f", "adds", schema)
    assert tool(bare) == Tool("f", "adds", schema)
    assert tool({"name": "g"}) == Tool("g")
    with pytest.raises(ValueError, match="name: expected text"):
        tool({"function": {}})
