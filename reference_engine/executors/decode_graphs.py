"""One decode of a batch, recorded as a CUDA graph for each of a few batch sizes.

A graph is replayed with a single call instead of the hundreds that launch its kernels one by one.
Batches of other sizes are padded with rows that belong to nobody. Without CUDA nothing is recorded
and each decode computed as it is called for.
"""

from collections.abc import Sequence as Seq
from typing import Final

import numpy as np
import torch
from torch import Tensor

from reference_engine.model.paged_cache import PagedCache
from reference_engine.model.paged_transformer import PagedTransformer, plan_decodes
from reference_engine.sequence import Sequence


def batch_sizes(most: int) -> list[int]:
    """1, 2, 4, then all multiples of 8 to 64, of 16 to 128, of 32 beyond; at last `most`."""
    sizes = [1, 2, 4, *range(8, 64, 8), *range(64, 128, 16), *range(128, most + 1, 32)]
    return [size for size in sizes if size < most] + [most]


class DecodeGraphs:
    """All inputs stand in buffers of fixed places; so do the logits, until the next decode."""

    def __init__(
        self, model: PagedTransformer, cache: PagedCache, max_sequences: int, max_tokens: int
    ) -> None:
        """Records the graphs."""
        self._model, self._cache, self._device = model, cache, model.device
        self._on_gpu: Final = self._device.type == "cuda"
        self._width = -(-max_tokens // cache.shape.block_size)
        self._sizes = batch_sizes(max_sequences)
        self._host_tables = np.full(
            (max_sequences, self._width), cache.nobodys_block, dtype=np.int32
        )
        self._known: list[tuple[Sequence, int] | None] = [None] * max_sequences

        def buffer(*sizes: int, dtype: torch.dtype = torch.int32) -> Tensor:
            return torch.zeros(sizes, dtype=dtype, device=self._device)

        self._tables = buffer(max_sequences, self._width).fill_(cache.nobodys_block)
        self._positions = buffer(max_sequences)
        self._ids = buffer(max_sequences, dtype=torch.long)
        self._logits = buffer(max_sequences, model.shape.vocab_size, dtype=torch.float32)
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        if self._on_gpu:
            self._record()

    def forget(self, sequence: Sequence) -> None:
        """Its blocks may change."""
        self._known = [
            None if known is not None and known[0] is sequence else known for known in self._known
        ]

    def run(self, sequences: Seq[Sequence], positions: Seq[int], ids: Tensor | Seq[int]) -> Tensor:
        """Logits [num_sequences, vocab], float32, valid and the caller's until the next call.

        Token `ids` of `sequences` stand at `positions`. Waits for nothing.
        """
        count = len(sequences)
        size = next(size for size in self._sizes if size >= count)
        width = self._fill_tables(sequences, size)
        inputs = np.zeros((size, width + 1 + (not isinstance(ids, Tensor))), dtype=np.int32)
        inputs[:, :width] = self._host_tables[:size, :width]
        inputs[:count, width] = positions
        if not isinstance(ids, Tensor):
            inputs[:count, width + 1] = ids
        there = self._sent(torch.from_numpy(inputs))
        self._tables[:size, :width].copy_(there[:, :width])
        self._positions[:size].copy_(there[:, width])
        if isinstance(ids, Tensor):
            self._ids[:count].copy_(ids)
        else:
            self._ids[:size].copy_(there[:, width + 1])
        if self._on_gpu:
            self._graphs[size].replay()
        else:
            self._compute(size)
        return self._logits[:count]

    def _fill_tables(self, sequences: Seq[Sequence], size: int) -> int:
        """Bring the host's tables up to date; how many of their columns are in use."""
        widest = 1
        for row, sequence in enumerate(sequences):
            blocks = sequence.block_table
            widest = max(widest, len(blocks))
            known = self._known[row]
            if known is None or known[0] is not sequence or known[1] != len(blocks):
                self._host_tables[row, : len(blocks)] = blocks
                self._known[row] = (sequence, len(blocks))
        for row in range(len(sequences), size):
            self._host_tables[row, 0] = self._cache.nobodys_block
            self._known[row] = None
        return widest

    def _sent(self, values: Tensor) -> Tensor:
        if not self._on_gpu:
            return values
        return values.pin_memory().to(self._device, non_blocking=True)

    def _compute(self, size: int) -> None:
        batch = plan_decodes(
            self._tables[:size], self._positions[:size], self._cache.shape.block_size
        )
        hidden = self._model.embed(self._ids[:size])
        every = range(self._model.shape.num_layers)
        hidden = self._model.layers(hidden, every, batch, self._cache)
        self._model.logits(hidden, self._logits[:size])

    @torch.inference_mode()
    def _record(self) -> None:
        """Largest first, so that the others find room in its memory."""
        pool = None
        for size in reversed(self._sizes):
            self._compute(size)  # compiles what is to be recorded
            torch.cuda.synchronize(self._device)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
                self._compute(size)
            pool = graph.pool()
            self._graphs[size] = graph
