"""Tools and thinking through the API: what clients get, in which order, with which counts."""

import json
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_engine.behaviour import Behaviour
from reference_engine.config import EngineConfig
from reference_engine.executors import Roofline
from reference_engine.server.api import Api, open_api
from reference_engine.server.reply import EventStream
from reference_engine.server.tokenizer import ByteTokenizer
from reference_engine.server.tool_calls import CallText, call_opening

ASK = [{"role": "user", "content": "what is the weather?"}]
ONE_TOOL = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
                "required": ["city", "days"],
            },
        },
    }
]
TOOLS = [*ONE_TOOL, {"type": "function", "function": {"name": "look_up"}}]
NAMED = {"type": "function", "function": {"name": "get_weather"}}
USAGE = {"include_usage": True}


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """An engine that speaks bytes: a token is a character, or part of one."""
    config = EngineConfig(
        executor=Roofline(overhead_s=0.0), behaviour=Behaviour(low_tokens=12, spread=0.0)
    )
    async with open_api(config) as server:
        yield server


async def ask(api: Api, **fields: object) -> Any:
    """The parsed answer, or the parsed events."""
    body = {"messages": ASK, "max_tokens": 400, **fields}
    reply = await api.handle("POST", "/v1/chat/completions", json.dumps(body).encode())
    if isinstance(reply.body, bytes):
        return json.loads(reply.body)
    assert isinstance(reply.body, EventStream)
    parts = b"".join([item async for item in reply.body]).decode().split("\n\n")
    assert parts.pop() == ""
    if '"error"' not in parts[-1]:
        assert parts.pop() == "data: [DONE]"
    return [json.loads(part.removeprefix("data: ")) for part in parts]


@given(
    st.sampled_from(["f", 'a "quoted" name']),
    st.dictionaries(st.text(max_size=3), st.text(max_size=5) | st.just({"}": "\\"}), max_size=3),
    st.text(" \n", max_size=3),
    st.lists(st.integers(0, 200), max_size=8),
)
def test_a_call_is_read_however_it_is_cut(
    name: str, arguments: dict[str, object], padding: str, cuts: list[int]
) -> None:
    """The name once, all of the arguments, nothing of what stands around them."""
    told = json.dumps(arguments)
    text = call_opening(name) + told + "}" + padding
    places = sorted({0, len(text), *(cut % len(text) for cut in cuts)})
    call = CallText(["other", name])
    pieces = [call.push(text[a:b]) for a, b in pairwise(places)]
    assert call.name == name
    assert "".join(pieces) == told + padding


async def test_a_call_cut_off_before_its_name_is_text(api: Api) -> None:
    """Its tokens are counted, so they are shown; the name may be longer than what was asked for."""
    asked = {"tools": ONE_TOOL, "tool_choice": "required", "max_tokens": 9}
    (choice,) = (await ask(api, **asked))["choices"]
    assert choice["message"]["content"] == call_opening("get_weather")[:9]
    assert "tool_calls" not in choice["message"]
    assert choice["finish_reason"] == "length"
    chunks = await ask(api, **asked, stream=True)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert "".join(delta.get("content") or "" for delta in deltas) == choice["message"]["content"]
    named = await ask(api, **{**asked, "max_tokens": len(call_opening("get_weather"))})
    assert named["choices"][0]["message"]["content"] is None
    assert named["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "get_weather"


async def test_a_required_call_streams_its_name_then_its_arguments(api: Api) -> None:
    """As vLLM: id, type and name in the first delta, pieces of JSON in the others; no text."""
    chunks = await ask(
        api, tools=TOOLS, tool_choice="required", stream=True, stream_options=USAGE, seed=1
    )
    *chunks, usage = chunks
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": ""}
    (head,) = deltas[1]["tool_calls"]
    assert (head["index"], head["type"], head["function"]["arguments"]) == (0, "function", "")
    assert head["id"]
    pieces = [delta["tool_calls"][0] for delta in deltas[2:-1]]
    assert all(piece.keys() == {"index", "function"} for piece in pieces)
    arguments = "".join(piece["function"]["arguments"] for piece in pieces)
    if head["function"]["name"] == "get_weather":
        assert {key: type(value) for key, value in json.loads(arguments).items()} == {
            "city": str,
            "days": int,
        }
    else:
        assert json.loads(arguments) == {}
    assert [c["choices"][0]["finish_reason"] for c in chunks[-2:]] == [None, "tool_calls"]
    written = call_opening(head["function"]["name"]) + arguments + "}"
    assert usage["usage"]["completion_tokens"] == len(written.encode())  # every byte it wrote


async def test_a_named_call_comes_whole(api: Api) -> None:
    """The client chose it, so the reason is `stop`, as with OpenAI; content is null."""
    answer = await ask(api, tools=TOOLS, tool_choice=NAMED)
    (choice,) = answer["choices"]
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["content"] is None
    (call,) = choice["message"]["tool_calls"]
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"]).keys() == {"city", "days"}


async def test_auto_calls_in_the_share_that_is_set() -> None:
    """0 never, 1 always; `none` and no tools never."""
    for share in (0.0, 1.0):
        config = EngineConfig(
            executor=Roofline(overhead_s=0.0), behaviour=Behaviour(tool_call_share=share)
        )
        async with open_api(config) as api:
            for choice in ({}, {"tool_choice": "auto"}, {"tool_choice": "none"}):
                answer = await ask(api, tools=ONE_TOOL, **choice)
                (told,) = answer["choices"]
                calls = share == 1.0 and choice.get("tool_choice") != "none"
                assert (told["finish_reason"] == "tool_calls") == calls
                assert ("tool_calls" in told["message"]) == calls


async def test_a_call_of_a_set_length_stays_well_formed(api: Api) -> None:
    """Under ignore_eos it goes on in white space up to max_tokens, and still counts as a call."""
    answer = await ask(api, tools=ONE_TOOL, tool_choice="required", max_tokens=300, ignore_eos=True)
    (choice,) = answer["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"])
    assert answer["usage"]["completion_tokens"] == 300


