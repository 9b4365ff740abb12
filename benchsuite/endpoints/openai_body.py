"""Request bodies of the OpenAI API, chat and completions, with the vendor fields engines share."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from benchsuite.errors import ScenarioError
from benchsuite.request import ImagePart, Message, Request, TextPart

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
    extra: Mapping[str, Any] = {},
) -> bytes:
    """JSON for /v1/chat/completions. `extra` goes last; a null in it removes a field of ours."""
    fields = {"model": model, "messages": [_message(message) for message in messages]}
    asked = _asked(request, max_tokens_field, vendor_fields, running_usage)
    return _encode(fields | asked, extra)


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
    """JSON for /v1/completions: the messages' texts, joined by newlines, are the prompt.

    Raises ScenarioError where a message holds an image.
    """
    fields = {"model": model, "prompt": "\n".join(_plain(message) for message in messages)}
    asked = _asked(request, max_tokens_field, vendor_fields, running_usage)
    return _encode(fields | asked, extra)


def _asked(
    request: Request, max_tokens_field: MaxTokensField, vendor_fields: bool, running_usage: bool
) -> dict[str, Any]:
    """How long the answer may be, and how it is told.

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
    if vendor_fields and request.ignore_eos:
        asked |= {"ignore_eos": True, "min_tokens": request.max_output_tokens}
    return asked


def _encode(fields: dict[str, Any], extra: Mapping[str, Any]) -> bytes:
    merged = {**fields, **extra}
    return msgspec.json.encode({k: v for k, v in merged.items() if v is not None})


def _message(message: Message) -> dict[str, Any]:
    content = message.content
    if isinstance(content, str):
        return {"role": message.role, "content": content}
    return {"role": message.role, "content": [_part(part) for part in content]}


def _part(part: TextPart | ImagePart) -> dict[str, Any]:
    if isinstance(part, ImagePart):
        return {"type": "image_url", "image_url": {"url": part.url}}
    return {"type": "text", "text": part.text}


def _plain(message: Message) -> str:
    if isinstance(message.content, str):
        return message.content
    texts = [part.text for part in message.content if isinstance(part, TextPart)]
    if len(texts) < len(message.content):
        raise ScenarioError("endpoint openai_completions takes text only; images need openai_chat")
    return "".join(texts)
