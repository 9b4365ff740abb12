"""Answers of /v1/responses as vLLM, llama.cpp and OpenAI stream them: named events, no [DONE]."""

import json
from typing import Any

from tests.scripted_server import Script, event, stream


def said(kind: str, **fields: Any) -> bytes:
    """One event of that type."""
    name = f"response.{kind}"
    return b"event: " + name.encode() + b"\n" + event({"type": name, **fields})


def usage(prompt: int, output: int, cached: int = 0, reasoning: int = 0) -> dict[str, Any]:
    return {
        "input_tokens": prompt,
        "output_tokens": output,
        "total_tokens": prompt + output,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens_details": {"reasoning_tokens": reasoning},
    }


BEGUN = said("created", response={"id": "r", "status": "in_progress"}) + said("in_progress")
MESSAGE = said("output_item.added", output_index=0, item={"type": "message", "role": "assistant"})


def texts(*pieces: str) -> tuple[bytes, ...]:
    return tuple(said("output_text.delta", output_index=0, delta=piece) for piece in pieces)


def completed(**response: Any) -> bytes:
    return said("completed", response={"status": "completed"} | response)


PLAIN: Script = stream(
    BEGUN,
    MESSAGE,
    said("content_part.added", output_index=0),
    *texts(" a", " b", " c"),
    said("output_text.done", text=" a b c"),
    said("output_item.done", output_index=0, item={"type": "message"}),
    completed(usage=usage(9, 3, cached=4)),
)

FUNCTION = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f"}

AGENT: Script = stream(
    BEGUN,
    said("output_item.added", output_index=0, item={"type": "reasoning"}),
    said("reasoning_text.delta", output_index=0, delta=" hm"),
    said("output_item.added", output_index=1, item=FUNCTION | {"arguments": ""}),
    said("function_call_arguments.delta", output_index=1, delta='{"x"'),
    said("function_call_arguments.delta", output_index=1, delta=":1}"),
    said("function_call_arguments.done", output_index=1, arguments='{"x":1}'),
    said("output_item.done", output_index=1, item=FUNCTION | {"arguments": '{"x":1}'}),
    completed(usage=usage(9, 6, reasoning=1)),
)


def whole(*output: dict[str, Any], **fields: Any) -> bytes:
    """An answer that is one document."""
    answer = {"object": "response", "status": "completed", "output": list(output)}
    return json.dumps(answer | {"usage": usage(9, 3)} | fields).encode()
