"""KV memory: a contiguous slab per slot, which attention reads in place, and a store of blocks.

The slab is where a running sequence lives. The store, by block id, keeps full blocks after their
sequence is gone, so that another may start from them. Which block holds what is decided elsewhere.
"""

import math
import mmap
from collections.abc import Sequence as Seq
from typing import NamedTuple

import torch
from torch import Tensor


class KvShape(NamedTuple):
    """Sizes of the KV memory."""

    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    num_slots: int
    max_tokens: int
    num_blocks: int
    block_size: int


def _zeros(sizes: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeros, not empty: a masked position counts 0 times its value, and 0 * NaN is NaN.

    On a CPU memory is taken page by page as it is first written, so slots never used cost nothing;
    `torch.zeros` would write to all of it. Raises MemoryError.
    """
    if device.type != "cpu":
        return torch.zeros(sizes, dtype=dtype, device=device)
    try:
        memory = mmap.mmap(-1, math.prod(sizes) * dtype.itemsize)
    except (OSError, OverflowError) as error:
        raise MemoryError(str(error)) from error
    return torch.frombuffer(memory, dtype=dtype).view(sizes)


def on_host(content: Tensor) -> Tensor:
    """`content` in host memory. From a GPU it is copied into pinned memory, which the device reads
    and writes by itself: a pageable copy goes through a buffer of the driver's, piece by piece.
    """
    if content.is_cpu:
        return content
    return torch.empty_like(content, device="cpu", pin_memory=True).copy_(content)


class KvCache:
    """Keys and values of all layers, for `num_slots` sequences of up to `max_tokens` tokens.

    keys   [num_layers, num_slots, num_kv_heads, head_dim, max_tokens]
    values [num_layers, num_slots, num_kv_heads, max_tokens, head_dim]

    Keys are indexed transposed, ready to be multiplied by queries. Where several query heads share
    a KV head they also lie so in memory, which on a CPU scores up to 2.6 times as fast; with one
    query a key's numbers lie together, since a product of one row is then a sum along them.
    """

    def __init__(self, shape: KvShape, dtype: torch.dtype, device: torch.device) -> None:
        layers, heads, dim = shape.num_layers, shape.num_kv_heads, shape.head_dim
        slots, tokens = shape.num_slots, shape.max_tokens
        blocks, size = shape.num_blocks, shape.block_size
        self.shape = shape

        def zeros(*sizes: int) -> Tensor:
            return _zeros(sizes, dtype, device)

        if device.type == "cpu" and shape.num_heads > heads:
            self.keys = zeros(layers, slots, heads, dim, tokens)
        else:
            self.keys = zeros(layers, slots, heads, tokens, dim).transpose(-1, -2)
        self.values = zeros(layers, slots, heads, tokens, dim)
        self._block_keys = zeros(blocks, layers, heads, dim, size)
        self._block_values = zeros(blocks, layers, heads, size, dim)

    def save_blocks(self, slot: int, first: int, blocks: Seq[int]) -> None:
        """Copy blocks, the `first`-th of the slot and on, into the store as `blocks`."""
        size = self.shape.block_size
        for index, block in enumerate(blocks, first):
            start, stop = index * size, min((index + 1) * size, self.shape.max_tokens)
            keys, values = self._block_keys[block], self._block_values[block]
            keys[..., : stop - start] = self.keys[:, slot, :, :, start:stop]
            values[:, :, : stop - start] = self.values[:, slot, :, start:stop]

    def load_blocks(self, slot: int, blocks: Seq[int]) -> None:
        """Copy stored `blocks` to the front of the slot."""
        size = self.shape.block_size
        for index, block in enumerate(blocks):
            start, stop = index * size, min((index + 1) * size, self.shape.max_tokens)
            keys, values = self._block_keys[block], self._block_values[block]
            self.keys[:, slot, :, :, start:stop] = keys[..., : stop - start]
            self.values[:, slot, :, start:stop] = values[:, :, : stop - start]

    def read_blocks(self, blocks: Seq[int]) -> Tensor:
        """A copy, in host memory, of stored `blocks`: [num_blocks, 2, values of a block's keys].

        Keys first. Meant for `write_blocks` of a cache of the same shape, and for nobody else.
        """
        ids = torch.tensor(blocks, dtype=torch.long, device=self.keys.device)
        pair = (self._block_keys[ids].flatten(1), self._block_values[ids].flatten(1))
        return on_host(torch.stack(pair, 1))

    def write_blocks(self, blocks: Seq[int], content: Tensor) -> None:
        """Store as `blocks` what `read_blocks` gave of as many."""
        ids = torch.tensor(blocks, dtype=torch.long, device=self.keys.device)
        content = content.to(self.keys.device, non_blocking=True)
        self._block_keys[ids] = content[:, 0].view(-1, *self._block_keys.shape[1:])
        self._block_values[ids] = content[:, 1].view(-1, *self._block_values.shape[1:])

    def move(self, source: int, target: int, num_tokens: int) -> None:
        """Copy the first `num_tokens` of one slot to another."""
        self.keys[:, target, ..., :num_tokens] = self.keys[:, source, ..., :num_tokens]
        self.values[:, target, :, :num_tokens] = self.values[:, source, :, :num_tokens]
