"""How healthy OpenAI-compatible servers differ: a script each, and what it means.

Written after streams of vLLM 0.32, llama.cpp (October 2026), transformers serve 5.17, LiteLLM proxy
1.109 and the mock servers of GuideLLM 0.8 and aimock 1.43, with ids and texts shortened.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from benchsuite.exchange import Kind, Usage
from tests.scripted_server import (
    DONE,
    LAST_CHUNK,
    STREAM_HEAD,
    Script,
    Step,
    answer,
    event,
    http_chunk,
    stream,
)

C, R, T = Kind.CONTENT, Kind.REASONING, Kind.TOOL_CALL


class Dialect(NamedTuple):
    script: Script
    chunks: tuple[tuple[Kind, str, int], ...]  # kind, text, tokens
    tokens_from: str = "usage"
    finish_reason: str | None = "length"
    usage: Usage | None = None


def chunk(delta: Mapping[str, Any], finish: str | None = None, index: int = 0, **top: Any) -> bytes:
    """A chat event as vLLM writes it; the others leave fields out."""
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "tiny"}
    return event({**head, "choices": [choice], **top})


def text(piece: str, finish: str | None = None) -> bytes:
    """A completions event."""
    choice = {"index": 0, "text": piece, "logprobs": None, "finish_reason": finish}
    return event({"id": "cmpl-1", "object": "text_completion", "choices": [choice], "usage": None})


def counts(prompt: int, output: int, **more: Any) -> dict[str, Any]:
    total = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
    return {"usage": total | more}


def usage_event(prompt: int, output: int, **more: Any) -> bytes:
    return event({"id": "chatcmpl-1", "choices": [], **counts(prompt, output, **more)})


def tool(arguments: str | None = None, name: str | None = None) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    call = {"index": 0, "function": {k: v for k, v in function.items() if v is not None}}
    return {"tool_calls": [call | ({"id": "call_1", "type": "function"} if name else {})]}


def _texts(pieces: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(chunk({"content": piece}) for piece in pieces)


def _ones(pieces: Iterable[str], kind: Kind = C) -> tuple[tuple[Kind, str, int], ...]:
    return tuple((kind, piece, 1) for piece in pieces)


ROLE = chunk({"role": "assistant", "content": ""})
ABC = (" a", " b", " c")
LENGTH = chunk({}, "length")

DIALECTS: Mapping[str, Dialect] = {
    "vllm": Dialect(
        stream(ROLE, *_texts(ABC), LENGTH, usage_event(9, 3), DONE),
        _ones(ABC),
        usage=Usage(9, 3, None, None),
    ),
    "vllm_finish_on_last_text": Dialect(
        stream(ROLE, *_texts(ABC[:2]), chunk({"content": " c"}, "length"), usage_event(9, 3), DONE),
        _ones(ABC),
        usage=Usage(9, 3, None, None),
    ),
    "vllm_eos_counted": Dialect(
        stream(ROLE, *_texts(ABC), chunk({"content": ""}, "stop"), usage_event(9, 4), DONE),
        ((C, " a", 1), (C, " b", 1), (C, " c", 2)),
        finish_reason="stop",
        usage=Usage(9, 4, None, None),
    ),
    "vllm_held_back_bytes": Dialect(
        stream(ROLE, *_texts((" a", "\u20ac", " c")), LENGTH, usage_event(9, 5), DONE),
        ((C, " a", 1), (C, "\u20ac", 3), (C, " c", 1)),
        usage=Usage(9, 5, None, None),
    ),
    "vllm_running_usage": Dialect(
        stream(
            chunk({"role": "assistant", "content": ""}, **counts(9, 0)),
            chunk({"content": " a"}, **counts(9, 1)),
            chunk({"content": " b c d"}, **counts(9, 4)),
            chunk({"content": " e"}, "stop", **counts(9, 6)),
            usage_event(9, 6),
            DONE,
        ),
        ((C, " a", 1), (C, " b c d", 3), (C, " e", 2)),
        "running_usage",
        "stop",
        Usage(9, 6, None, None),
    ),
    "vllm_reasoning": Dialect(
        stream(
            ROLE,
            chunk({"reasoning": " hm"}),
            chunk({"reasoning": " so"}),
            chunk({"content": " yes"}, "stop"),
            usage_event(
                9,
                3,
                prompt_tokens_details={"cached_tokens": 8},
                completion_tokens_details={"reasoning_tokens": 2},
            ),
            DONE,
        ),
        ((R, " hm", 1), (R, " so", 1), (C, " yes", 1)),
        finish_reason="stop",
        usage=Usage(9, 3, 8, 2),
    ),
    "vllm_tools_required": Dialect(
        stream(
            ROLE,
            chunk({"content": None} | tool("", "get_weather")),
            *[chunk({"content": None} | tool(piece)) for piece in ('{"', "city", '"}')],
            chunk({}, "tool_calls"),
            usage_event(9, 4),
            DONE,
        ),
        _ones(("get_weather", '{"', "city", '"}'), T),
        finish_reason="tool_calls",
        usage=Usage(9, 4, None, None),
    ),
    "vllm_tools_named": Dialect(
        stream(ROLE, chunk(tool('{"a', "f")), chunk(tool('":1}'), "stop"), usage_event(9, 2), DONE),
        _ones(('f{"a', '":1}'), T),
        finish_reason="stop",
        usage=Usage(9, 2, None, None),
    ),
    "vllm_completions": Dialect(
        stream(text(" a"), text(" b"), text(" c", "length"), usage_event(2, 3), DONE),
        _ones(ABC),
        usage=Usage(2, 3, None, None),
    ),
    "llama_cpp": Dialect(
        Script(
            (
                Step(STREAM_HEAD + http_chunk(chunk({"role": "assistant", "content": None}))),
                *[Step(http_chunk(body)) for body in _texts(ABC)],
                Step(
                    http_chunk(LENGTH)
                    + http_chunk(
                        event(
                            {
                                "choices": [],
                                **counts(9, 3, prompt_tokens_details={"cached_tokens": 4}),
                                "timings": {"prompt_n": 5, "prompt_ms": 12.5, "predicted_ms": 30},
                            }
                        )
                    )
                    + http_chunk(DONE)
                    + LAST_CHUNK
                ),
            )
        ),
        _ones(ABC),
        usage=Usage(9, 3, 4, None),
    ),
    "llama_cpp_reasoning": Dialect(
        stream(
            chunk({"role": "assistant", "content": None}),
            chunk({"reasoning_content": " hm"}),
            chunk({"content": " yes"}),
            chunk({}, "stop"),
            usage_event(9, 2),
            DONE,
        ),
        ((R, " hm", 1), (C, " yes", 1)),
        finish_reason="stop",
        usage=Usage(9, 2, None, None),
    ),
    "transformers_serve": Dialect(
        stream(
            chunk({"role": "assistant"}),
            *_texts(ABC),
            chunk({}, "length", **counts(9, 3)),
            end="close",
        ),
        _ones(ABC),
        usage=Usage(9, 3, None, None),
    ),
    "litellm": Dialect(
        stream(
            chunk({"role": "assistant", "content": "Th"}),
            *_texts(("is ", "is", " a")),
            chunk({}, "stop"),
            event({"choices": [{"index": 0, "delta": {}}], **counts(9, 2, reasoning_tokens=0)}),
            DONE,
        ),
        ((C, "Th", 1), (C, "is ", 0), (C, "is", 0), (C, " a", 1)),
        finish_reason="stop",
        usage=Usage(9, 2, None, 0),
    ),
    "litellm_whole_answer": Dialect(
        Script(
            (
                Step(
                    answer(
                        "200 OK",
                        b'{"object":"chat.completion","choices":[{"index":0,"finish_reason":"stop",'
                        b'"message":{"role":"assistant","content":"This is it"}}],"usage":'
                        b'{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}\n',
                        "content-type: application/json",
                    )
                ),
            )
        ),
        ((C, "This is it", 3),),
        finish_reason="stop",
        usage=Usage(9, 3, None, None),
    ),
    "guidellm_mock": Dialect(
        stream(*_texts(ABC), LENGTH, usage_event(9, 3), DONE),
        _ones(ABC),
        usage=Usage(9, 3, None, None),
    ),
    "guidellm_mock_tools": Dialect(
        stream(
            chunk(tool(name="get_weather")),
            chunk(tool('{"city"')),
            chunk(tool(':"Oslo"}')),
            chunk({}, "tool_calls"),
            DONE,
        ),
        ((T, "get_weather", 1), (T, '{"city"', 0), (T, ':"Oslo"}', 0)),
        "tokenizer",
        "tool_calls",
    ),
    "guidellm_mock_empty": Dialect(
        stream(LENGTH, usage_event(9, 0), DONE), (), usage=Usage(9, 0, None, None)
    ),
    "aimock_reasoning_before_role": Dialect(
        stream(
            chunk({"reasoning_content": "let me"}),
            chunk({"role": "assistant", "content": ""}),
            chunk({"content": "ok then"}),
            chunk({}, "stop"),
            usage_event(5, 6),
            DONE,
        ),
        ((R, "let me", 3), (C, "ok then", 3)),
        finish_reason="stop",
        usage=Usage(5, 6, None, None),
    ),
    "no_usage_no_done_no_role": Dialect(
        stream(*_texts(ABC), chunk({}, "stop")), _ones(ABC), "tokenizer", "stop"
    ),
    "no_finish_reason": Dialect(stream(*_texts(ABC), DONE), _ones(ABC), "tokenizer", None),
    "crlf_and_comments": Dialect(
        stream(
            b": ping\r\n\r\n",
            *[body.replace(b"\n", b"\r\n") for body in (ROLE, *_texts(ABC), LENGTH)],
            b": OPENROUTER PROCESSING\r\n\r\n",
            *[body.replace(b"\n", b"\r\n") for body in (usage_event(9, 3), DONE)],
        ),
        _ones(ABC),
        usage=Usage(9, 3, None, None),
    ),
    "grouped_tokens": Dialect(
        stream(ROLE, *_texts((" a b c d", " e f")), LENGTH, usage_event(9, 6), DONE),
        ((C, " a b c d", 4), (C, " e f", 2)),
        usage=Usage(9, 6, None, None),
    ),
    "both_reasoning_keys": Dialect(
        stream(chunk({"reasoning": "hm", "reasoning_content": "hm"}), chunk({}, "stop"), DONE),
        ((R, "hm", 1),),
        "tokenizer",
        "stop",
    ),
    "refusal": Dialect(
        stream(ROLE, chunk({"refusal": " no"}), chunk({}, "stop"), DONE),
        ((C, " no", 1),),
        "tokenizer",
        "stop",
    ),
    "function_call": Dialect(
        stream(
            chunk({"content": None, "function_call": {"name": "f", "arguments": ""}}),
            chunk({"function_call": {"arguments": "{}"}}),
            chunk({}, "function_call"),
            DONE,
        ),
        ((T, "f", 1), (T, "{}", 0)),
        "tokenizer",
        "function_call",
    ),
    "done_then_junk": Dialect(
        stream(*_texts(ABC), chunk({}, "stop"), DONE, b"data: {oops\n\nnonsense\n\n"),
        _ones(ABC),
        "tokenizer",
        "stop",
    ),
    "no_last_blank_line": Dialect(
        stream(*_texts(ABC), LENGTH, DONE[:-2]), _ones(ABC), "tokenizer", "length"
    ),
}
"""Tokens where the server does not tell are those of `tests.dialects.count_tokens`."""


def count_tokens(text: str) -> int:
    """A tokenizer to reckon with: a token for every word, and for every byte beyond ASCII."""
    beyond = sum(len(letter.encode()) for letter in text if not letter.isascii())
    return len("".join(letter if letter.isascii() else " " for letter in text).split()) + beyond
