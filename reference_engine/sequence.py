"""A request inside the engine: its tokens, where it stands, which blocks hold its KV, and when.

Knows nothing of text, tensors or scheduling. The worker and the engine change it.
"""

from asyncio import Future
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Literal, NamedTuple, Protocol

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from reference_engine.media import Placed

FinishReason = Literal["stop", "length", "cancelled", "error"]


class Phase(StrEnum):
    """Where a sequence stands. A preempted one waits again, or is swapped until its KV is back."""

    WAITING = "waiting"
    ENCODING = "encoding"
    PREFILLING = "prefilling"
    TRANSFERRING = "transferring"
    DECODING = "decoding"
    SWAPPED = "swapped"
    FINISHED = "finished"


class SamplingParams(Struct, frozen=True, kw_only=True):
    """How tokens are drawn and when a sequence ends.

    `stop_token_ids` (EOS among them) end it with reason "stop", not before `min_tokens` outputs
    and not at all under `ignore_eos`; the stop token is the last id handed out. A token drawn is a
    pure function of (`seed`, or the sequence id without one, and its position), so a preemption
    never changes the answer.
    """

    max_tokens: Annotated[int, Meta(ge=1)]
    min_tokens: Annotated[int, Meta(ge=0)] = 0
    ignore_eos: bool = False
    temperature: Annotated[float, Meta(ge=0)] = 1.0  # 0 = greedy
    top_p: Annotated[float, Meta(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Meta(ge=0)] = 0  # 0 = all
    min_p: Annotated[float, Meta(ge=0, le=1)] = 0.0  # of the likeliest token's probability
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: Annotated[float, Meta(gt=0)] = 1.0
    logprobs: Annotated[int, Meta(ge=0)] | None = None  # so many likeliest beside the drawn one
    seed: int | None = None
    stop_token_ids: tuple[int, ...] = ()
    priority: int = 0  # lower first
    ttft_slo_s: Annotated[float, Meta(gt=0)] | None = None  # until its first token; for `deadline`
    embed: bool = False  # also keep the mean of the prompt's hidden states

    @property
    def has_penalties(self) -> bool:
        """Whether tokens seen before change what may come."""
        return bool(
            self.presence_penalty or self.frequency_penalty or self.repetition_penalty != 1.0
        )


class TokenLogprobs(NamedTuple):
    """Natural logarithms of the model's own probabilities, before anything is left out."""

    chosen: float
    likeliest: tuple[tuple[int, float], ...]  # ids with theirs, likeliest first


class GuideError(Exception):
    """The guide cannot follow the answer any further; the text says why."""


class Guide(Protocol):
    """Which tokens an answer may go on with. Follows one sequence; has its state."""

    @property
    def is_complete(self) -> bool:
        """Whether the answer is whole: it ends here unless it is told to go on."""
        ...

    def allowed(self) -> NDArray[np.bool_] | None:
        """By token id, whether it may come next; ids beyond the end may not. None: any may."""
        ...

    def advance(self, token: int) -> None:
        """Take the token that came. Raises GuideError."""
        ...


class Sequence:
    """One prompt and the tokens that follow it. Compared and hashed by identity.

    `num_computed_tokens` KV entries stand in `block_table`'s blocks, in order. Of those,
    `num_cached_tokens` were found in the prefix cache when it was first admitted. `stamps_s` holds
    the loop time at which each phase was first entered.
    """

    __slots__ = (
        "arrived_s",
        "block_hashes",
        "block_table",
        "embedding",
        "end_waiter",
        "error",
        "finish_reason",
        "guide",
        "id",
        "is_guide_lost",
        "last_token_s",
        "logprobs",
        "media",
        "name",
        "num_cached_tokens",
        "num_computed_tokens",
        "num_encoded",
        "num_layers_done",
        "num_preemptions",
        "num_prompt_tokens",
        "num_published_blocks",
        "on_phase",
        "output_ids",
        "output_s",
        "params",
        "phase",
        "prompt_ids",
        "readers",
        "stamps_s",
        "stop_ids",
        "token_limit",
        "waiter",
        "wake",
    )

    def __init__(
        self,
        id: int,
        prompt_ids: list[int],
        params: SamplingParams,
        *,
        now_s: float = 0.0,
        max_model_len: int | None = None,
        guide: Guide | None = None,
        media: tuple[Placed, ...] = (),
    ) -> None:
        self.id = id
        self.prompt_ids = prompt_ids
        self.params = params
        self.guide = guide
        self.num_prompt_tokens = len(prompt_ids)
        room = params.max_tokens if max_model_len is None else max_model_len - len(prompt_ids)
        self.token_limit = min(params.max_tokens, room)  # outputs after which it ends
        self.stop_ids = frozenset(() if params.ignore_eos else params.stop_token_ids)
        self.output_ids: list[int] = []
        self.logprobs: list[TokenLogprobs] = []  # of each output, where they were asked for
        self.phase = Phase.WAITING
        self.num_computed_tokens = 0
        self.num_cached_tokens = 0
        self.num_layers_done = 0  # that the tokens after those computed have passed already
        self.num_preemptions = 0
        self.media = media
        self.num_encoded = 0  # of `media`: their encoder outputs are held
        self.readers: tuple[int, ...] = ()  # worker of each of `media`, while they are read
        self.block_table: list[int] = []
        self.block_hashes: list[bytes] = []  # of its whole blocks so far; see blocks.py
        self.num_published_blocks = 0  # blocks offered to the prefix cache
        self.arrived_s = now_s
        self.last_token_s = now_s
        self.stamps_s: dict[Phase, float] = {Phase.WAITING: now_s}
        self.finish_reason: FinishReason | None = None
        self.error: str | None = None  # what failed, with reason "error"
        self.is_guide_lost = False  # that is what failed
        self.embedding: list[float] = []  # [hidden], if it was asked for
        self.waiter: Future[None] | None = None
        self.end_waiter: Future[None] | None = None  # of who waits for the end alone
        self.output_s: list[float] | None = None  # when each output came, where that is asked for
        self.wake: Callable[[Future[None]], None] = _let_go  # how `waiter` is
        self.name: str | None = None  # as the client knows it
        self.on_phase: Callable[[Sequence, Phase, float], None] | None = None  # told of each

    @property
    def num_tokens(self) -> int:
        """Tokens known so far: prompt and outputs."""
        return self.num_prompt_tokens + len(self.output_ids)

    @property
    def max_kv_tokens(self) -> int:
        """KV entries it needs at most: the last output is never fed back."""
        return self.num_prompt_tokens + self.token_limit - 1

    @property
    def needs_encoder(self) -> bool:
        """Whether some of its media are still to be read: it cannot be prefilled."""
        return self.num_encoded < len(self.media)

    @property
    def is_finished(self) -> bool:
        return self.finish_reason is not None

    def token_ids(self, start: int, length: int) -> list[int]:
        """Ids at positions [start, start + length) of prompt and outputs together."""
        end = start + length
        split = self.num_prompt_tokens
        if end <= split:
            return self.prompt_ids[start:end]
        return self.prompt_ids[start:] + self.output_ids[max(0, start - split) : end - split]

    def enter(self, phase: Phase, now_s: float) -> None:
        """Move to `phase`; the first entry of each is stamped."""
        self.phase = phase
        self.stamps_s.setdefault(phase, now_s)
        if self.on_phase is not None:
            self.on_phase(self, phase, now_s)

    def append(self, token: int, now_s: float) -> None:
        """Take a sampled token; it may be the last."""
        outputs = self.output_ids
        outputs.append(token)
        self.last_token_s = now_s
        if self.output_s is not None:
            self.output_s.append(now_s)
        is_last = token in self.stop_ids
        if self.guide is not None:
            try:
                self.guide.advance(token)
            except GuideError as error:
                self.is_guide_lost = True
                self.finish("error", now_s, str(error))
                return
            is_last |= self.guide.is_complete and not self.params.ignore_eos
        if is_last and len(outputs) >= self.params.min_tokens:
            self.finish("stop", now_s)
        elif len(outputs) >= self.token_limit:
            self.finish("length", now_s)
        elif self.waiter is not None:
            self.notify()

    def append_all(self, tokens: list[int], at_s: list[float]) -> None:
        """Take several of which none is the last."""
        self.output_ids += tokens
        self.last_token_s = at_s[-1]
        if self.output_s is not None:
            self.output_s += at_s
        self.notify()

    def finish(self, reason: FinishReason, now_s: float, error: str | None = None) -> None:
        """End it once and for all, and tell whoever waits for its tokens."""
        self.finish_reason = reason
        self.error = error
        self.enter(Phase.FINISHED, now_s)
        self.notify()
        if self.end_waiter is not None and not self.end_waiter.done():
            self.end_waiter.set_result(None)

    def notify(self) -> None:
        """Wake the consumer, if it waits."""
        waiter = self.waiter
        if waiter is not None:
            self.waiter = None
            self.wake(waiter)


def _let_go(waiter: Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
