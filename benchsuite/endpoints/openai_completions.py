"""POST /v1/completions of any OpenAI-compatible server: the messages' text is the prompt."""

from contextlib import AbstractAsyncContextManager

from benchsuite.endpoints.base import Connection
from benchsuite.endpoints.openai_body import completions_body
from benchsuite.endpoints.openai_server import OpenAIServer
from benchsuite.request import Message, Request


class OpenAICompletions(OpenAIServer, tag="openai_completions", frozen=True):
    """Text completions, streamed."""

    def connect(self) -> AbstractAsyncContextManager[Connection]:
        return self.open("/completions")

    def body(self, request: Request, messages: tuple[Message, ...]) -> bytes:
        return completions_body(
            request,
            messages,
            model=self.model,
            vendor_fields=self.vendor_fields,
            running_usage=self.running_usage,
            extra=self.extra(request),
        )
