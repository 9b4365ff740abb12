"""The decoder of `transformer.py` over a paged cache, in Triton kernels and cuBLAS products.

Few rows go through kernels that read each weight once and do norms, gating and residuals by the
way; many rows through cuBLAS, with small kernels between.
"""

from collections.abc import Sequence as Seq
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grouped_mm

from reference_engine.model.kernels.attention import (
    QUERY_TILE,
    decode_attention,
    prefill_attention,
)
from reference_engine.model.kernels.linear import (
    FEW_ROWS,
    MAX_ROWS,
    added_product,
    normed_product,
)
from reference_engine.model.kernels.rows import gate_rows, normalise_rows, rotate_and_store
from reference_engine.model.paged_cache import PagedCache
from reference_engine.model.sampling import on_device
from reference_engine.model.weights import LayerWeights, Weights
from reference_engine.specs import ModelShape


class PagedBatch(NamedTuple):
    """Where the rows of a pass belong; the same for every layer.

    `tables` [num_sequences, any] int32: block ids. `positions`, `slots` [num_rows]: of each token,
    and of its KV entry (block * block_size + place in the block). `tiles`: see
    `prefill_attention`; None for decodes, of which row i belongs to sequence i.
    """

    tables: Tensor
    positions: Tensor
    slots: Tensor
    tiles: Tensor | None


class Chunk(NamedTuple):
    """Tokens [start, start + length) of a sequence with these blocks."""

    blocks: Seq[int]
    start: int
    length: int


