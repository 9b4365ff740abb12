"""The seam between deciding and computing: all that a worker knows about how steps are run."""

from collections.abc import Sequence as Seq
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from reference_engine.sequence import Sequence
from reference_engine.step import Step, StepOutput


class Foresight(Protocol):
    """What an executor knows of steps to come that computes nothing."""

    def decode_times_s(self, step: Step, num_steps: int) -> NDArray[np.float64]:
        """How long each of `num_steps` decodes takes, the first of them `step`, [steps]."""
        ...

    def next_tokens(self, sequence: Sequence, num_tokens: int) -> list[int]:
        """Ids that will be sampled next, of a sequence without a guide, [num_tokens]."""
        ...


class StepExecutor(Protocol):
    """Carries out steps, one at a time.

    The blocks a step needs are in its sequences' block tables when `execute` is called. A block is
    offered for reuse by other sequences only after the step that filled it has returned. What
    `encode` asks for is kept by the medium's key until it is forgotten; a sequence is prefilled
    only after its media.
    """

    @property
    def has_logits(self) -> bool:
        """Whether tokens come of a model, so that their probabilities are known."""
        ...

    @property
    def looks_ahead(self) -> bool:
        """Whether a decode is begun before it is asked for, if there is a block for its token."""
        ...

    @property
    def foresight(self) -> Foresight | None:
        """What is known of steps beforehand; None of those that compute."""
        ...

    async def execute(self, step: Step) -> StepOutput:
        """Run `step` and sample. Reads the sequences, never changes them.

        A sequence seen for the first time may start at start > 0: the KV of [0, start) then
        stands in the blocks at the front of its table, computed earlier for another sequence.
        Any exception fails the sequences of this step and no others.
        """
        ...

    def release(self, sequence: Sequence) -> None:
        """Forget what is held for `sequence`: it finished or was preempted.

        Called between steps, also for one never executed. A preempted sequence may come back, with
        its outputs as part of what is prefilled. Its blocks may still serve the prefix cache.
        """
        ...

    def forget(self, key: bytes) -> None:
        """Drop what was encoded of the medium with this key. Called between steps."""
        ...

    async def read_blocks(self, blocks: Seq[int]) -> Any:
        """A copy of the KV in `blocks`, a last one that is filled in part included, for a worker
        alike. Called between steps, before their sequence is released.
        """
        ...

    async def write_blocks(self, blocks: Seq[int], content: Any) -> None:
        """Put what another worker's `read_blocks` gave where a sequence that comes with these
        blocks finds it, as after a prefix hit. Steps may run meanwhile.
        """
        ...

    async def swap_out(self, blocks: Seq[int]) -> Any:
        """As `read_blocks`, into host memory, to be given to `swap_in` of this executor."""
        ...

    async def swap_in(self, blocks: Seq[int], content: Any) -> None:
        """As `write_blocks`, of what `swap_out` gave."""
        ...

    def read_media(self, key: bytes) -> Any:
        """What was encoded of the medium with this key, for a worker alike."""
        ...

    async def write_media(self, key: bytes, num_tokens: int, content: Any) -> None:
        """Keep what another worker's `read_media` gave, as if encoded here."""
        ...

    def close(self) -> None:
        """Give back threads and memory. No call follows."""
        ...
