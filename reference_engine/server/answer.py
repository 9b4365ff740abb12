"""One sequence as text: token ids in, pieces of text out, until it ends or a stop string does.

A piece is thought, or a tool call's arguments, or text. Knows nothing of HTTP or of how answers are
spelled.
"""

from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

from reference_engine.media import Placed
from reference_engine.sequence import FinishReason, Guide, SamplingParams, Sequence
from reference_engine.server.stop_strings import StopStrings
from reference_engine.server.tokenizer import Detokenizer, Tokenizer
from reference_engine.server.tool_calls import Call, CallText
from reference_engine.specs import Capacity


class TokenSource(Protocol):
    """What the server needs of an engine."""

    @property
    def capacity(self) -> Capacity:
        """Among others how many tokens a sequence may have."""
        ...

    @property
    def is_healthy(self) -> bool:
        """Whether new sequences are taken."""
        ...

    def submit(
        self,
        prompt_ids: list[int],
        params: SamplingParams,
        guide: Guide | None = None,
        name: str | None = None,
        media: tuple[Placed, ...] = (),
    ) -> Sequence:
        """Queue a sequence. Raises EngineError if it cannot be run."""
        ...

    def tokens(self, sequence: Sequence) -> AsyncIterator[int]:
        """Ids as they are sampled; when they end, `finish_reason` is set."""
        ...

    def cancel(self, sequence: Sequence) -> None:
        """End it; does nothing to one that has finished."""
        ...

    def stop(self, sequence: Sequence) -> None:
        """As `cancel`, where the answer is complete as it is."""
        ...

    def fail(self, sequence: Sequence, error: str) -> None:
        """As `cancel`, for one that is given up: `error` says why."""
        ...

    def refuse(self, why: str) -> None:
        """Take no new sequences; those that are here go on."""
        ...

    def abort(self, why: str) -> None:
        """Take no new sequences and fail all that are here."""
        ...

    def metrics(self) -> str:
        """Counters and gauges in Prometheus' text format."""
        ...


class Kind(StrEnum):
    """What a piece of an answer is."""

    TEXT = "text"
    REASONING = "reasoning"
    CALL = "call"  # the arguments of a tool call


class TokenText(NamedTuple):
    """A token as clients see it, with its log-probability and those of the likeliest."""

    text: bytes
    logprob: float
    likeliest: tuple[tuple[bytes, float], ...]
    offset: int  # characters of the answer before it


class Piece(NamedTuple):
    """Some of an answer. Of a tool call's, the first one says which tool, and has no text.

    `tokens` are those since the last piece, where log-probabilities were asked for.
    """

    kind: Kind
    text: str
    call: Call | None = None
    tokens: tuple[TokenText, ...] = ()


class Plan(NamedTuple):
    """What an answer is made of: thinking, then text or a tool call."""

    reasoning_tokens: int = 0
    functions: tuple[str, ...] = ()  # not empty: the answer calls one of them
    is_forced: bool = False  # the client named the function itself


PLAIN: Final = Plan()
"""Text from the first token on."""


