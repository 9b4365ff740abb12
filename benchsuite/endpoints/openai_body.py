"""Request bodies of the OpenAI API, chat and completions, with the vendor fields engines share."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from benchsuite.endpoints.reasoning_fields import COMMON_FIELDS, ReasoningFields
from benchsuite.errors import ScenarioError
from benchsuite.message import (
    AudioPart,
    ImagePart,
    Message,
    Part,
    TextPart,
    Tool,
    ToolCall,
    VideoPart,
)
from benchsuite.request import Request

MaxTokensField = Literal["max_tokens", "max_completion_tokens"]
"""`max_tokens` is known to all engines; OpenAI's own newer models want the other."""


def chat_body(
    request: Request,
    messages: Sequence[Message],
    *,
    model: str,
    max_tokens_field: MaxTokensField = "max_tokens",
    vendor_fields: bool = True,
    running_usage: bool = False,
    reasoning: ReasoningFields = COMMON_FIELDS,
    extra: Mapping[str, Any] = {},
) -> bytes:
    """JSON for /v1/chat/completions. `extra` goes last; a null in it removes a field of ours.

    Raises ScenarioError for a batch: a chat is one conversation.
    """
    if request.is_batch:
        raise ScenarioError("a batch of prompts in one request needs endpoint openai_completions")
    fields: dict[str, Any] = {"model": model, "messages": [_message(each) for each in messages]}
    fields |= _asked(request, max_tokens_field, vendor_fields, running_usage)
    if request.tools:
        fields["tools"] = [{"type": "function", "function": tool_fields(t)} for t in request.tools]
    if request.tool_choice is not None:
        fields["tool_choice"] = _tool_choice(request.tool_choice)
    return encoded(reasoning.added(fields | dict(extra), request))


def completions_body(
    request: Request,
    messages: Sequence[Message],
    *,
    model: str,
    max_tokens_field: MaxTokensField = "max_tokens",
    vendor_fields: bool = True,
    running_usage: bool = False,
    extra: Mapping[str, Any] = {},
) -> bytes:
    """JSON for /v1/completions: the messages' texts, joined by newlines, are the prompt; of a
    batch each is a prompt of its own.

    Raises ScenarioError where something is asked that a completion has no place for: images or
    sound, tools and their calls, reasoning effort.
    """
    _refuse_what_is_no_text(request)
    texts = [_plain(message) for message in messages]
    fields = {"model": model, "prompt": texts if request.is_batch else "\n".join(texts)}
    asked = _asked(request, max_tokens_field, vendor_fields, running_usage)
    return encoded(fields | asked | dict(extra))


def tool_fields(tool: Tool) -> dict[str, Any]:
    """A function as the API describes it."""
    named: dict[str, Any] = {"name": tool.name}
    if tool.description:
        named["description"] = tool.description
    return named | {"parameters": tool.parameters or {"type": "object", "properties": {}}}


def encoded(fields: Mapping[str, Any]) -> bytes:
    """JSON without the fields that are null."""
    return msgspec.json.encode({k: v for k, v in fields.items() if v is not None})


def _asked(
    request: Request, max_tokens_field: MaxTokensField, vendor_fields: bool, running_usage: bool
) -> dict[str, Any]:
    """How long the answer may be, how often it is asked for, and how it is told.

    `running_usage` asks for token counts in every chunk: exact, but larger chunks.
    """
    options = {"include_usage": True}
    if running_usage:
        options["continuous_usage_stats"] = True
    asked: dict[str, Any] = {
        "stream": True,
        "stream_options": options,
        max_tokens_field: request.max_output_tokens,
    }
    if request.num_samples > 1:
        asked["n"] = request.num_samples
    if vendor_fields and request.ignore_eos:
        asked |= {"ignore_eos": True, "min_tokens": request.max_output_tokens}
    if vendor_fields and request.priority is not None:
        asked["priority"] = request.priority
    if request.tenant is not None:
        asked["user"] = request.tenant
    if request.model is not None:  # over the endpoint's
        asked["model"] = request.model
    return asked


def _tool_choice(choice: str) -> str | dict[str, Any]:
    if choice in ("auto", "none", "required"):
        return choice
    return {"type": "function", "function": {"name": choice}}


def _message(message: Message) -> dict[str, Any]:
    content = message.content
    fields: dict[str, Any] = {"role": message.role}
    if message.name is not None:
        fields["name"] = message.name
    if message.tool_call_id is not None:
        fields["tool_call_id"] = message.tool_call_id
    if message.reasoning is not None:
        fields["reasoning_content"] = message.reasoning
    if content is None or isinstance(content, str):
        fields["content"] = content
    else:
        fields["content"] = [field for part in content for field in _part(part)]
    if message.tool_calls:
        fields["tool_calls"] = [_tool_call(call) for call in message.tool_calls]
    return fields


def _tool_call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _part(part: Part) -> list[dict[str, Any]]:
    """A part as the API writes it; a video is so many images."""
    match part:
        case TextPart():
            return [{"type": "text", "text": part.text}]
        case ImagePart():
            detail = {"detail": part.detail} if part.detail else {}
            return [{"type": "image_url", "image_url": {"url": part.url, **detail}}]
        case AudioPart():
            sound = {"data": part.data, "format": part.format}
            return [{"type": "input_audio", "input_audio": sound}]
        case VideoPart():
            return [field for frame in part.frames for field in _part(frame)]
        case _:
            raise AssertionError(f"files are read when a prompt is rendered: {part}")


def _refuse_what_is_no_text(request: Request) -> None:
    asked = {
        "tools": bool(request.tools or request.tool_choice),
        "reasoning effort": request.effort is not None or request.thinking_budget is not None,
    }
    for what in (name for name, is_asked in asked.items() if is_asked):
        raise ScenarioError(
            f"endpoint openai_completions has no {what}: use openai_chat or openai_responses"
        )


def _plain(message: Message) -> str:
    content = message.content or ""
    texts = [TextPart(content)] if isinstance(content, str) else list(content)
    if any(not isinstance(part, TextPart) for part in texts):
        raise ScenarioError("endpoint openai_completions takes text only; images need openai_chat")
    if message.tool_calls or message.role == "tool":
        raise ScenarioError(
            "endpoint openai_completions takes text only; tool calls need openai_chat"
        )
    return "".join(part.text for part in texts if isinstance(part, TextPart))
