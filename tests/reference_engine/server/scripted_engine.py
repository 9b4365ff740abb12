"""An engine that emits the ids it was told, for tests of the server alone."""

import asyncio
from collections.abc import AsyncGenerator

from reference_engine.media import Placed
from reference_engine.sequence import Guide, SamplingParams, Sequence
from reference_engine.specs import Capacity, EngineError


class ScriptedEngine:
    """Emits `ids` to every sequence, then as many of the last one as are asked for.

    `fails_after`: the engine gives up on a sequence after so many tokens. `is_stuck`: it emits
    nothing more after `ids`.
    """

    def __init__(
        self,
        ids: list[int],
        *,
        max_model_len: int = 256,
        cached_tokens: int = 0,
        fails_after: int | None = None,
        is_stuck: bool = False,
    ) -> None:
        self.ids = ids
        self.capacity = Capacity(
            num_blocks=64, block_size=16, max_sequences=8, max_model_len=max_model_len
        )
        self.cached_tokens, self.fails_after, self.is_stuck = cached_tokens, fails_after, is_stuck
        self.sequences: list[Sequence] = []
        self._ends: dict[int, asyncio.Event] = {}  # of those that were given up
        self.is_healthy = True
        self.refusal: EngineError | None = None
        self.is_waiting = asyncio.Event()  # set once a stuck one has emitted all it will
        self.is_cancelled = asyncio.Event()

    def submit(
        self,
        prompt_ids: list[int],
        params: SamplingParams,
        guide: Guide | None = None,
        name: str | None = None,
        media: tuple[Placed, ...] = (),
    ) -> Sequence:
        if self.refusal is not None:
            raise self.refusal
        sequence = Sequence(len(self.sequences), prompt_ids, params, guide=guide, media=media)
        sequence.num_cached_tokens = self.cached_tokens
        self.sequences.append(sequence)
        return sequence

    async def tokens(self, sequence: Sequence) -> AsyncGenerator[int, None]:
        params = sequence.params
        for position in range(params.max_tokens):
            if position == self.fails_after:
                sequence.finish("error", 0.0, "the scripted failure")
                return
            if self.is_stuck and position >= len(self.ids):
                self.is_waiting.set()
                await self._ended(sequence).wait()
                return
            await asyncio.sleep(0)
            token_id = self.ids[min(position, len(self.ids) - 1)]
            sequence.output_ids.append(token_id)
            yield token_id
            if token_id in params.stop_token_ids and not params.ignore_eos:
                sequence.finish("stop", 0.0)
                return
        sequence.finish("length", 0.0)

    def cancel(self, sequence: Sequence) -> None:
        if not sequence.is_finished:
            self.is_cancelled.set()
            sequence.finish("cancelled", 0.0)

    def stop(self, sequence: Sequence) -> None:
        if not sequence.is_finished:
            sequence.finish("stop", 0.0)

    def fail(self, sequence: Sequence, error: str) -> None:
        if not sequence.is_finished:
            sequence.finish("error", 0.0, error)
            self._ended(sequence).set()

    def refuse(self, why: str) -> None:
        self.is_healthy, self.refusal = False, EngineError(why)

    def abort(self, why: str) -> None:
        self.refuse(why)
        for sequence in self.sequences:
            self.fail(sequence, why)

    def _ended(self, sequence: Sequence) -> asyncio.Event:
        return self._ends.setdefault(sequence.id, asyncio.Event())

    def metrics(self) -> str:
        return "scripted_sequences_total 0\n"
