"""POST /v1/responses of any server that has it: the messages are the input, nothing is stored."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from benchsuite.endpoints import openai_dialect
from benchsuite.endpoints.base import Connection, Exchange, Response, TokenCounter
from benchsuite.endpoints.openai_body import encoded, tool_fields
from benchsuite.endpoints.openai_server import OpenAIServer
from benchsuite.endpoints.reasoning_fields import ReasoningFields
from benchsuite.endpoints.responses_events import as_chat
from benchsuite.endpoints.think_tags import told_apart
from benchsuite.errors import ScenarioError
from benchsuite.message import AudioPart, ImagePart, Message, Part, TextPart, VideoPart
from benchsuite.request import Request

_FIELDS = ReasoningFields(effort="reasoning.effort", budget=None)


class OpenAIResponses(OpenAIServer, tag="openai_responses", frozen=True):
    """Responses, streamed."""

    reasoning: ReasoningFields = _FIELDS  # where a request says how much to think

    def connect(self) -> AbstractAsyncContextManager[Connection]:
        return self.open("/responses", has_token)

    def body(self, request: Request, messages: tuple[Message, ...]) -> bytes:
        """Raises ScenarioError for several samples or a batch, which this API does not have."""
        if request.num_samples > 1 or request.is_batch:
            raise ScenarioError(
                "endpoint openai_responses gives one answer a request: use openai_chat for "
                "samples, openai_completions for batches"
            )
        fields: dict[str, Any] = {
            "model": self.model,
            "input": [item for message in messages for item in _items(message)],
            "stream": True,
            "store": False,
            "max_output_tokens": request.max_output_tokens,
        }
        if self.vendor_fields and request.ignore_eos:
            fields |= {"ignore_eos": True, "min_tokens": request.max_output_tokens}
        if request.tools:
            fields["tools"] = [{"type": "function", **tool_fields(t)} for t in request.tools]
        if request.tool_choice is not None:
            is_mode = request.tool_choice in ("auto", "none", "required")
            named = {"type": "function", "name": request.tool_choice}
            fields["tool_choice"] = request.tool_choice if is_mode else named
        return encoded(self.reasoning.added(fields | self.extra(request), request))

    def decode(self, exchange: Exchange, count_tokens: TokenCounter) -> Response:
        return told_apart(openai_dialect.decode_stream(as_chat(exchange), count_tokens))


def has_token(exchange: Exchange) -> bool:
    """Whether any generated text has arrived so far."""
    return openai_dialect.has_token(as_chat(exchange))


def _items(message: Message) -> Sequence[dict[str, Any]]:
    """A message as the items that stand for it, in order: thought, said, called; or answered."""
    if message.role == "tool":
        answer = {"call_id": message.tool_call_id or "", "output": message.text}
        return [{"type": "function_call_output", **answer}]
    items: list[dict[str, Any]] = []
    if message.reasoning is not None:
        text = {"type": "reasoning_text", "text": message.reasoning}
        items.append({"type": "reasoning", "summary": [], "content": [text]})
    if isinstance(message.content, str):
        items.append({"role": message.role, "content": message.content})
    elif message.content is not None:
        parts = [field for part in message.content for field in _part(part, message.role)]
        items.append({"role": message.role, "content": parts})
    for call in message.tool_calls:
        called = {"call_id": call.id, "name": call.name, "arguments": call.arguments}
        items.append({"type": "function_call", **called})
    return items


def _part(part: Part, role: str) -> list[dict[str, Any]]:
    match part:
        case TextPart():
            kind = "output_text" if role == "assistant" else "input_text"
            return [{"type": kind, "text": part.text}]
        case ImagePart():
            return [{"type": "input_image", "image_url": part.url, "detail": part.detail or "auto"}]
        case AudioPart():
            sound = {"data": part.data, "format": part.format}
            return [{"type": "input_audio", "input_audio": sound}]
        case VideoPart():
            return [field for frame in part.frames for field in _part(frame, role)]
        case _:
            raise AssertionError(f"files are read when a prompt is rendered: {part}")
