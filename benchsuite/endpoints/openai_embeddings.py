"""POST /v1/embeddings: latency only. An answer holds vectors and no tokens."""

from contextlib import AbstractAsyncContextManager

import msgspec
from msgspec import Raw, Struct

from benchsuite.endpoints import http_framing
from benchsuite.endpoints.base import Connection, Exchange, Response, TokenCounter, Usage
from benchsuite.endpoints.openai_body import encoded
from benchsuite.endpoints.openai_dialect import decode_stream, has_token
from benchsuite.endpoints.openai_server import OpenAIServer
from benchsuite.errors import ScenarioError
from benchsuite.exchange import EMBEDDED, NO_CHUNKS
from benchsuite.request import Message, Request


class _Usage(Struct):
    prompt_tokens: int | None = None


class _Answer(Struct):
    data: list[Raw]
    usage: _Usage | None = None


class OpenAIEmbeddings(OpenAIServer, tag="openai_embeddings", frozen=True):
    """Embeddings: when each answer was there; tokens are those of the prompts."""

    def connect(self) -> AbstractAsyncContextManager[Connection]:
        return self.open("/embeddings", has_token)

    def body(self, request: Request, messages: tuple[Message, ...]) -> bytes:
        """The messages' texts, joined by newlines, are the input; of a batch each is one.

        Raises ScenarioError where a message holds more than text.
        """
        if any(not isinstance(message.content, str) for message in messages) or request.tools:
            raise ScenarioError("endpoint openai_embeddings takes text only")
        texts = [message.text for message in messages]
        fields = {"model": self.model, "input": texts if request.is_batch else "\n".join(texts)}
        return encoded(fields | {"encoding_format": "float"} | self.body_fields)

    def decode(self, exchange: Exchange, count_tokens: TokenCounter) -> Response:
        """One vector for each input, or an error; every error that chat knows is one here too."""
        is_framed = exchange.framing == "http"
        framed = (http_framing.unframe if is_framed else http_framing.unframed)(exchange.reads)
        try:
            answer = msgspec.json.decode(framed.body, type=_Answer)
        except (msgspec.DecodeError, RecursionError):
            answer = None
        if answer is None or exchange.error_class or framed.error_class or not answer.data:
            failed = decode_stream(exchange, count_tokens)
            return failed._replace(
                columns=NO_CHUNKS,
                error_class=failed.error_class or "malformed_event",
                error=failed.error or f"no embeddings: {framed.body[:80]!r}",
            )
        prompt_tokens = answer.usage.prompt_tokens if answer.usage is not None else None
        return Response(
            columns=NO_CHUNKS,
            usage=Usage(prompt_tokens, None, None, None),
            tokens_from="usage",
            finish_reason=EMBEDDED,
            error_class=None,
            error=None,
        )
