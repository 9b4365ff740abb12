"""How chat completions and completions spell an answer: whole, or as server-sent events.

Events are built once around a mark and cut there, so a token costs one string escape and a join.
"""

import json
from typing import Final, NamedTuple, Protocol

import msgspec
from msgspec import UNSET, Struct

from reference_engine.server.protocol import (
    AssistantMessage,
    ChatChoice,
    ChatChunk,
    ChatChunkChoice,
    ChatCompletion,
    ChunkUsage,
    Completion,
    CompletionChoice,
    Delta,
    PromptTokensDetails,
    StreamOptions,
    Usage,
)

DONE: Final = b"data: [DONE]\n\n"

_MARK: Final = "\0"
_ENCODER: Final = msgspec.json.Encoder()


class Head(NamedTuple):
    """What every part of one answer repeats."""

    id: str
    created: int  # Unix time, seconds
    model: str


class Format(Protocol):
    """One of the two APIs."""

    id_prefix: str

    def opening(self, head: Head, usage: ChunkUsage) -> Struct | None:
        """What goes before the first text of a stream, if anything."""
        ...

    def part(
        self, head: Head, text: str | None, finish_reason: str | None, usage: ChunkUsage
    ) -> Struct:
        """A part of a stream; text None in the one that only says why it ends."""
        ...

    def counts(self, head: Head, usage: Usage) -> Struct:
        """The part of a stream that has the token counts and no choice."""
        ...

    def whole(self, head: Head, text: str, finish_reason: str, usage: Usage) -> Struct:
        """The answer in one piece."""
        ...


class ChatFormat:
    """/v1/chat/completions"""

    id_prefix = "chatcmpl-"

    def opening(self, head: Head, usage: ChunkUsage) -> Struct:
        return self._chunk(head, [ChatChunkChoice(Delta(role="assistant", content=""))], usage)

    def part(
        self, head: Head, text: str | None, finish_reason: str | None, usage: ChunkUsage
    ) -> Struct:
        choice = ChatChunkChoice(Delta(content=text), finish_reason=finish_reason)
        return self._chunk(head, [choice], usage)

    def counts(self, head: Head, usage: Usage) -> Struct:
        return self._chunk(head, [], usage)

    def whole(self, head: Head, text: str, finish_reason: str, usage: Usage) -> Struct:
        choice = ChatChoice(AssistantMessage(text), finish_reason=finish_reason)
        return ChatCompletion(head.id, "chat.completion", head.created, head.model, [choice], usage)

    def _chunk(self, head: Head, choices: list[ChatChunkChoice], usage: ChunkUsage) -> Struct:
        kind = "chat.completion.chunk"
        return ChatChunk(head.id, kind, head.created, head.model, choices, usage)


class CompletionFormat:
    """/v1/completions"""

    id_prefix = "cmpl-"

    def opening(self, head: Head, usage: ChunkUsage) -> None:
        return None

    def part(
        self, head: Head, text: str | None, finish_reason: str | None, usage: ChunkUsage
    ) -> Struct:
        choice = CompletionChoice(text or "", finish_reason=finish_reason)
        return self._completion(head, [choice], usage)

    def counts(self, head: Head, usage: Usage) -> Struct:
        return self._completion(head, [], usage)

    def whole(self, head: Head, text: str, finish_reason: str, usage: Usage) -> Struct:
        choice = CompletionChoice(text, finish_reason=finish_reason)
        return self._completion(head, [choice], usage)

    def _completion(self, head: Head, choices: list[CompletionChoice], usage: ChunkUsage) -> Struct:
        kind = "text_completion"
        return Completion(head.id, kind, head.created, head.model, choices, usage)


CHAT: Final[Format] = ChatFormat()
COMPLETION: Final[Format] = CompletionFormat()


def count_usage(prompt_tokens: int, output_tokens: int, cached_tokens: int) -> Usage:
    """The counts of a whole answer."""
    total = prompt_tokens + output_tokens
    return Usage(prompt_tokens, output_tokens, total, PromptTokensDetails(cached_tokens))


class EventWriter:
    """The server-sent events of one answer."""

    def __init__(self, spelling: Format, head: Head, prompt_tokens: int, options: StreamOptions):
        self._spelling, self._head, self._prompt_tokens = spelling, head, prompt_tokens
        self._has_usage = bool(options.include_usage)
        self._is_running = self._has_usage and bool(options.continuous_usage_stats)
        model = spelling.part(head, _MARK, None, None if self._has_usage else UNSET)
        self._before, _, self._after = _event(model).rpartition(_ENCODER.encode(_MARK))
        # Running counts take the place of null, the last field.
        self._until_usage = self._after.removesuffix(b"null}\n\n")

    def opening(self) -> bytes:
        """The event before the first text; empty if this API has none."""
        opening = self._spelling.opening(self._head, self._usage(0))
        return b"" if opening is None else _event(opening)

    def text(self, text: str, output_tokens: int) -> bytes:
        """The event for a piece of text, `output_tokens` into the answer."""
        if self._is_running:
            counts = _ENCODER.encode(self._usage(output_tokens))
            return b"%b%b%b%b}\n\n" % (self._before, _escape(text), self._until_usage, counts)
        return b"%b%b%b" % (self._before, _escape(text), self._after)

    def closing(self, finish_reason: str, usage: Usage) -> bytes:
        """The events that end the answer: why it ends, the counts if asked for, `[DONE]`."""
        running = self._usage(usage.completion_tokens)
        end = _event(self._spelling.part(self._head, None, finish_reason, running))
        counts = _event(self._spelling.counts(self._head, usage)) if self._has_usage else b""
        return end + counts + DONE

    def _usage(self, output_tokens: int) -> ChunkUsage:
        if self._is_running:
            total = self._prompt_tokens + output_tokens
            return Usage(self._prompt_tokens, output_tokens, total)
        return None if self._has_usage else UNSET


def error_event(body: bytes) -> bytes:
    """An error in the midst of a stream."""
    return b"data: %b\n\n" % body


def _event(part: Struct) -> bytes:
    return b"data: %b\n\n" % _ENCODER.encode(part)


def _escape(text: str) -> bytes:
    """JSON string. Beyond ASCII all is escaped: some clients split lines with `str.splitlines`,
    to which U+0085, U+2028 and U+2029 are line ends."""
    return _ENCODER.encode(text) if text.isascii() else json.dumps(text).encode()
