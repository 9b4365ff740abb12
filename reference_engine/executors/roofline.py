"""Takes as long as a step would at best on a given device, and computes nothing.

Tokens are a fixed function of (seed, position). On a virtual-time loop an hour passes in seconds.
"""

import asyncio
from collections.abc import Sequence as Seq
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reference_engine.executors.base import Foresight
from reference_engine.executors.costs import decode_times_s, step_cost
from reference_engine.sequence import Sequence
from reference_engine.specs import DeviceSpec, ModelShape
from reference_engine.step import Step, StepOutput
from reference_engine.virtual_time import VirtualTimeLoop

# Odd 64-bit constants of splitmix64 (Steele et al., OOPSLA 2014): neighbours land far apart.
_SEED_STRIDE: Final = 0xBF58476D1CE4E5B9
_POSITION_STRIDE: Final = 0x9E3779B97F4A7C15
_MASK: Final = 0xFFFFFFFFFFFFFFFF


def step_overhead_s(overhead_s: float, prefill_overhead_s: float | None, *, decodes: bool) -> float:
    """Of a step that prefills: its own, or `overhead_s` if it has none. One that also `decodes`
    takes the longer, so that work added to a step never shortens it.
    """
    if prefill_overhead_s is None:
        return overhead_s
    return max(overhead_s, prefill_overhead_s) if decodes else prefill_overhead_s


class RooflineExecutor:
    """Sleeps max(FLOPs / peak, bytes / bandwidth) + overhead for each step."""

    has_logits = False
    looks_ahead = False

    def __init__(
        self,
        shape: ModelShape,
        device: DeviceSpec,
        overhead_s: float = 0.0,
        seed: int = 0,
        *,
        block_size: int = 16,
        link_bytes_per_s: float = 50e9,
        overhead_per_sequence_s: float = 0.0,
        prefill_overhead_s: float | None = None,
    ) -> None:
        self._shape = shape
        self._vocab_size = shape.vocab_size
        self._device = device
        self._overhead_s = overhead_s
        self._prefill_overhead_s = prefill_overhead_s
        self._overhead_per_sequence_s = overhead_per_sequence_s
        self._seed = seed
        self._block_bytes = block_size * shape.kv_bytes_per_token
        self._link_bytes_per_s = link_bytes_per_s
        self._link_free_s = 0.0  # when what is under way to this worker has come
        self._host_free_s = 0.0  # the same, of its own host memory

    def step_time_s(self, step: Step) -> float:
        """How long `step` takes; never less when work is added to it."""
        overhead_s = self._overhead_s
        if step.prefill:
            overhead_s = step_overhead_s(
                overhead_s, self._prefill_overhead_s, decodes=bool(step.decode)
            )
        if self._overhead_per_sequence_s:
            num_sequences = len(step.prefill) + len(step.decode)
            overhead_s += self._overhead_per_sequence_s * num_sequences
        return step_cost(step, self._shape).time_s(self._device) + overhead_s

    @property
    def foresight(self) -> Foresight:
        return self

    def decode_times_s(self, step: Step, num_steps: int) -> NDArray[np.float64]:
        """As `step_time_s` of each."""
        overhead_s = self._overhead_s
        if self._overhead_per_sequence_s:
            overhead_s += self._overhead_per_sequence_s * len(step.decode)
        return decode_times_s(step, num_steps, self._shape, self._device) + overhead_s

    def next_tokens(self, sequence: Sequence, num_tokens: int) -> list[int]:
        """As `_token` of each."""
        first = sequence.num_prompt_tokens + len(sequence.output_ids)
        mixed = np.arange(first, first + num_tokens, dtype=np.uint64)
        mixed *= np.uint64(_POSITION_STRIDE)  # modulo 2^64, as `_MASK` does
        mixed += np.uint64((self._seed_of(sequence) * _SEED_STRIDE) & _MASK)
        mixed ^= mixed >> np.uint64(31)
        tokens: list[int] = (mixed % np.uint64(self._vocab_size)).tolist()
        return tokens

    async def execute(self, step: Step) -> StepOutput:
        await self._sleep(self.step_time_s(step))
        sequences = [work.sequence for work in step.decode]
        for work in step.prefill:
            if work.samples(self._shape.num_layers):
                sequences.append(work.sequence)
        return StepOutput({sequence.id: self._token(sequence) for sequence in sequences})

    async def _sleep(self, time_s: float) -> None:
        loop = asyncio.get_running_loop()
        if not (isinstance(loop, VirtualTimeLoop) and time_s > 0 and loop.skip(time_s)):
            await asyncio.sleep(time_s)

    def forget(self, key: bytes) -> None:
        """Nothing is held."""

    def release(self, sequence: Sequence) -> None:
        """Nothing is held."""

    async def read_blocks(self, blocks: Seq[int]) -> None:
        """Nothing to copy: `write_blocks` takes the time."""

    async def write_blocks(self, blocks: Seq[int], content: None) -> None:
        """Sleeps until the blocks' bytes have come over this worker's link, after all before."""
        await self._receive(len(blocks) * self._block_bytes)

    async def swap_out(self, blocks: Seq[int]) -> None:
        """Sleeps until the blocks' bytes have gone to host memory; nothing else goes that way."""
        await self._sleep(len(blocks) * self._block_bytes / self._device.host_bytes_per_s)

    async def swap_in(self, blocks: Seq[int], content: None) -> None:
        """Sleeps until the blocks' bytes have come from host memory, after all before."""
        now_s = asyncio.get_running_loop().time()
        time_s = len(blocks) * self._block_bytes / self._device.host_bytes_per_s
        self._host_free_s = max(self._host_free_s, now_s) + time_s
        await asyncio.sleep(self._host_free_s - now_s)

    def read_media(self, key: bytes) -> None:
        """Nothing to copy: `write_media` takes the time."""

    async def write_media(self, key: bytes, num_tokens: int, content: None) -> None:
        """Sleeps until the tokens' states have come, like `write_blocks`."""
        await self._receive(num_tokens * self._shape.hidden_size * self._shape.dtype_bytes)

    async def _receive(self, num_bytes: int) -> None:
        now_s = asyncio.get_running_loop().time()
        self._link_free_s = max(self._link_free_s, now_s) + num_bytes / self._link_bytes_per_s
        await asyncio.sleep(self._link_free_s - now_s)

    def close(self) -> None:
        """Nothing is held."""

    def _seed_of(self, sequence: Sequence) -> int:
        seed = sequence.params.seed
        return self._seed + sequence.id if seed is None else seed

    def _token(self, sequence: Sequence) -> int:
        """Id of the next token: (seed, position) mixed and cut to what may come."""
        position = sequence.num_prompt_tokens + len(sequence.output_ids)
        mixed = (self._seed_of(sequence) * _SEED_STRIDE + position * _POSITION_STRIDE) & _MASK
        mixed ^= mixed >> 31
        allowed = None if sequence.guide is None else sequence.guide.allowed()
        if allowed is None:
            return mixed % self._vocab_size
        ids = np.flatnonzero(allowed[: self._vocab_size])
        return int(ids[mixed % len(ids)])
