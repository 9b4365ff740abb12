"""/v1/responses, by the official client and by the suite's own."""

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from benchsuite.endpoints.openai_dialect import decode_stream
from benchsuite.endpoints.responses_events import as_chat
from benchsuite.exchange import Exchange, Kind
from reference_engine.behaviour import Behaviour
from reference_engine.config import EngineConfig
from reference_engine.executors import Roofline
from reference_engine.server.api import Api, open_api
from reference_engine.server.app import bind, serve, url
from reference_engine.server.reply import EventStream
from reference_engine.server.tokenizer import ByteTokenizer
from tests.reference_engine.server.scripted_engine import ScriptedEngine

PARAMETERS = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
TOOL: Any = {"type": "function", "name": "f", "parameters": PARAMETERS, "strict": False}
ASK: dict[str, Any] = {"model": "tiny", "input": "hello", "max_output_tokens": 200}


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    behaviour = Behaviour(low_tokens=6, spread=0.0)
    config = EngineConfig(executor=Roofline(overhead_s=0.0), behaviour=behaviour)
    async with open_api(config) as server:
        yield server


@pytest.fixture
async def client(api: Api) -> AsyncIterator[openai.AsyncOpenAI]:
    listener = bind("127.0.0.1", 0)
    async with (
        serve(api, listener),
        openai.AsyncOpenAI(
            base_url=f"{url(listener)}/v1", api_key="none", max_retries=0
        ) as official,
    ):
        yield official


async def raw(api: Api, **fields: Any) -> bytes:
    body = json.dumps(ASK | fields | {"stream": True}).encode()
    reply = await api.handle("POST", "/v1/responses", body)
    assert isinstance(reply.body, EventStream)
    return b"".join([item async for item in reply.body])


async def test_events_come_in_openai_s_order(api: Api) -> None:
    """Numbered without a gap, each item opened, filled, closed; the last event has it all."""
    text = (await raw(api, reasoning={"effort": "low"}, max_output_tokens=9)).decode()
    events = []
    for block in text.removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        events.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {events[-1]['type']}"
    assert [event["sequence_number"] for event in events] == [*range(len(events))]
    kinds = [event["type"].removeprefix("response.") for event in events]
    once = [kind for kind, last in zip(kinds, [None, *kinds], strict=False) if kind != last]
    part = ["content_part.added", "{}.delta", "{}.done", "content_part.done"]
    item = ["output_item.added", *part, "output_item.done"]
    assert once == [
        "created",
        "in_progress",
        *(name.format("reasoning_text") for name in item),
        *(name.format("output_text") for name in item),
        "incomplete",
    ]
    response = events[-1]["response"]
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert [one["type"] for one in response["output"]] == ["reasoning", "message"]
    assert [one["item"] for one in events if one["type"].endswith("item.done")] == (
        response["output"]
    )
    assert response["usage"]["output_tokens"] == 9
    assert response["usage"]["output_tokens_details"] == {"reasoning_tokens": 6}


async def test_the_official_clients_stream_helper(client: openai.AsyncOpenAI) -> None:
    """It rebuilds the response from the events, thought and call in it."""
    asked = {**ASK, "reasoning": {"effort": "low"}, "tools": [TOOL], "tool_choice": "required"}
    async with client.responses.stream(**asked) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert kinds[-1] == "response.completed"
    assert "response.function_call_arguments.delta" in kinds
    thought, call = final.output
    assert (thought.type, call.type) == ("reasoning", "function_call")
    assert json.loads(call.arguments).keys() == {"a"}


async def test_a_whole_response_and_the_turn_after_it(client: openai.AsyncOpenAI) -> None:
    """The same text as streamed; its items can be sent back with the call's result."""
    fields: Any = {
        **ASK,
        "text": {"format": {"type": "json_schema", "name": "x", "schema": PARAMETERS}},
        "extra_body": {"seed": 3},
    }
    whole = await client.responses.create(**fields)
    async with client.responses.stream(**fields) as stream:
        streamed = await stream.get_final_response()
    assert whole.output_text == streamed.output_text != ""
    asked: Any = {**ASK, "tools": [TOOL], "tool_choice": {"type": "function", "name": "f"}}
    called = await client.responses.create(**asked)
    (call,) = called.output
    history: Any = [
        {"role": "user", "content": [{"type": "input_text", "text": "hello"}]},
        *[item.model_dump() for item in called.output],
        {"type": "function_call_output", "call_id": call.call_id, "output": "5"},
    ]
    later = await client.responses.create(**ASK | {"input": history})
    assert later.usage is not None
    assert called.usage is not None
    assert later.usage.input_tokens > len(call.arguments) + len("hello")


async def test_the_suites_client_reads_it(api: Api) -> None:
    """Thought and arguments as chunks of their kind, tokens and reason exact."""
    fields = {"reasoning": {"effort": "low"}, "tools": [TOOL], "tool_choice": "required"}
    data = await raw(api, **fields)
    exchange = Exchange(
        request_id=0,
        stamp_source="virtual",
        framing="none",
        reads=[data],
        read_s=[0.0],
        http_status=200,
    )
    response = decode_stream(as_chat(exchange), len)
    assert (response.error_class, response.finish_reason) == (None, "tool_calls")
    assert response.usage is not None
    assert response.usage.reasoning_tokens == 6
    kinds = [chunk.kind for chunk in response.chunks]
    assert set(kinds) == {Kind.REASONING, Kind.TOOL_CALL}
    assert kinds == sorted(kinds, key=[Kind.REASONING, Kind.TOOL_CALL].index)


async def test_a_failure_is_the_last_event() -> None:
    """`response.failed` with what happened, after what was sent."""
    api = Api(ScriptedEngine(list(b"abc"), fails_after=2), ByteTokenizer(), "tiny")
    last = (await raw(api, max_output_tokens=5)).split(b"\n\n")[-2]
    assert last.startswith(b"event: response.failed\n")
    assert b"the scripted failure" in last
