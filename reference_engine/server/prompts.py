"""Texts and conversations as token ids; long ones on a thread: other streams need not wait."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from reference_engine.server.chat_template import ChatPrompt, ChatTemplateError
from reference_engine.server.media import Encoded
from reference_engine.server.protocol.errors import ApiError
from reference_engine.server.protocol.messages import chat_prompt
from reference_engine.server.protocol.requests import ChatRequest, TokenizeRequest
from reference_engine.server.tokenizer import Tokenizer

_LONG_TEXT: Final = 4096  # characters; about a millisecond of tokenizing

Result = TypeVar("Result")


class Prompts:
    """Encodes for one tokenizer. Without `threads` everything is done at once."""

    def __init__(
        self, tokenizer: Tokenizer, threads: ThreadPoolExecutor | None, image_tokens: int
    ) -> None:
        self._tokenizer, self._threads, self._image_tokens = tokenizer, threads, image_tokens

    async def text(self, text: str) -> list[int]:
        """Token ids of a text."""
        return await self._encode(lambda: self._tokenizer.encode(text), len(text))

    async def prompt(self, prompt: str | list[int]) -> list[int]:
        """Token ids of a prompt that may be some already."""
        return await self.text(prompt) if isinstance(prompt, str) else prompt

    async def _encode(self, encode: Callable[[], Result], size: int) -> Result:
        """Run `encode` for a text of `size` characters, on a thread if it takes long."""
        return encode() if size < _LONG_TEXT else await self.on_thread(encode)

    async def on_thread(self, work: Callable[[], Result]) -> Result:
        """Other streams go on meanwhile, where there is a thread."""
        if self._threads is None:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def chat(self, request: ChatRequest | TokenizeRequest) -> Encoded:
        """Raises ApiError for what the template or a medium's decoder refuses."""
        messages = request.messages or []

        def read() -> ChatPrompt:
            settings = request.chat_template_kwargs
            return chat_prompt(messages, request.tools, settings, self._image_tokens)

        has_media = any(message.has_media for message in messages)
        prompt = await self.on_thread(read) if has_media else read()
        try:
            return await self._encode(lambda: self._tokenizer.encode_chat(prompt), prompt.num_chars)
        except ChatTemplateError as error:
            raise ApiError(400, str(error), param="messages") from error
