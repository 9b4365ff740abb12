"""A conversation as one prompt text, by the model's own template or a ChatML-like default.

Templates come with model folders that strangers made, so they run in jinja2's sandbox, set up as
Hugging Face's `apply_chat_template` does.
"""

import time
from collections.abc import Sequence
from typing import Final, NoReturn

import msgspec
from jinja2 import Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

CHATML: Final = (
    "{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


class ChatMessage(msgspec.Struct, frozen=True):
    """Who says what."""

    role: str
    content: str


class ChatTemplateError(ValueError):
    """The template refuses these messages, or cannot be read."""


class ChatTemplate:
    """A jinja2 template with the special tokens it may name (`bos_token`, `eos_token`)."""

    def __init__(self, source: str | None = None, tokens: dict[str, str] | None = None) -> None:
        self._template = _compile(CHATML if source is None else source)
        self._tokens = tokens or {}

    def render(self, messages: Sequence[ChatMessage]) -> str:
        """The conversation as text, up to where the assistant's answer begins."""
        try:
            return self._template.render(
                messages=[{"role": m.role, "content": m.content} for m in messages],
                add_generation_prompt=True,
                **self._tokens,
            )
        except TemplateError as error:
            raise ChatTemplateError(f"the chat template refuses the messages: {error}") from error


def _compile(source: str) -> Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals |= {"raise_exception": _refuse, "strftime_now": time.strftime}
    try:
        return environment.from_string(source)
    except TemplateError as error:
        raise ChatTemplateError(f"the chat template cannot be read: {error}") from error


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)
