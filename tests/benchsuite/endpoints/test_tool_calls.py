"""Calls come out whole, however a server cuts them up."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsuite.endpoints.tool_calls import tool_calls
from benchsuite.exchange import Exchange
from benchsuite.message import ToolCall
from tests.dialects import DIALECTS, chunk
from tests.scripted_server import DONE, answer, stream


def calls_of(*reads: bytes, framing: Any = "http") -> tuple[ToolCall, ...]:
    return tool_calls(
        Exchange(
            request_id=0,
            stamp_source="virtual",
            framing=framing,
            reads=list(reads),
            read_s=[0.0] * len(reads),
        )
    )


def piece(index: int | None, arguments: Any = None, **more: Any) -> dict[str, Any]:
    """A delta that adds to one call."""
    function = {"arguments": arguments} if arguments is not None else {}
    if name := more.pop("name", None):
        function["name"] = name
    where = {} if index is None else {"index": index}
    return {"tool_calls": [where | more | {"function": function}]}


def streamed(*deltas: dict[str, Any]) -> tuple[ToolCall, ...]:
    return calls_of(stream(*map(chunk, deltas), chunk({}, "tool_calls"), DONE).data)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vllm_tools_required", ToolCall("call_1", "get_weather", '{"city"}')),
        ("vllm_tools_named", ToolCall("call_1", "f", '{"a":1}')),
        ("guidellm_mock_tools", ToolCall("call_1", "get_weather", '{"city":"Oslo"}')),
        ("function_call", ToolCall("call_0", "f", "{}")),
    ],
)
def test_dialects(name: str, expected: ToolCall) -> None:
    """Real servers' streams; arguments stay as written, even where they are no JSON."""
    assert calls_of(DIALECTS[name].script.data) == (expected,)


def test_calls_that_come_interleaved() -> None:
    """Each delta goes to the call of its index."""
    found = streamed(
        piece(0, "", id="a", name="f"),
        piece(1, "", id="b", name="g"),
        piece(1, '{"y"'),
        piece(0, '{"x"'),
        piece(0, ":1}"),
        piece(1, ":2}"),
    )
    assert found == (ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", '{"y":2}'))


def test_servers_without_index_or_with_one_index_for_all() -> None:
    """A new id begins a new call; without an id the last one goes on."""
    expected = (ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", "{}"))
    for index in (None, 0):
        begun = (piece(index, '{"x"', id="a", name="f"), piece(index, ":1}"))
        assert streamed(*begun, piece(index, "{}", id="b", name="g")) == expected


def test_a_whole_answer() -> None:
    """One JSON document; arguments as an object; a call without an id gets one."""
    function = {"name": "f", "arguments": {"x": 1}}
    message = {"role": "assistant", "content": None, "tool_calls": [{"function": function}]}
    body = json.dumps({"choices": [{"index": 0, "message": message}]}).encode()
    data = answer("200 OK", body, "content-type: application/json")
    assert calls_of(data) == (ToolCall("call_0", "f", '{"x": 1}'),)
    assert calls_of(body, framing="none") == (ToolCall("call_0", "f", '{"x": 1}'),)


def test_other_choices_and_junk_are_passed_over() -> None:
    """Only the first choice is the answer; what is no JSON was reported by decoding."""
    other = chunk(piece(0, "{}", id="z", name="z"), index=1)
    junk = b"data: {oops\n\ndata: [1]\n\n"
    data = stream(other, junk, chunk({"content": "no calls", "tool_calls": "x"}), DONE).data
    assert calls_of(data) == ()


@given(st.lists(st.integers(1, 400), max_size=8))
def test_cuts_change_nothing(at: list[int]) -> None:
    """However the bytes are cut into reads, the calls are the same."""
    data = DIALECTS["vllm_tools_required"].script.data
    places = sorted({0, len(data), *(place % len(data) for place in at)})
    assert calls_of(*(data[a:b] for a, b in pairwise(places))) == calls_of(data)
