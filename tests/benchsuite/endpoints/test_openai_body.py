"""Request bodies say what was asked, and vendor fields only where they are known."""

import json
from typing import Any

import pytest

from benchsuite.endpoints.openai_body import chat_body, completions_body
from benchsuite.endpoints.reasoning_fields import ReasoningFields
from benchsuite.errors import ScenarioError
from benchsuite.request import (
    AudioPart,
    ImagePart,
    Message,
    Request,
    Scripted,
    TextPart,
    Tool,
    ToolCall,
    VideoPart,
)

HELLO = (Message("user", "Say hello."),)
IMAGE = (Message("user", (TextPart("What is it?"), ImagePart("data:image/png;base64,AA=="))),)


def request(**more: Any) -> Request:
    return Request(0, Scripted(HELLO, 3), 3, 40, **more)


def test_chat_body() -> None:
    """A streamed chat with usage, and no more fields than needed."""
    assert json.loads(chat_body(request(), HELLO, model="m")) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Say hello."}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 40,
    }


def test_completions_body() -> None:
    """The messages' texts are the prompt."""
    messages = (Message("system", "Be brief."), Message("user", (TextPart("Say "), TextPart("hi"))))
    assert json.loads(completions_body(request(), messages, model="m")) == {
        "model": "m",
        "prompt": "Be brief.\nSay hi",
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 40,
    }


@pytest.mark.parametrize("make", [chat_body, completions_body])
def test_options(make: Any) -> None:
    """Exact lengths by vendor fields, unless the server refuses those; one field for the limit."""
    exact = request(ignore_eos=True)
    body = json.loads(make(exact, HELLO, model="m", running_usage=True))
    assert (body["ignore_eos"], body["min_tokens"], body["max_tokens"]) == (True, 40, 40)
    assert body["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}
    body = json.loads(
        make(
            exact,
            HELLO,
            model="m",
            vendor_fields=False,
            max_tokens_field="max_completion_tokens",
        )
    )
    assert not {"ignore_eos", "min_tokens", "max_tokens"} & set(body)
    assert body["max_completion_tokens"] == 40


@pytest.mark.parametrize("make", [chat_body, completions_body])
def test_who_asks_and_how_urgently(make: Any) -> None:
    """A request's own model (a LoRA adapter) wins; `priority` is a vendor field."""
    told = request(priority=0, tenant="acme", model="adapter")
    body = json.loads(make(told, HELLO, model="m"))
    assert (body["model"], body["user"], body["priority"]) == ("adapter", "acme", 0)
    body = json.loads(make(told, HELLO, model="m", vendor_fields=False))
    assert (body["user"], "priority" in body) == ("acme", False)


def test_extra_fields_come_last() -> None:
    """A scenario's own fields override ours; null takes one of ours out."""
    extra = {"temperature": 0, "max_tokens": 5, "stream_options": None}
    body = json.loads(chat_body(request(), HELLO, model="m", extra=extra))
    assert (body["temperature"], body["max_tokens"]) == (0, 5)
    assert "stream_options" not in body


def test_images_are_parts_of_a_chat() -> None:
    """As OpenAI writes them."""
    assert json.loads(chat_body(request(), IMAGE, model="m"))["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is it?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
            ],
        }
    ]


def test_completions_take_no_images() -> None:
    """Said as the user's mistake, with what to do."""
    with pytest.raises(ScenarioError, match="openai_chat"):
        completions_body(request(), IMAGE, model="m")


SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


def test_an_agent_s_conversation() -> None:
    """Calls, their answers and reasoning go back as the API has them; arguments word for word."""
    said = (
        Message("assistant", None, (ToolCall("c1", "f", '{"city": "Oslo"'),), reasoning="hm"),
        Message("tool", "rain", tool_call_id="c1"),
    )
    asked = request(tools=(Tool("f", "Weather.", SCHEMA), Tool("g")), tool_choice="f")
    body = json.loads(chat_body(asked, said, model="m"))
    function = {"name": "f", "arguments": '{"city": "Oslo"'}
    assert body["messages"] == [
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "hm",
            "tool_calls": [{"id": "c1", "type": "function", "function": function}],
        },
        {"role": "tool", "content": "rain", "tool_call_id": "c1"},
    ]
    nothing = {"type": "object", "properties": {}}
    assert body["tools"] == [
        {
            "type": "function",
            "function": {"name": "f", "description": "Weather.", "parameters": SCHEMA},
        },
        {"type": "function", "function": {"name": "g", "parameters": nothing}},
    ]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert (
        json.loads(chat_body(request(tool_choice="required"), HELLO, model="m"))["tool_choice"]
        == "required"
    )


