"""The fields that an OpenAI-compatible server fills in an event or in a whole answer, and how they
are read with patience: what is of another kind than it should be counts as missing.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from benchsuite.exchange import Usage

MAX_COUNT: Final = 10**7
"""Token counts beyond this are not believed."""


class Function(Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class ToolCall(Struct, gc=False):
    function: Function | None = None


class Delta(Struct, gc=False):
    """New text of a choice, or (not streamed) all of it."""

    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None


class Choice(Struct, gc=False):
    index: int = 0
    delta: Delta | None = None
    message: Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class PromptDetails(Struct, gc=False):
    cached_tokens: int | None = None
    image_tokens: int | None = None
    audio_tokens: int | None = None


class OutputDetails(Struct, gc=False):
    reasoning_tokens: int | None = None


class UsageFields(Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: OutputDetails | None = None


class Timings(Struct, gc=False):
    """llama.cpp's own, and beside them what our engine says."""

    prompt_ms: float | None = None
    predicted_ms: float | None = None
    queue_ms: float | None = None
    encode_ms: float | None = None
    transfer_ms: float | None = None


class Message(Struct, gc=False):
    """An event's data, or a whole answer."""

    object: str | None = None
    choices: list[Choice] | None = None
    usage: UsageFields | None = None
    timings: Timings | None = None
    error: Raw | None = None
    detail: Raw | None = None


decode = msgspec.json.Decoder(Message).decode
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def read_message(data: bytes) -> Message | None:
    """`data`, which is UTF-8, read with patience; None if it is no JSON object."""
    try:
        return decode(data)
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        value = json.loads(data.decode())
    except (ValueError, RecursionError):
        return None
    return _loose_message(value) if isinstance(value, dict) else None


def usage_of(usage: UsageFields | None) -> Usage | None:
    if usage is None:
        return None
    prompt, output = usage.prompt_tokens_details, usage.completion_tokens_details
    reasoning = usage.reasoning_tokens if output is None else output.reasoning_tokens
    return Usage(
        prompt_tokens=believed(usage.prompt_tokens),
        output_tokens=believed(usage.completion_tokens),
        cached_tokens=None if prompt is None else believed(prompt.cached_tokens),
        reasoning_tokens=believed(reasoning),
        image_tokens=None if prompt is None else believed(prompt.image_tokens),
        audio_tokens=None if prompt is None else believed(prompt.audio_tokens),
    )


def believed(count: int | None) -> int | None:
    return count if count is not None and 0 <= count <= MAX_COUNT else None


def stages_of(timings: Timings | None) -> Mapping[str, float]:
    """Seconds by stage, as far as the server says."""
    if timings is None:
        return {}
    stages = {
        "queue": timings.queue_ms,
        "encode": timings.encode_ms,
        "prefill": timings.prompt_ms,
        "transfer": timings.transfer_ms,
        "decode": timings.predicted_ms,
    }
    known = {stage: ms for stage, ms in stages.items() if ms is not None}
    return {stage: ms * 1e-3 for stage, ms in known.items() if 0 <= ms < math.inf}


def storable(text: str) -> str:
    """Without lone surrogates, which JSON can name and UTF-8 cannot hold."""
    return _SURROGATE.sub("\ufffd", text)


# From here: the same types from JSON whose fields are not all of the kind they should be. Fields
# of another kind count as missing. `Any` ends at these functions.


def _loose_message(value: dict[str, Any]) -> Message:
    timings = _object(value.get("timings"))
    return Message(
        object=_text(value.get("object")),
        choices=[_loose_choice(choice) for choice in _objects(value.get("choices"))],
        usage=_loose_usage(_object(value.get("usage"))),
        timings=Timings(*(_number(timings.get(name)) for name in Timings.__struct_fields__)),
        error=None if value.get("error") is None else Raw(b"true"),
        detail=None if value.get("detail") is None else Raw(b"true"),
    )


def _loose_choice(value: dict[str, Any]) -> Choice:
    return Choice(
        index=_count(value.get("index")) or 0,
        delta=_loose_delta(_object(value.get("delta"))),
        message=_loose_delta(_object(value.get("message"))),
        text=_text(value.get("text")),
        finish_reason=_text(value.get("finish_reason")),
    )


def _loose_delta(value: dict[str, Any]) -> Delta | None:
    if not value:
        return None
    return Delta(
        content=_text(value.get("content")),
        reasoning=_text(value.get("reasoning")),
        reasoning_content=_text(value.get("reasoning_content")),
        refusal=_text(value.get("refusal")),
        tool_calls=[
            ToolCall(_loose_function(call.get("function")))
            for call in _objects(value.get("tool_calls"))
        ],
        function_call=_loose_function(value.get("function_call")),
    )


def _loose_function(value: Any) -> Function:
    function = _object(value)
    return Function(_text(function.get("name")), _text(function.get("arguments")))


def _loose_usage(value: dict[str, Any]) -> UsageFields | None:
    if not value:
        return None
    prompt = _object(value.get("prompt_tokens_details"))
    output = _object(value.get("completion_tokens_details"))
    return UsageFields(
        prompt_tokens=_count(value.get("prompt_tokens")),
        completion_tokens=_count(value.get("completion_tokens")),
        reasoning_tokens=_count(value.get("reasoning_tokens")),
        prompt_tokens_details=PromptDetails(
            _count(prompt.get("cached_tokens")),
            _count(prompt.get("image_tokens")),
            _count(prompt.get("audio_tokens")),
        ),
        completion_tokens_details=OutputDetails(_count(output.get("reasoning_tokens"))),
    )


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    """A text, or the texts of a list of parts."""
    if isinstance(value, str):
        return storable(value)
    parts = [_text(part.get("text")) for part in _objects(value)]
    return "".join(part for part in parts if part) or None


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) <= MAX_COUNT else None


def _count(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number.is_integer() else None
