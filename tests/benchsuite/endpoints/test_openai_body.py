"""Request bodies say what was asked, and vendor fields only where they are known."""

import json
from typing import Any

import pytest

from benchsuite.endpoints.openai_body import chat_body, completions_body
from benchsuite.errors import ScenarioError
from benchsuite.request import ImagePart, Message, Request, Scripted, TextPart

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
