"""What a worker runs next, and what came of it. Plain data."""

from typing import NamedTuple

from msgspec import Struct

from reference_engine.media import Media
from reference_engine.sequence import Sequence, TokenLogprobs


class PrefillWork(NamedTuple):
    """Compute tokens [start, start + length) of a sequence, through `layers`.

    Positions count prompt and outputs together: a preempted sequence prefills its outputs too.
    When the last known token goes through the last layer, a token is sampled.
    """

    sequence: Sequence
    start: int
    length: int
    layers: range

    def samples(self, num_layers: int) -> bool:
        """Whether a token comes of it, in a model of `num_layers`."""
        at_end = self.start + self.length == self.sequence.num_tokens
        return at_end and self.layers.stop == num_layers


class DecodeWork(Struct, frozen=True, gc=False):
    """Feed the newest token (position `num_computed_tokens`) and sample the next."""

    sequence: Sequence


class EncodeWork(NamedTuple):
    """Read one medium of a waiting sequence: `sequence.media[number]`."""

    sequence: Sequence
    number: int

    @property
    def media(self) -> Media:
        return self.sequence.media[self.number].media


class Step(NamedTuple):
    """One iteration of a worker. A sequence stands in at most one of the first three, and among
    what is encoded only if in none of them.

    `preempt` are first stripped of their blocks and go back to waiting (recompute). `receive` are
    given blocks here; their KV comes from the worker that prefilled them while steps go on, that
    of `swap_in` from host memory. That of `swap_out` goes there; a step with such computes
    nothing.
    """

    prefill: tuple[PrefillWork, ...] = ()
    decode: tuple[DecodeWork, ...] = ()
    preempt: tuple[Sequence, ...] = ()
    encode: tuple[EncodeWork, ...] = ()
    receive: tuple[Sequence, ...] = ()
    swap_out: tuple[Sequence, ...] = ()
    swap_in: tuple[Sequence, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not any(self)

    @property
    def computed(self) -> list[Sequence]:
        """Those that it computes."""
        return [work.sequence for work in self.prefill] + [work.sequence for work in self.decode]


class StepOutput(NamedTuple):
    """Sampled token ids by sequence id: all of `decode`, and each prefill that reached its end."""

    tokens: dict[int, int]
    logprobs: dict[int, TokenLogprobs] = {}  # of those that asked for them
    embeddings: dict[int, list[float]] = {}  # of prompts that end in this step, likewise

    def receivers(self, step: Step) -> list[int]:
        """Ids of those that get a token: sampled, and not cancelled meanwhile."""
        there = [one for one in step.computed if one.finish_reason is None]
        return [one.id for one in there if one.id in self.tokens]
