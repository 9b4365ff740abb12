"""One sequence as text: token ids in, pieces of text out, until it ends or a stop string does.

Knows nothing of HTTP or of how answers are spelled.
"""

from collections.abc import AsyncIterator
from typing import Protocol

from reference_engine.sequence import FinishReason, SamplingParams, Sequence
from reference_engine.server.stop_strings import StopStrings
from reference_engine.server.tokenizer import Detokenizer, Tokenizer
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

    def submit(self, prompt_ids: list[int], params: SamplingParams) -> Sequence:
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

    def metrics(self) -> str:
        """Counters and gauges in Prometheus' text format."""
        ...


class Answer:
    """Text of one sequence. `output_tokens` counts the tokens read so far, and stays exact where
    their text is held back."""

    def __init__(
        self,
        engine: TokenSource,
        sequence: Sequence,
        tokenizer: Tokenizer,
        stops: tuple[str, ...] = (),
    ) -> None:
        self._engine = engine
        self._sequence = sequence
        self._detokenizer = Detokenizer(tokenizer)
        self._stops = StopStrings(stops) if stops else None
        self.output_tokens = 0
        self.finish_reason: FinishReason | None = None

    async def pieces(self) -> AsyncIterator[str]:
        """Non-empty pieces, each as soon as its tokens are there. Cancels the sequence when it is
        closed early or a stop string ends it."""
        min_tokens = self._sequence.params.min_tokens
        try:
            async for token_id in self._engine.tokens(self._sequence):
                self.output_tokens += 1
                text = self._detokenizer.push(token_id)
                if self._stops is not None and self.output_tokens > min_tokens:
                    text = self._stops.push(text)
                if text:
                    yield text
                if self._stops is not None and self._stops.found:
                    self.finish_reason = "stop"
                    self._engine.stop(self._sequence)
                    return
            if text := self._rest():
                yield text
            self.finish_reason = self._sequence.finish_reason
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Free what the sequence holds, if it still runs."""
        self._engine.cancel(self._sequence)

    def _rest(self) -> str:
        """What was held back when the tokens ended."""
        rest = self._detokenizer.flush()
        if self._stops is None:
            return rest
        return self._stops.push(rest) + self._stops.flush()
