"""POST /v1/chat/completions of any OpenAI-compatible server."""

from contextlib import AbstractAsyncContextManager

from benchsuite.endpoints.base import Connection
from benchsuite.endpoints.openai_body import MaxTokensField, chat_body
from benchsuite.endpoints.openai_server import OpenAIServer
from benchsuite.request import Message, Request


class OpenAIChat(OpenAIServer, tag="openai_chat", frozen=True):
    """Chat completions, streamed."""

    max_tokens_field: MaxTokensField = "max_tokens"  # or max_completion_tokens

    def connect(self) -> AbstractAsyncContextManager[Connection]:
        return self.open("/chat/completions")

    def body(self, request: Request, messages: tuple[Message, ...]) -> bytes:
        return chat_body(
            request,
            messages,
            model=self.model,
            vendor_fields=self.vendor_fields,
            running_usage=self.running_usage,
            reasoning=self.reasoning,
            max_tokens_field=self.max_tokens_field,
            extra=self.extra(request),
        )