def plan_decodes(tables: Tensor, positions: Tensor, block_size: int) -> PagedBatch:
    """One token each, at `positions` [num_rows] int32; all on the device."""
    block = tables.gather(1, (positions // block_size)[:, None].long())[:, 0]
    slots = block.long() * block_size + positions % block_size
    return PagedBatch(tables, positions, slots, None)


class Places(NamedTuple):
    """`PagedBatch` of chunks in host memory, all int32 but `slots`."""

    tables: NDArray[np.int32]
    positions: NDArray[np.int32]
    slots: NDArray[np.int64]
    tiles: NDArray[np.int32]


def place_chunks(chunks: Seq[Chunk], block_size: int) -> Places:
    """Rows in the order of `chunks`."""
    num_rows = sum(chunk.length for chunk in chunks)
    width = max((len(chunk.blocks) for chunk in chunks), default=0)
    tables = np.zeros((len(chunks), width), dtype=np.int32)
    positions = np.empty(num_rows, dtype=np.int32)
    slots = np.empty(num_rows, dtype=np.int64)
    tiles = []
    row = 0
    for number, (blocks, start, length) in enumerate(chunks):
        tables[number, : len(blocks)] = blocks
        places = np.arange(start, start + length, dtype=np.int32)
        positions[row : row + length] = places
        block = tables[number, places // block_size].astype(np.int64)
        slots[row : row + length] = block * block_size + places % block_size
        for first in range(0, length, QUERY_TILE):
            tiles.append((number, row + first, length - first, start + first))
        row += length
    tiles.sort(key=lambda tile: -tile[3])  # the longest first, so that none is left alone at last
    return Places(tables, positions, slots, np.array(tiles, dtype=np.int32).reshape(-1, 4))


def plan_chunks(chunks: Seq[Chunk], block_size: int, device: torch.device) -> PagedBatch:
    """As `place_chunks`, on the device."""
    places = place_chunks(chunks, block_size)
    return PagedBatch(*(torch.from_numpy(array).to(device) for array in places))


class PagedTransformer:
    """Forward passes only; every method must run under `torch.inference_mode`."""

    def __init__(self, shape: ModelShape, weights: Weights) -> None:
        self.shape = shape
        self._weights = _by_outputs(weights)
        self._eps = shape.rms_norm_eps
        self._rotary = torch.view_as_real(weights.rotary).contiguous()

    @property
    def dtype(self) -> torch.dtype:
        return self._weights.embedding.dtype

    @property
    def device(self) -> torch.device:
        return self._weights.embedding.device

    def embed(self, token_ids: Seq[int] | Tensor) -> Tensor:
        """[num_tokens, hidden]."""
        if not isinstance(token_ids, Tensor):
            token_ids = on_device(token_ids, torch.long, self.device)
        return self._weights.embedding[token_ids]

    def layers(self, hidden: Tensor, layers: range, batch: PagedBatch, cache: PagedCache) -> Tensor:
        """Residual stream [num_tokens, hidden] after `layers`; their K and V are in `cache`."""
        for index in layers:
            layer = self._weights.layers[index]
            qkv = self._normed(hidden, layer.qkv, layer.qkv_bias)
            where = (self._rotary, batch.positions, batch.slots, cache, index, self._eps)
            rotate_and_store(qkv, layer.qk_gain, *where)
            if batch.tiles is None:
                mixed = decode_attention(qkv, batch.tables, batch.positions, cache, index)
            else:
                mixed = prefill_attention(qkv, batch.tables, batch.tiles, cache, index)
            hidden = _added(hidden, mixed, layer.output)
            hidden = self._feed_forward(hidden, layer)
        return hidden

    def states(self, hidden: Tensor) -> Tensor:
        """[num_rows, hidden] in float32: normalised, as the head would read them."""
        return normalise_rows(hidden, self._eps).float()

    def logits(self, hidden: Tensor, out: Tensor | None = None) -> Tensor:
        """[num_rows, vocab_size] in float32, from the residual stream after the last layer; in
        `out`, if there is one: at 256 rows and 128,256 words a copy takes longer than sampling.
        """
        head = self._weights.head
        if out is None:
            out = torch.empty(
                hidden.shape[0], head.shape[1], dtype=torch.float32, device=hidden.device
            )
        is_wide = head.shape[1] > 4 * head.shape[0]
        if hidden.shape[0] <= (MAX_ROWS if is_wide else FEW_ROWS):
            return normed_product(hidden.contiguous(), head, self._eps, out=out)
        rows = normalise_rows(hidden.contiguous(), self._eps)
        if rows.is_cuda and rows.dtype != torch.float32:
            return torch.mm(rows, head, out_dtype=torch.float32, out=out)
        return torch.mm(rows, head, out=out)

    def _normed(self, hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """norm(hidden) W (+ bias)."""
        if hidden.shape[0] <= FEW_ROWS:
            return normed_product(hidden, weight, self._eps, bias=bias)
        rows = normalise_rows(hidden, self._eps)
        return rows @ weight if bias is None else torch.addmm(bias, rows, weight)

    def _feed_forward(self, hidden: Tensor, layer: LayerWeights) -> Tensor:
        if layer.router is not None:
            return self._experts(hidden, layer, layer.router)
        if hidden.shape[0] <= MAX_ROWS:
            gated = normed_product(hidden, layer.gate_up, self._eps, gated=True)
        else:
            gated = gate_rows(normalise_rows(hidden, self._eps) @ layer.gate_up)
        return _added(hidden, gated, layer.down)

    def _experts(self, hidden: Tensor, layer: LayerWeights, router: Tensor) -> Tensor:
        """Rows sorted by expert, then one product for each expert that has any: nothing about who
        picked whom need be known on the host.
        """
        per_token, (num_rows, size) = self.shape.experts_per_token, hidden.shape
        rows = normalise_rows(hidden, self._eps)
        shares, picked = (rows @ router).float().softmax(-1).topk(per_token)
        if self._weights.renormalise:
            shares = shares / shares.sum(-1, keepdim=True)
        experts, order = picked.flatten().sort(stable=True)
        numbers = torch.arange(self.shape.num_experts, device=hidden.device)
        ends = torch.searchsorted(experts, numbers, right=True).to(torch.int32)
        gated = gate_rows(grouped_mm(rows[order // per_token], layer.gate_up, offs=ends))
        answers = torch.empty(num_rows * per_token, size, dtype=hidden.dtype, device=hidden.device)
        answers[order] = grouped_mm(gated, layer.down, offs=ends)
        weighted = answers.view(num_rows, per_token, size) * shares[..., None]
        return (hidden + weighted.sum(1)).to(hidden.dtype)


def _added(residual: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """`residual` + x W; perhaps in the place of `residual`."""
    is_deep = weight.shape[0] > 2 * weight.shape[1]
    if x.shape[0] <= (MAX_ROWS if is_deep else FEW_ROWS):
        return added_product(residual, x, weight)
    return residual.addmm_(x, weight)


def _by_outputs(weights: Weights) -> Weights:
    """With the weights of an output side by side in memory, as the kernels read them."""

    def laid(matrix: Tensor) -> Tensor:
        return matrix.transpose(-1, -2).contiguous().transpose(-1, -2)

    layers = tuple(
        layer._replace(
            qkv=laid(layer.qkv),
            output=laid(layer.output),
            gate_up=laid(layer.gate_up),
            down=laid(layer.down),
        )
        for layer in weights.layers
    )
    return weights._replace(layers=layers, head=laid(weights.head))
