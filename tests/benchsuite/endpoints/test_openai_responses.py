"""/v1/responses says what chat says, in other words."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsuite.endpoints.openai_responses import OpenAIResponses, has_token
from benchsuite.errors import ScenarioError
from benchsuite.exchange import Exchange, Kind, Response, Usage
from benchsuite.message import (
    AudioPart,
    ImagePart,
    Message,
    TextPart,
    Tool,
    ToolCall,
    VideoPart,
)
from benchsuite.request import Request, Scripted
from tests.dialects import count_tokens
from tests.responses import (
    AGENT,
    BEGUN,
    FUNCTION,
    MESSAGE,
    PLAIN,
    completed,
    said,
    texts,
    usage,
    whole,
)
from tests.scripted_server import FAULTS, Script, Step, answer, scripted_server, stream

C, R, T = Kind.CONTENT, Kind.REASONING, Kind.TOOL_CALL
ENDPOINT = OpenAIResponses(url="http://localhost", model="m")
HELLO = (Message("user", "Say hello."),)


def request(**more: Any) -> Request:
    return Request(0, Scripted(HELLO, 3), 3, 40, **more)


def exchange(*reads: bytes, framing: Any = "http", **more: Any) -> Exchange:
    return Exchange(
        request_id=0,
        stamp_source="virtual",
        framing=framing,
        reads=list(reads),
        read_s=[float(i) for i in range(len(reads))],
        **more,
    )


def decode(script: Script) -> Response:
    """What a script means when each of its steps is one read."""
    return ENDPOINT.decode(exchange(*(step.data for step in script.steps)), count_tokens)


def test_a_plain_answer() -> None:
    """Deltas are chunks of the read that brought them; usage is read under its other names."""
    response = decode(PLAIN)
    assert [(c.kind, c.text, c.tokens) for c in response.chunks] == [
        (C, " a", 1),
        (C, " b", 1),
        (C, " c", 1),
    ]
    assert [PLAIN.steps[c.read].data.count(b"output_text.delta") > 0 for c in response.chunks] == [
        True
    ] * 3
    assert response.usage == Usage(9, 3, 4, 0)
    assert (response.finish_reason, response.error_class) == ("stop", None)


def test_an_agent_s_answer() -> None:
    """Reasoning, then a call whose arguments came in pieces."""
    response = decode(AGENT)
    assert [(c.kind, c.text) for c in response.chunks] == [
        (R, " hm"),
        (T, "f"),
        (T, '{"x"'),
        (T, ":1}"),
    ]
    assert response.tool_calls == (ToolCall("call_1", "f", '{"x":1}'),)
    assert (response.finish_reason, response.output_tokens) == ("tool_calls", 6)


def test_a_call_without_deltas() -> None:
    """What the finished item says counts where nothing was streamed; it is not counted twice."""
    item = FUNCTION | {"arguments": "{}"}
    done = said("output_item.done", output_index=0, item=item)
    added = said("output_item.added", output_index=0, item=FUNCTION | {"arguments": ""})
    for events in ((BEGUN, added, done), (BEGUN, done)):
        response = decode(stream(*events, completed(usage=usage(9, 2))))
        assert response.tool_calls == (ToolCall("call_1", "f", "{}"),)
        assert "".join(c.text for c in response.chunks) == "f{}"


@pytest.mark.parametrize("script", [PLAIN, AGENT])
@given(at=st.lists(st.integers(0, 5_000), max_size=12))
def test_cuts_change_nothing_but_the_read(script: Script, at: list[int]) -> None:
    """However the bytes are cut into reads, they mean the same."""
    data = script.data
    places = sorted({0, len(data), *(place % (len(data) + 1) for place in at)})
    cut = ENDPOINT.decode(exchange(*(data[a:b] for a, b in pairwise(places))), count_tokens)
    uncut = ENDPOINT.decode(exchange(data), count_tokens)
    same = cut.columns._replace(read=uncut.columns.read)
    assert cut._replace(columns=same) == uncut


def test_a_whole_answer() -> None:
    """A document instead of events: thought, said and called."""
    body = whole(
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]},
        {"type": "message", "content": [{"type": "output_text", "text": "yes"}]},
        FUNCTION | {"arguments": "{}"},
    )
    response = ENDPOINT.decode(
        exchange(answer("200 OK", body, "content-type: application/json")), count_tokens
    )
    assert [(c.kind, c.text) for c in response.chunks] == [(R, "hm"), (C, "yes"), (T, "f{}")]
    assert response.tool_calls == (ToolCall("call_1", "f", "{}"),)
    assert (response.finish_reason, response.usage) == ("tool_calls", Usage(9, 3, 0, 0))


@pytest.mark.parametrize(
    ("last", "finish", "error_class"),
    [
        (
            said("incomplete", response={"incomplete_details": {"reason": "max_output_tokens"}}),
            "length",
            None,
        ),
        (
            said("incomplete", response={"incomplete_details": {"reason": "content_filter"}}),
            "content_filter",
            None,
        ),
        (said("failed", response={"error": {"message": "boom"}}), None, "server_error"),
        (b'data: {"type": "error", "message": "boom"}\n\n', None, "server_error"),
        (b"data: {oops\n\n", None, "malformed_event"),
        (b"", None, "truncated"),
    ],
)
def test_ends(last: bytes, finish: str | None, error_class: str | None) -> None:
    """Cut off, filtered, failed, broken, or gone: what came is kept."""
    response = decode(stream(BEGUN, MESSAGE, *texts(" a"), last))
    assert (response.finish_reason, response.error_class) == (finish, error_class)
    assert response.text == " a"
    if error_class == "server_error":
        assert response.error == "boom"


SEEN_IN_THE_BYTES = (
    "short_of_its_length",
    "bad_chunk_size",
    "garbage",
    "endless_headers",
    "huge_line",
    "stream_without_end",
    "invalid_utf8",
    "malformed_event",
    "gzip_unasked",
    "web_page",
    "too_many_requests",
    "unavailable",
    "redirect",
)


@pytest.mark.parametrize("name", SEEN_IN_THE_BYTES)
def test_faults_are_those_of_chat(name: str) -> None:
    """Whatever breaks on the way is called here what it is called there."""
    assert decode(FAULTS[name].script).error_class == FAULTS[name].error_class


def test_a_transport_s_error_stays() -> None:
    """What the transport saw comes first; what was understood is kept."""
    broken = exchange(*(step.data for step in PLAIN.steps[:6]), error_class="reset", error="gone")
    response = ENDPOINT.decode(broken, count_tokens)
    assert (response.error_class, response.error, response.text) == ("reset", "gone", " a b")


def test_body() -> None:
    """Input, limit, and that nothing shall be kept on the server."""
    assert json.loads(ENDPOINT.body(request(), HELLO)) == {
        "model": "m",
        "input": [{"role": "user", "content": "Say hello."}],
        "stream": True,
        "store": False,
        "max_output_tokens": 40,
    }


def test_an_agent_s_body() -> None:
    """Thoughts, calls and answers are items of their own; tools lie flat; effort has its place."""
    messages = (
        Message("assistant", "So:", (ToolCall("c1", "f", "{}"),), reasoning="hm"),
        Message("tool", "42", tool_call_id="c1"),
    )
    asked = request(tools=(Tool("f", "adds"),), tool_choice="f", effort="low", ignore_eos=True)
    body = json.loads(ENDPOINT.body(asked, messages))
    thought = [{"type": "reasoning_text", "text": "hm"}]
    assert body["input"] == [
        {"type": "reasoning", "summary": [], "content": thought},
        {"role": "assistant", "content": "So:"},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "42"},
    ]
    nothing = {"type": "object", "properties": {}}
    assert body["tools"] == [
        {"type": "function", "name": "f", "description": "adds", "parameters": nothing}
    ]
    assert body["tool_choice"] == {"type": "function", "name": "f"}
    assert (body["reasoning"], body["ignore_eos"]) == ({"effort": "low"}, True)


def test_a_body_that_shows_something() -> None:
    """Images, sound and film; an assistant's text is an output."""
    film = VideoPart((ImagePart("data:2", "low"),))
    shown = Message("user", (TextPart("?"), ImagePart("data:1"), AudioPart("AA==", "wav"), film))
    said_before = Message("assistant", (TextPart("ok"),))
    body = json.loads(ENDPOINT.body(request(), (shown, said_before)))
    assert body["input"][0]["content"] == [
        {"type": "input_text", "text": "?"},
        {"type": "input_image", "image_url": "data:1", "detail": "auto"},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        {"type": "input_image", "image_url": "data:2", "detail": "low"},
    ]
    assert body["input"][1]["content"] == [{"type": "output_text", "text": "ok"}]


@pytest.mark.parametrize("asked", [{"num_samples": 2}, {"is_batch": True}])
def test_what_this_api_has_not_is_refused(asked: dict[str, Any]) -> None:
    """One answer a request."""
    with pytest.raises(ScenarioError, match="one answer a request"):
        ENDPOINT.body(request(**asked), HELLO)


async def test_over_a_socket() -> None:
    """The path, the body, and the answer with its stamps."""
    models = Script((Step(answer("200 OK", b'{"data": []}')),))
    async with scripted_server(models, PLAIN) as server:
        endpoint = OpenAIResponses(url=server.url, model="m", transport="aiohttp")
        async with endpoint.connect() as connection:
            found = await connection.send(0, endpoint.body(request(), HELLO))
        assert [one.path for one in server.requests] == ["/v1/models", "/v1/responses"]
    response = endpoint.decode(found, count_tokens)
    assert (response.text, response.error_class) == (" a b c", None)


def test_a_token_is_none_of_the_events_around_it() -> None:
    """Before the first delta nothing has been generated."""
    assert not has_token(exchange(BEGUN, MESSAGE, framing="none", http_status=200))
    assert has_token(exchange(BEGUN, *texts(" a"), framing="none", http_status=200))