def test_sound_and_film() -> None:
    """Sound as `input_audio`; a video is its frames."""
    film = VideoPart((ImagePart("data:1", "low"), ImagePart("data:2")))
    message = Message("user", (AudioPart("AA==", "wav"), film))
    body = json.loads(chat_body(request(), (message,), model="m"))
    assert body["messages"][0]["content"] == [
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        {"type": "image_url", "image_url": {"url": "data:1", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:2"}},
    ]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (ReasoningFields(), {"reasoning_effort": "low", "thinking_token_budget": 64}),
        (
            ReasoningFields(
                effort="chat_template_kwargs.effort",
                switch="chat_template_kwargs.enable_thinking",
                budget="thinking.budget_tokens",
            ),
            {
                "chat_template_kwargs": {"enable_thinking": True, "effort": "low"},
                "thinking": {"budget_tokens": 64},
            },
        ),
        (ReasoningFields(effort=None, budget=None), {}),
    ],
)
def test_reasoning_is_spelt_as_the_server_has_it(
    fields: ReasoningFields, expected: dict[str, Any]
) -> None:
    """Effort, switch and budget, each where the scenario says; nothing is sent unasked."""
    asked = request(effort="low", thinking_budget=64)
    plain = json.loads(chat_body(request(), HELLO, model="m", reasoning=fields))
    body = json.loads(chat_body(asked, HELLO, model="m", reasoning=fields))
    assert {k: v for k, v in body.items() if k not in plain} == expected


def test_what_the_scenario_s_body_says_of_reasoning_stays() -> None:
    """`endpoint.body` goes last, also inside an object; effort `none` turns the switch off."""
    fields = ReasoningFields(effort=None, switch="chat_template_kwargs.enable_thinking")
    extra = {"chat_template_kwargs": {"tone": "dry"}}
    asked = request(effort="none")
    body = json.loads(chat_body(asked, HELLO, model="m", reasoning=fields, extra=extra))
    assert body["chat_template_kwargs"] == {"enable_thinking": False, "tone": "dry"}
    forced = {"chat_template_kwargs": {"enable_thinking": True}}
    body = json.loads(chat_body(asked, HELLO, model="m", reasoning=fields, extra=forced))
    assert body["chat_template_kwargs"] == {"enable_thinking": True}
    body = json.loads(
        chat_body(request(effort="low"), HELLO, model="m", extra={"reasoning_effort": None})
    )
    assert "reasoning_effort" not in body


def test_samples_and_batches() -> None:
    """`n` asks for several answers; a batch is a list of prompts, which a chat has no place for."""
    two = (Message("user", "one"), Message("user", "two"))
    assert json.loads(chat_body(request(num_samples=3), HELLO, model="m"))["n"] == 3
    body = json.loads(completions_body(request(is_batch=True), two, model="m"))
    assert (body["prompt"], "n" in body) == (["one", "two"], False)
    with pytest.raises(ScenarioError, match="openai_completions"):
        chat_body(request(is_batch=True), two, model="m")


@pytest.mark.parametrize(
    ("asked", "message", "said"),
    [
        ({"tools": (Tool("f"),)}, HELLO[0], "has no tools"),
        ({"effort": "low"}, HELLO[0], "has no reasoning effort"),
        ({"thinking_budget": 9}, HELLO[0], "has no reasoning effort"),
        ({}, Message("user", (AudioPart("AA==", "wav"),)), "takes text only"),
        ({}, Message("assistant", None, (ToolCall("c", "f", "{}"),)), "tool calls need"),
        ({}, Message("tool", "42", tool_call_id="c"), "tool calls need"),
    ],
)
def test_completions_refuse_what_they_have_no_place_for(
    asked: dict[str, Any], message: Message, said: str
) -> None:
    """Nothing is dropped in silence."""
    with pytest.raises(ScenarioError, match=said):
        completions_body(request(**asked), (message,), model="m")
