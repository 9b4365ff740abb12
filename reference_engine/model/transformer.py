"""A Llama-style decoder: embed, any range of layers, logits. Knows token ids and KV slots only.

Touvron et al., arXiv:2302.13971; the same shape serves Mistral, Qwen2 and Qwen3.
"""

from collections.abc import Sequence as Seq

import torch
from torch import Tensor

from reference_engine.model.attention import Attention, Batch, Piece, Planner
from reference_engine.model.cache import KvCache
from reference_engine.model.mlp import swiglu
from reference_engine.model.norm import normalise
from reference_engine.model.weights import Weights
from reference_engine.specs import ModelShape

RUN_OVERHEAD_BYTES = 300_000
"""KV bytes that can be read in the time which one more group of decodes costs (about 12 us)."""


class Transformer:
    """Forward passes only; every method must run under `torch.inference_mode`."""

    def __init__(self, shape: ModelShape, weights: Weights) -> None:
        self.shape = shape
        self._weights = weights
        embedding = weights.embedding
        self._eps = torch.tensor(shape.rms_norm_eps, device=embedding.device)
        self._attention = [
            Attention(shape, index, layer, self._eps) for index, layer in enumerate(weights.layers)
        ]
        token_bytes = 2 * shape.num_kv_heads * shape.head_dim * embedding.element_size()
        slack_tokens = RUN_OVERHEAD_BYTES // token_bytes
        self._planner = Planner(weights.rotary, slack_tokens, embedding.dtype)

    @property
    def dtype(self) -> torch.dtype:
        return self._weights.embedding.dtype

    @property
    def device(self) -> torch.device:
        return self._weights.embedding.device

    def plan(self, pieces: Seq[Piece]) -> Batch:
        """`pieces` in the order of `in_rows`; so lie their tokens in the rows of the pass."""
        return self._planner.plan(pieces)

    def embed(self, token_ids: Seq[int]) -> Tensor:
        """[num_tokens, hidden]."""
        ids = torch.tensor(token_ids, dtype=torch.long, device=self.device)
        return self._weights.embedding[ids]

    def layers(self, hidden: Tensor, layers: range, batch: Batch, cache: KvCache) -> Tensor:
        """Residual stream [num_tokens, hidden] after `layers`; their K and V are in `cache`."""
        for index in layers:
            weights = self._weights.layers[index]
            mixed = self._attention[index](normalise(hidden, self._eps), batch, cache)
            hidden = torch.addmm(hidden, mixed, weights.output)
            gated = swiglu(normalise(hidden, self._eps), weights.gate_up)
            hidden = torch.addmm(hidden, gated, weights.down)
        return hidden

    def states(self, hidden: Tensor) -> Tensor:
        """[num_rows, hidden] in float32: normalised, as the head would read them."""
        return normalise(hidden, self._eps).float()

    def logits(self, hidden: Tensor) -> Tensor:
        """[num_rows, vocab_size] in float32, from the residual stream after the last layer."""
        return (normalise(hidden, self._eps) @ self._weights.head).float()