async def test_a_call_that_is_cut_says_so(api: Api) -> None:
    """max_tokens is a limit for calls too."""
    answer = await ask(api, tools=ONE_TOOL, tool_choice="required", max_tokens=50)
    assert answer["choices"][0]["finish_reason"] == "length"


async def test_tools_and_calls_are_part_of_the_prompt(api: Api) -> None:
    """Their descriptions, earlier calls and results are tokens like others."""
    plain = (await ask(api, max_tokens=1))["usage"]["prompt_tokens"]
    with_tools = (await ask(api, max_tokens=1, tools=TOOLS))["usage"]["prompt_tokens"]
    called = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    messages = [
        *ASK,
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "1", "content": "rain"},
    ]
    told = '<|im_start|>assistant\n{"name": "f", "arguments": {"a": 1}}\n<|im_end|>\n'
    result = "<|im_start|>tool\nrain<|im_end|>\n"
    later = (await ask(api, max_tokens=1, messages=messages))["usage"]["prompt_tokens"]
    assert with_tools > plain + len("get_weather")
    assert later == plain + len(told) + len(result)


async def test_thinking_comes_first_and_is_counted(api: Api) -> None:
    """`reasoning_content` for as many tokens as the effort says, then content; all exact."""
    fields = {"reasoning_effort": "low", "max_tokens": 20, "ignore_eos": True, "seed": 5}
    *chunks, usage = await ask(api, **fields, stream=True, stream_options=USAGE)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[1:-1]]
    kinds = [key for delta in deltas for key in delta]
    assert kinds == sorted(kinds, reverse=True)  # reasoning_content before content
    assert usage["usage"]["completion_tokens"] == 20
    assert usage["usage"]["completion_tokens_details"] == {"reasoning_tokens": 12}
    whole = await ask(api, **fields)
    message = whole["choices"][0]["message"]
    for key in ("reasoning_content", "content"):
        assert message[key] == "".join(delta.get(key, "") for delta in deltas)
    assert whole["usage"]["completion_tokens_details"] == {"reasoning_tokens": 12}


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({}, None),
        ({"reasoning_effort": "none"}, None),
        ({"reasoning_effort": "low"}, 12),
        ({"chat_template_kwargs": {"enable_thinking": True}}, 256),
        ({"chat_template_kwargs": {"enable_thinking": True}, "reasoning_effort": "low"}, 12),
        ({"chat_template_kwargs": {"enable_thinking": False}, "reasoning_effort": "low"}, None),
        ({"reasoning_effort": "high", "thinking_token_budget": 5}, 5),
        ({"reasoning_effort": "high", "thinking_token_budget": 0}, None),
        ({"thinking_token_budget": 5}, 5),
        ({"reasoning_effort": "high"}, 400),  # max_tokens
        ({"chat_template_kwargs": {"reasoning_effort": "low"}}, 12),
        ({"chat_template_kwargs": {"reasoning_effort": "high"}, "reasoning_effort": "low"}, 12),
        ({"chat_template_kwargs": {"reasoning_effort": "low", "thinking": False}}, None),
        ({"chat_template_kwargs": {"thinking": True, "thinking_budget": 5}}, 5),
        ({"thinking_budget": 5}, 5),
        ({"thinking_budget": 0, "reasoning_effort": "high"}, None),
        ({"reasoning_budget": 5}, 5),
        ({"reasoning_budget": -1, "reasoning_effort": "low"}, 12),
        ({"thinking": {"type": "enabled", "budget_tokens": 5}}, 5),
        ({"thinking": {"budget_tokens": 5}}, 5),
        ({"thinking": {"type": "disabled"}, "reasoning_effort": "low"}, None),
        ({"enable_thinking": False, "reasoning_effort": "low"}, None),
    ],
)
async def test_who_thinks_for_how_long(
    api: Api, fields: dict[str, object], tokens: int | None
) -> None:
    """Effort, the template's switch and the budget, as servers read them."""
    usage = (await ask(api, **fields))["usage"]
    assert usage.get("completion_tokens_details", {}).get("reasoning_tokens") == tokens