class Answer:
    """Text of one sequence. `output_tokens` counts the tokens read so far, and stays exact where
    their text is held back."""

    def __init__(
        self,
        engine: TokenSource,
        sequence: Sequence,
        tokenizer: Tokenizer,
        stops: tuple[str, ...] = (),
        plan: Plan = PLAIN,
    ) -> None:
        self._engine = engine
        self.sequence = sequence
        self._detokenizer = Detokenizer(tokenizer)
        self._token_bytes = tokenizer.token_bytes
        self._num_chars = self._num_told = 0  # of pieces so far; tokens whose logprobs were told
        self._stops = StopStrings(stops) if stops and not plan.functions else None
        self._call = CallText(plan.functions) if plan.functions else None
        self.plan = plan
        self.is_late = False  # its time was up
        self.output_tokens = 0
        self.has_ended = False  # all tokens were read
        self.finish_reason: FinishReason | None = None

    @property
    def is_read_to_its_end(self) -> bool:
        """Whether the text cannot end before the tokens do."""
        return self._stops is None

    @property
    def is_text(self) -> bool:
        """Whether it is all the text that its tokens stand for, and nothing is told beside it."""
        is_bare = self._stops is None and self._call is None and not self.plan.reasoning_tokens
        return is_bare and self.sequence.params.logprobs is None

    @property
    def reasoning_tokens(self) -> int:
        """Tokens of thinking read so far."""
        return min(self.output_tokens, self.plan.reasoning_tokens)

    @property
    def has_called(self) -> bool:
        """Whether a tool call was made, to its end."""
        guide = self.sequence.guide
        return self._call is not None and guide is not None and guide.is_complete

    def pieces(self) -> AsyncIterator[Piece]:
        """Each as soon as its tokens are there, never empty, but for the head of a call. Cancels
        the sequence when it is closed early or a stop string ends it."""
        return self._pieces() if self.sequence.params.logprobs is None else self._told()

    async def _told(self) -> AsyncIterator[Piece]:
        """With the log-probabilities of their tokens."""
        async for piece in self._pieces():
            yield piece._replace(tokens=self._tell(len(piece.text)))
        if self._num_told < self.output_tokens:  # an end token, which has no text
            yield Piece(self._last_kind(), "", tokens=self._tell(0))

    async def _pieces(self) -> AsyncIterator[Piece]:
        num_thoughts = self.plan.reasoning_tokens
        stops_from = max(self.sequence.params.min_tokens, num_thoughts)
        try:
            async for token_id in self._engine.tokens(self.sequence):
                self.output_tokens += 1
                text = self._detokenizer.push(token_id)
                if self.output_tokens <= num_thoughts:
                    if self.output_tokens == num_thoughts:
                        text += self._detokenizer.flush()
                    if text:
                        yield Piece(Kind.REASONING, text)
                    continue
                if self._call is not None:
                    for piece in self._called(text):
                        yield piece
                    continue
                if self._stops is not None and self.output_tokens > stops_from:
                    text = self._stops.push(text)
                if text:
                    yield Piece(Kind.TEXT, text)
                if self._stops is not None and self._stops.found:
                    self.finish_reason = "stop"
                    self._engine.stop(self.sequence)
                    return
            self.has_ended = True
            for piece in self._rest():
                yield piece
            self.finish_reason = self.sequence.finish_reason
        finally:
            self.cancel()

    def texts(self) -> tuple[list[str], str]:
        """What each token of an answer that `is_text` and has ended adds, empty while a character
        is incomplete, [tokens]; and what was held back at the end. In place of `pieces`."""
        texts = self._detokenizer.push_all(self.sequence.output_ids)
        self.output_tokens = len(texts)
        self.has_ended = True
        self.finish_reason = self.sequence.finish_reason
        return texts, self._detokenizer.flush()

    def _tell(self, num_chars: int) -> tuple[TokenText, ...]:
        """Log-probabilities of the tokens behind the next `num_chars` of the answer."""
        told = []
        offset = self._num_chars
        for position in range(self._num_told, self.output_tokens):
            text = self._token_bytes(self.sequence.output_ids[position])
            chosen, likeliest = self.sequence.logprobs[position]
            top = tuple((self._token_bytes(token_id), value) for token_id, value in likeliest)
            told.append(TokenText(text, chosen, top, offset))
            offset += len(text.decode(errors="replace"))
        self._num_told = self.output_tokens
        self._num_chars += num_chars
        return tuple(told)

    def cancel(self) -> None:
        """Free what the sequence holds, if it still runs."""
        self._engine.cancel(self.sequence)

    def expire(self, limit_s: float) -> None:
        """Give it up: it has had `limit_s` seconds."""
        self.is_late = not self.sequence.is_finished
        self._engine.fail(self.sequence, f"it took longer than {limit_s:g} s")

    def _called(self, text: str) -> list[Piece]:
        assert self._call is not None
        is_new = self._call.name is None
        arguments = self._call.push(text)
        pieces = [Piece(Kind.CALL, arguments)] if arguments else []
        if is_new and self._call.name is not None:
            head = Call(f"call_{self.sequence.id:016x}", self._call.name)
            pieces.insert(0, Piece(Kind.CALL, "", head))
        return pieces

    def _last_kind(self) -> Kind:
        is_thinking = 0 < self.output_tokens <= self.plan.reasoning_tokens
        return Kind.REASONING if is_thinking else Kind.TEXT

    def _rest(self) -> list[Piece]:
        """What was held back when the tokens ended. A call cut off before its name is known is
        text: who asked for so few tokens gets to see them."""
        kind, text = self._last_kind(), self._detokenizer.flush()
        pieces: list[Piece] = []
        if self._call is not None and kind is Kind.TEXT:
            pieces, text = self._called(text), self._call.unnamed
        elif self._stops is not None:
            text = self._stops.push(text) + self._stops.flush()
        return [*pieces, Piece(kind, text)] if text else pieces
