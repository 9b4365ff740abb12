"""Calls that a server took for text."""

import pytest

from benchsuite.tools.in_text import calls_in_text


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('Sure. <tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>', "f"),
        ('<tool_call>{"name": "f", "arg', "f"),
        ('[TOOL_CALLS][{"name": "f", "arguments": {}}]', "f"),
        ('<|python_tag|>{"name": "f", "parameters": {}}', "f"),
        ('<function=f>{"x": 1}</function>', "f"),
        ("<tool_call>oops</tool_call>", ""),
    ],
)
def test_calls_that_the_server_took_for_text(text: str, name: str) -> None:
    """Found by their marks; without an id, since they were no calls for the client."""
    (call,) = calls_in_text(text)
    assert (call.id, call.name) == ("", name)


def test_plain_text_holds_no_call() -> None:
    """Words about tools are none."""
    assert calls_in_text('Call the tool f with {"name": "x"}.') == ()