@pytest.mark.parametrize(
    ("field", "value"),
    [("reasoning_effort", "much"), ("enable_thinking", "yes"), ("thinking_budget", -1)],
)
async def test_a_wrong_variable_is_refused_by_its_name(api: Api, field: str, value: object) -> None:
    """What a template would take for something is no reason to think, or not to."""
    body = {"messages": [{"role": "user", "content": "x"}], "chat_template_kwargs": {field: value}}
    reply = await api.handle("POST", "/v1/chat/completions", json.dumps(body).encode())
    assert reply.status == 400
    assert f"`$.{field}`" in str(reply.body)


async def test_a_call_may_follow_thought(api: Api) -> None:
    """The call's grammar begins where thinking ends."""
    answer = await ask(api, tools=ONE_TOOL, tool_choice="required", reasoning_effort="low")
    message = answer["choices"][0]["message"]
    assert message["reasoning_content"]
    assert json.loads(message["tool_calls"][0]["function"]["arguments"])


async def test_what_the_vocabulary_cannot_say_ends_with_an_error_that_says_so(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Midway: the answer's first tokens are there, and in a stream they were told."""
    monkeypatch.setattr(ByteTokenizer, "token_bytes", _without_umlauts(ByteTokenizer.token_bytes))
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"const": "aé"}}}
    error = (await ask(api, response_format=wanted))["error"]
    assert (error["type"], error["param"], error["code"]) == (
        *("invalid_request_error", "response_format"),
        "unanswerable_schema",
    )
    assert "no token of the vocabulary" in error["message"]
    *chunks, last = await ask(api, response_format=wanted, stream=True)
    told = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert told.startswith('"a')
    assert last == {"error": error}


def _without_umlauts(token_bytes: Callable[[Any, int], bytes]) -> Callable[[Any, int], bytes]:
    def known(tokenizer: Any, token_id: int) -> bytes:
        piece = token_bytes(tokenizer, token_id)
        return piece if piece.isascii() else b""

    return known


async def test_a_response_format_holds(api: Api) -> None:
    """json_schema and json_object, whole answers that parse."""
    schema = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    answer = await ask(api, response_format=wanted)
    assert json.loads(answer["choices"][0]["message"]["content"])["n"] in (1, 2)
    assert answer["choices"][0]["finish_reason"] == "stop"
    answer = await ask(api, response_format={"type": "json_object"})
    assert isinstance(json.loads(answer["choices"][0]["message"]["content"]), dict)


async def test_choices_are_numbered_and_differ(api: Api) -> None:
    """`n` answers side by side in one stream, each with opening and end; usage is their sum."""
    fields = {"n": 3, "max_tokens": 90, "ignore_eos": True, "seed": 1}
    *chunks, usage = await ask(api, **fields, stream=True, stream_options=USAGE)
    texts = {}
    for index in range(3):
        own = [c["choices"][0] for c in chunks if c["choices"][0]["index"] == index]
        assert own[0]["delta"] == {"role": "assistant", "content": ""}
        assert [one["finish_reason"] for one in own] == [None] * (len(own) - 1) + ["length"]
        texts[index] = "".join(one["delta"].get("content", "") for one in own)
    assert usage["usage"]["completion_tokens"] == 270
    assert len(set(texts.values())) == 3
    whole = await ask(api, **fields)
    assert [one["message"]["content"] for one in whole["choices"]] == [*texts.values()]
    assert whole["usage"]["completion_tokens"] == 270


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tool_choice": "required"}, "tools"),
        ({"tools": TOOLS, "tool_choice": {**NAMED, "function": {"name": "g"}}}, "tool_choice"),
        (
            {
                "tools": [{"function": {"name": "f", "parameters": {"type": "x"}}}],
                "tool_choice": "required",
            },
            "tools",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "x"}}}},
            "response_format",
        ),
    ],
)
async def test_tools_that_cannot_be_called_are_refused(
    api: Api, fields: dict[str, object], param: str
) -> None:
    """Before anything is queued, naming the field."""
    error = (await ask(api, **fields))["error"]
    assert error["param"] == param


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"x": schema}, "required": ["x"]}
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},  # never ends
        nested(400),
        {"type": ["string", {}]},
        {"type": "object", "properties": 5},
        {"required": 5},
        {"type": "integer", "minimum": "a"},
        {"type": "string", "pattern": "("},
    ],
    ids=["endless", "deep", "types", "properties", "required", "minimum", "pattern"],
)
async def test_a_schema_that_nothing_can_be_held_to_is_refused(
    api: Api, schema: dict[str, Any]
) -> None:
    """As a tool's parameters and as a format, by the client's field; the server goes on."""
    tools = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    for field, asked in {
        "tools": {"tools": tools, "tool_choice": "required"},
        "response_format": {"response_format": wanted},
    }.items():
        error = (await ask(api, **asked))["error"]
        assert error["type"] == "invalid_request_error"
        assert error["param"] in (field, "messages")  # that is where a template shows the tools
    assert (await ask(api))["choices"]
