"""A conversation as one prompt text, by the model's own template or a ChatML-like default.

Templates come with model folders that strangers made, so they run in jinja2's sandbox, set up as
Hugging Face's `apply_chat_template` does.
"""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

import msgspec
from jinja2 import Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from reference_engine.media import Media

CHATML: Final = (
    "{% if tools %}"
    "<|im_start|>system\n{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}<|im_end|>\n"
    "{% endif %}"
    "{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "{% for call in message['tool_calls'] %}{{ call['function'] | tojson }}\n{% endfor %}"
    "<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


class ChatMessage(msgspec.Struct, frozen=True):
    """Who says what, and by `more` whatever else a template may read (`tool_calls`, `name`)."""

    role: str
    content: str
    more: Mapping[str, Any] = {}


class ChatPrompt(msgspec.Struct, frozen=True):
    """All that a template is given: the messages, the tools that may be called, settings."""

    messages: Sequence[ChatMessage]
    tools: Sequence[Mapping[str, Any]] = ()
    settings: Mapping[str, Any] = {}  # the client's `chat_template_kwargs`
    media: Sequence[Media] = ()  # by the numbers of their marks in the contents

    @property
    def num_chars(self) -> int:
        """About how long its text is."""
        tools = sum(len(str(tool)) for tool in self.tools)
        return tools + sum(len(one.content) + len(str(one.more)) for one in self.messages)


class ChatTemplateError(ValueError):
    """The template refuses these messages, or cannot be read."""


class ChatTemplate:
    """A jinja2 template with the special tokens it may name (`bos_token`, `eos_token`)."""

    def __init__(self, source: str | None = None, tokens: dict[str, str] | None = None) -> None:
        self._template = _compile(CHATML if source is None else source)
        self._tokens = tokens or {}

    def render(self, prompt: ChatPrompt) -> str:
        """The conversation as text, up to where the assistant's answer begins."""
        given: dict[str, Any] = {
            **self._tokens,
            **prompt.settings,
            "messages": [
                {"role": one.role, "content": one.content, **one.more} for one in prompt.messages
            ],
            "tools": list(prompt.tools) or None,
            "add_generation_prompt": True,
        }
        try:
            return self._template.render(given)
        except _FAULTS as error:
            raise ChatTemplateError(f"the chat template refuses the messages: {error}") from error


_FAULTS: Final = (
    *(TemplateError, ArithmeticError, LookupError, RecursionError, TypeError, ValueError),
)
"""What a template may raise, given whatever a client sends."""


def _compile(source: str) -> Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _json  # jinja2's own escapes for HTML
    environment.globals |= {"raise_exception": _refuse, "strftime_now": time.strftime}
    try:
        return environment.from_string(source)
    except TemplateError as error:
        raise ChatTemplateError(f"the chat template cannot be read: {error}") from error


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)
