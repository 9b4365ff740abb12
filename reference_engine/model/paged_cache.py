"""KV memory in pages: the block pool's blocks themselves, which attention reads where they lie."""

from collections.abc import Sequence as Seq
from typing import Final

import torch
from torch import Tensor

from reference_engine.model.cache import KvShape, on_host


class PagedCache:
    """Keys and values of all layers, by block.

    keys, values [num_layers, num_blocks + 1, num_kv_heads, block_size, head_dim]

    The last block belongs to nobody: rows that pad a batch write there.
    """

    def __init__(self, shape: KvShape, dtype: torch.dtype, device: torch.device) -> None:
        """Zeros: a masked position counts 0 times its value, and 0 * NaN is NaN."""
        self.shape: Final = shape
        self.nobodys_block: Final = shape.num_blocks
        sizes = (
            shape.num_layers,
            shape.num_blocks + 1,
            shape.num_kv_heads,
            shape.block_size,
            shape.head_dim,
        )
        self.keys = torch.zeros(sizes, dtype=dtype, device=device)
        self.values = torch.zeros(sizes, dtype=dtype, device=device)

    def read_blocks(self, blocks: Seq[int]) -> Tensor:
        """A copy of `blocks` in host memory, keys first: [2, num_layers, num_blocks, ...].

        Meant for `write_blocks` of a cache of the same shape, and for nobody else.
        """
        ids = torch.tensor(blocks, dtype=torch.long, device=self.keys.device)
        return on_host(torch.stack((self.keys[:, ids], self.values[:, ids])))

    def write_blocks(self, blocks: Seq[int], content: Tensor) -> None:
        """Store as `blocks` what `read_blocks` gave of as many. The host does not wait for it."""
        ids = torch.tensor(blocks, dtype=torch.long, device=self.keys.device)
        content = content.to(self.keys.device, non_blocking=True)
        self.keys[:, ids], self.values[:, ids] = content
