"""How chat completions and completions spell an answer: whole, or as server-sent events.

Events are built once around a mark and cut there, so a token costs one string escape and a join.
"""

import json
from collections.abc import Sequence
from itertools import repeat
from typing import Final, NamedTuple, Protocol

import msgspec
from msgspec import UNSET, Struct, UnsetType

from reference_engine.server.answer import Kind, Piece, TokenText
from reference_engine.server.protocol.answers import (
    AssistantMessage,
    ChatChoice,
    ChatChunk,
    ChatChunkChoice,
    ChatCompletion,
    ChatLogprobs,
    ChunkUsage,
    Completion,
    CompletionChoice,
    CompletionLogprobs,
    Delta,
    FunctionDelta,
    Likely,
    Timings,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from reference_engine.server.protocol.errors import ApiError
from reference_engine.server.protocol.messages import FunctionCall, ToolCall
from reference_engine.server.protocol.requests import StreamOptions
from reference_engine.server.tool_calls import Call

DONE: Final = b"data: [DONE]\n\n"

_MARK: Final = "\0"
_ENCODER: Final = msgspec.json.Encoder()


class Head(NamedTuple):
    """What every part of one answer repeats."""

    id: str
    created: int  # Unix time, seconds
    model: str


class Whole(NamedTuple):
    """One finished choice. Its call, if any, has the arguments as text."""

    text: str
    reasoning: str
    call: Call | None
    arguments: str
    finish_reason: str
    tokens: tuple[TokenText, ...] = ()  # where log-probabilities were asked for


class Writer(Protocol):
    """How a stream is spelt."""

    def opening(self, index: int) -> bytes:
        """What goes before the first piece of a choice."""
        ...

    def piece(self, index: int, piece: Piece, output_tokens: int) -> bytes:
        """A piece of a choice, `output_tokens` into the answer."""
        ...

    def texts(self, index: int, texts: Sequence[str], output_tokens: Sequence[int]) -> list[bytes]:
        """Pieces that are text and nothing else, an event each: `output_tokens[i]` into the
        answer, [pieces]."""
        ...

    def end(self, index: int, finish_reason: str, output_tokens: int) -> bytes:
        """Why a choice ends."""
        ...

    def closing(self, usage: Usage, timings: Timings) -> bytes:
        """What ends the stream."""
        ...

    def failure(self, error: ApiError) -> bytes:
        """What ends it instead, if the engine gave up."""
        ...


class Format(Protocol):
    """One of the APIs."""

    id_prefix: str

    def writer(self, head: Head, prompt_tokens: int, options: StreamOptions) -> Writer:
        """Spells one stream."""
        ...

    def whole(self, head: Head, choices: list[Whole], usage: Usage, timings: Timings) -> Struct:
        """The answer in one piece."""
        ...


class Chunks(Protocol):
    """The parts of a stream of chat or completions. `index` numbers the choices of an answer."""

    def opening(self, head: Head, index: int, usage: ChunkUsage) -> Struct | None:
        """What goes before the first piece of a stream, if anything."""
        ...

    def part(self, head: Head, index: int, piece: Piece, usage: ChunkUsage) -> Struct:
        """A part of a stream."""
        ...

    def end(self, head: Head, index: int, finish_reason: str, usage: ChunkUsage) -> Struct:
        """The part of a stream that says why a choice ends."""
        ...

    def counts(self, head: Head, usage: Usage, timings: Timings) -> Struct:
        """The part of a stream that has counts and times, and no choice."""
        ...


class ChatFormat:
    """/v1/chat/completions"""

    id_prefix = "chatcmpl-"

    def writer(self, head: Head, prompt_tokens: int, options: StreamOptions) -> Writer:
        return EventWriter(self, head, prompt_tokens, options)

    def opening(self, head: Head, index: int, usage: ChunkUsage) -> Struct:
        return self._chunk(head, [ChatChunkChoice(_ROLE, index)], usage)

    def part(self, head: Head, index: int, piece: Piece, usage: ChunkUsage) -> Struct:
        choice = ChatChunkChoice(_delta(piece), index, _chat_logprobs(piece.tokens))
        return self._chunk(head, [choice], usage)

    def end(self, head: Head, index: int, finish_reason: str, usage: ChunkUsage) -> Struct:
        choice = ChatChunkChoice(Delta(), index, finish_reason=finish_reason)
        return self._chunk(head, [choice], usage)

    def counts(self, head: Head, usage: Usage, timings: Timings) -> Struct:
        return self._chunk(head, [], usage, timings)

    def whole(self, head: Head, choices: list[Whole], usage: Usage, timings: Timings) -> Struct:
        told = [
            ChatChoice(_message(one), index, _chat_logprobs(one.tokens), one.finish_reason)
            for index, one in enumerate(choices)
        ]
        kind = "chat.completion"
        return ChatCompletion(head.id, kind, head.created, head.model, told, usage, timings)

    def _chunk(
        self,
        head: Head,
        choices: list[ChatChunkChoice],
        usage: ChunkUsage,
        timings: Timings | UnsetType = UNSET,
    ) -> Struct:
        kind = "chat.completion.chunk"
        return ChatChunk(head.id, kind, head.created, head.model, choices, usage, timings)


class CompletionFormat:
    """/v1/completions"""

    id_prefix = "cmpl-"

    def writer(self, head: Head, prompt_tokens: int, options: StreamOptions) -> Writer:
        return EventWriter(self, head, prompt_tokens, options)

    def opening(self, head: Head, index: int, usage: ChunkUsage) -> None:
        return None

    def part(self, head: Head, index: int, piece: Piece, usage: ChunkUsage) -> Struct:
        choice = CompletionChoice(piece.text, index, _completion_logprobs(piece.tokens))
        return self._completion(head, [choice], usage)

    def end(self, head: Head, index: int, finish_reason: str, usage: ChunkUsage) -> Struct:
        choice = CompletionChoice("", index, finish_reason=finish_reason)
        return self._completion(head, [choice], usage)

    def counts(self, head: Head, usage: Usage, timings: Timings) -> Struct:
        return self._completion(head, [], usage, timings)

    def whole(self, head: Head, choices: list[Whole], usage: Usage, timings: Timings) -> Struct:
        told = [
            CompletionChoice(one.text, index, _completion_logprobs(one.tokens), one.finish_reason)
            for index, one in enumerate(choices)
        ]
        return self._completion(head, told, usage, timings)

    def _completion(
        self,
        head: Head,
        choices: list[CompletionChoice],
        usage: ChunkUsage,
        timings: Timings | UnsetType = UNSET,
    ) -> Struct:
        kind = "text_completion"
        return Completion(head.id, kind, head.created, head.model, choices, usage, timings)


CHAT: Final[Format] = ChatFormat()
COMPLETION: Final[Format] = CompletionFormat()

_ROLE: Final = Delta(role="assistant", content="")


def _delta(piece: Piece) -> Delta:
    if piece.kind is Kind.TEXT:
        return Delta(content=piece.text)
    if piece.kind is Kind.REASONING:
        return Delta(reasoning_content=piece.text)
    if piece.call is None:
        return Delta(tool_calls=[ToolCallDelta(0, function=FunctionDelta(arguments=piece.text))])
    function = FunctionDelta(piece.call.name, "")
    return Delta(tool_calls=[ToolCallDelta(0, piece.call.id, "function", function)])


def _chat_logprobs(tokens: tuple[TokenText, ...]) -> ChatLogprobs | None:
    if not tokens:
        return None
    content = []
    for token in tokens:
        top = [Likely(_shown(text), value, list(text)) for text, value in token.likeliest]
        content.append(TokenLogprob(_shown(token.text), token.logprob, list(token.text), top))
    return ChatLogprobs(content)


def _completion_logprobs(tokens: tuple[TokenText, ...]) -> CompletionLogprobs | None:
    if not tokens:
        return None
    return CompletionLogprobs(
        [_shown(token.text) for token in tokens],
        [token.logprob for token in tokens],
        [{_shown(text): value for text, value in token.likeliest} for token in tokens],
        [token.offset for token in tokens],
    )


def _shown(text: bytes) -> str:
    return text.decode(errors="replace")


def _message(choice: Whole) -> AssistantMessage:
    """Content is null beside a call, as with OpenAI."""
    message = AssistantMessage(choice.text or (None if choice.call else ""))
    if choice.reasoning:
        message.reasoning_content = choice.reasoning
    if choice.call is not None:
        function = FunctionCall(choice.call.name, choice.arguments)
        message.tool_calls = [ToolCall(choice.call.id, function)]
    return message


class EventWriter:
    """The server-sent events of one answer."""

    def __init__(self, spelling: Chunks, head: Head, prompt_tokens: int, options: StreamOptions):
        self._spelling, self._head, self._prompt_tokens = spelling, head, prompt_tokens
        self._has_usage = bool(options.include_usage)
        self._is_running = self._has_usage and bool(options.continuous_usage_stats)
        self._frames: dict[tuple[int, Kind], tuple[bytes, bytes]] = {}

    def opening(self, index: int) -> bytes:
        """The event before the first text of a choice; empty if this API has none."""
        opening = self._spelling.opening(self._head, index, self._usage(0))
        return b"" if opening is None else _event(opening)

    def piece(self, index: int, piece: Piece, output_tokens: int) -> bytes:
        """The event for a piece of a choice, `output_tokens` into the answer."""
        if piece.call is not None or piece.tokens:
            running = self._usage(output_tokens)
            return _event(self._spelling.part(self._head, index, piece, running))
        frame = self._frames.get((index, piece.kind))
        before, after = frame or self._frame(index, piece.kind)
        if self._is_running:  # the counts take the place of null, the last field
            counts = _ENCODER.encode(self._usage(output_tokens))
            after = b"%b%b}\n\n" % (after.removesuffix(b"null}\n\n"), counts)
        return b"%b%b%b" % (before, _escape(piece.text), after)

    def texts(self, index: int, texts: Sequence[str], output_tokens: Sequence[int]) -> list[bytes]:
        """An event for each."""
        if self._is_running:
            pieces = [Piece(Kind.TEXT, text) for text in texts]
            return list(map(self.piece, repeat(index), pieces, output_tokens))
        before, after = self._frames.get((index, Kind.TEXT)) or self._frame(index, Kind.TEXT)
        return [b"%b%b%b" % (before, escaped, after) for escaped in map(_escape, texts)]

    def end(self, index: int, finish_reason: str, output_tokens: int) -> bytes:
        """The event that says why a choice ends."""
        running = self._usage(output_tokens)
        return _event(self._spelling.end(self._head, index, finish_reason, running))

    def closing(self, usage: Usage, timings: Timings) -> bytes:
        """The events that end the stream: counts and times if asked for, `[DONE]`."""
        if not self._has_usage:
            return DONE
        return _event(self._spelling.counts(self._head, usage, timings)) + DONE

    def failure(self, error: ApiError) -> bytes:
        """The event that tells of an error in the midst of a stream."""
        return b"data: %b\n\n" % error.body()

    def _frame(self, index: int, kind: Kind) -> tuple[bytes, bytes]:
        """What stands before and after the text of such an event."""
        usage = None if self._has_usage else UNSET
        model = self._spelling.part(self._head, index, Piece(kind, _MARK), usage)
        before, _, after = _event(model).rpartition(_ENCODER.encode(_MARK))
        self._frames[index, kind] = before, after
        return before, after

    def _usage(self, output_tokens: int) -> ChunkUsage:
        if self._is_running:
            total = self._prompt_tokens + output_tokens
            return Usage(self._prompt_tokens, output_tokens, total)
        return None if self._has_usage else UNSET


def event_data(said: object) -> bytes:
    """The data of an event of any kind, and its end."""
    data = _ENCODER.encode(said)
    if not data.isascii():
        data = json.dumps(msgspec.to_builtins(said)).encode()
    return b"data: %b\n\n" % data


def _event(part: Struct) -> bytes:
    return b"data: %b\n\n" % _ENCODER.encode(part)


def _escape(text: str) -> bytes:
    """JSON string. Beyond ASCII all is escaped: some clients split lines with `str.splitlines`,
    to which U+0085, U+2028 and U+2029 are line ends."""
    return _ENCODER.encode(text) if text.isascii() else json.dumps(text).encode()
