"""One prefill pass of few rows, recorded as a CUDA graph for each of some numbers of rows.

A pass of an 8B launches some 260 kernels, which takes the host 10 ms whatever they do; the GPU
needs less for a prompt below about 500 tokens. Passes of other sizes are padded with rows that
belong to nobody. Without CUDA nothing is recorded and each pass computed as it is called for.
"""

from collections.abc import Sequence as Seq
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from reference_engine.model.kernels.attention import QUERY_TILE
from reference_engine.model.paged_cache import PagedCache
from reference_engine.model.paged_transformer import (
    Chunk,
    PagedBatch,
    PagedTransformer,
    place_chunks,
)

ROWS: Final = (16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)
"""Sizes: close where a row costs time, that is above the 200 or so that reading weights hides."""

MAX_CHUNKS: Final = 8


class _Inputs(NamedTuple):
    """One buffer of int32 and the views of it that a graph of some size reads."""

    whole: Tensor
    tables: Tensor  # [MAX_CHUNKS, width]
    positions: Tensor  # [num_rows]
    slots: Tensor  # [num_rows]; fits, since a cache has less than 2^31 entries
    tiles: Tensor  # [num_tiles, 4]


def _inputs(num_rows: int, width: int, device: torch.device | str) -> _Inputs:
    num_tiles = num_rows // QUERY_TILE + MAX_CHUNKS + 1
    sizes = [MAX_CHUNKS * width, num_rows, num_rows, 4 * num_tiles]
    whole = torch.zeros(sum(sizes), dtype=torch.int32, device=device)
    tables, positions, slots, tiles = torch.split(whole, sizes)
    return _Inputs(whole, tables.view(-1, width), positions, slots, tiles.view(-1, 4))


class PrefillGraphs:
    """All inputs stand in buffers of fixed places; so does the answer, until the next pass."""

    def __init__(self, model: PagedTransformer, cache: PagedCache, max_tokens: int) -> None:
        """Records the graphs, up to the smallest size that holds `max_tokens`."""
        self._model, self._cache, self._device = model, cache, model.device
        self._on_gpu: Final = self._device.type == "cuda"
        self._width = -(-max_tokens // cache.shape.block_size)
        self._sizes = [
            size for index, size in enumerate(ROWS) if index == 0 or ROWS[index - 1] < max_tokens
        ]
        self._hidden = torch.zeros(
            self._sizes[-1], model.shape.hidden_size, dtype=model.dtype, device=self._device
        )
        self._inputs = {size: _inputs(size, self._width, self._device) for size in self._sizes}
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        if self._on_gpu:
            self._record()

    def holds(self, chunks: Seq[Chunk]) -> bool:
        num_rows = sum(chunk.length for chunk in chunks)
        return len(chunks) <= MAX_CHUNKS and num_rows <= self._sizes[-1]

    def run(self, chunks: Seq[Chunk], hidden: Tensor) -> Tensor:
        """Residual stream [num_tokens, hidden] after all layers, valid until the next call.

        `chunks` for which `holds` is true, `hidden` their embeddings. Waits for nothing.
        """
        num_rows = len(hidden)
        size = next(size for size in self._sizes if size >= num_rows)
        here = self._placed(chunks, size)
        whole = here.whole.pin_memory() if self._on_gpu else here.whole
        self._inputs[size].whole.copy_(whole, non_blocking=True)
        self._hidden[:num_rows].copy_(hidden)
        self._hidden[num_rows:size].zero_()
        if self._on_gpu:
            self._graphs[size].replay()
        else:
            self._compute(size)
        return self._hidden[:num_rows]

    def _placed(self, chunks: Seq[Chunk], size: int) -> _Inputs:
        """In host memory; rows that pad stand in nobody's block and see nothing."""
        here = _inputs(size, self._width, "cpu")
        placed = place_chunks(chunks, self._cache.shape.block_size)
        here.slots.fill_(self._cache.nobodys_block * self._cache.shape.block_size)
        here.tables.numpy()[: len(chunks), : placed.tables.shape[1]] = placed.tables
        here.positions.numpy()[: len(placed.positions)] = placed.positions
        here.slots.numpy()[: len(placed.slots)] = placed.slots
        padding = [
            (0, row, rows, -rows)
            for row in range(len(placed.positions), size, QUERY_TILE)
            for rows in [min(QUERY_TILE, size - row)]
        ]
        tiles = np.concatenate((placed.tiles, np.array(padding, np.int32).reshape(-1, 4)))
        here.tiles.numpy()[: len(tiles)] = tiles
        return here

    def _compute(self, size: int) -> None:
        inputs, every = self._inputs[size], range(self._model.shape.num_layers)
        batch = PagedBatch(inputs.tables, inputs.positions, inputs.slots.long(), inputs.tiles)
        hidden = self._model.layers(self._hidden[:size], every, batch, self._cache)
        self._hidden[:size].copy_(hidden)

    @torch.inference_mode()
    def _record(self) -> None:
        """Largest first, so that the others find room in its memory."""
        pool = None
        for size in reversed(self._sizes):
            empty = self._placed([], size).whole
            self._inputs[size].whole.copy_(empty)
            self._compute(size)  # compiles what is to be recorded
            torch.cuda.synchronize(self._device)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
                self._compute(size)
            pool = graph.pool()
            self._graphs[size] = graph
