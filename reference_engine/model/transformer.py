"""A Llama-style decoder: embed, any range of layers, logits. Knows token ids and KV slots only.

Touvron et al., arXiv:2302.13971; the same shape serves Mistral, Qwen2, Qwen3, and with
experts Mixtral, Qwen3-MoE and gpt-oss.
"""

from collections.abc import Sequence as Seq
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from reference_engine.model.attention import Attention, Batch, Piece, Planner
from reference_engine.model.cache import KvCache
from reference_engine.model.linear import Dense, Int8, Linear
from reference_engine.model.mlp import Experts, FeedForward, SwiGlu, clamped_gate, silu_gate
from reference_engine.model.norm import normalise
from reference_engine.model.weights import LayerWeights, Weights
from reference_engine.specs import ModelShape

RUN_OVERHEAD_BYTES = 300_000
"""KV bytes that can be read in the time which one more group of decodes costs (about 12 us)."""


class Layer(NamedTuple):
    """One layer, ready to compute."""

    attention: Attention
    output: Linear
    feed_forward: FeedForward


class Decoder(Protocol):
    """What does not depend on where KV lies."""

    shape: ModelShape

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def device(self) -> torch.device: ...

    def embed(self, token_ids: Seq[int]) -> Tensor: ...

    def states(self, hidden: Tensor) -> Tensor: ...

    def logits(self, hidden: Tensor) -> Tensor: ...


class Transformer:
    """Forward passes only; every method must run under `torch.inference_mode`."""

    def __init__(self, shape: ModelShape, weights: Weights, *, int8: bool = False) -> None:
        """With `int8` the matrices are kept in 8 bits a weight, all but embedding and router."""
        self.shape = shape
        self._matrix = matrix = Int8 if int8 else Dense
        self._embedding = embedding = weights.embedding
        self._eps = torch.tensor(shape.rms_norm_eps, device=embedding.device)
        self._layers = [self._layer(index, weights) for index in range(shape.num_layers)]
        self._head: Linear = matrix(weights.head)
        token_bytes = 2 * shape.num_kv_heads * shape.head_dim * embedding.element_size()
        slack_tokens = RUN_OVERHEAD_BYTES // token_bytes
        windows = frozenset(shape.windows or (0,))
        self._planner = Planner(weights.rotary, slack_tokens, embedding.dtype, windows)

    def _layer(self, index: int, weights: Weights) -> Layer:
        layer, matrix = weights.layers[index], self._matrix
        qkv = matrix(layer.qkv, layer.qkv_bias)
        attention = Attention(self.shape, index, qkv, layer.qk_gain, self._eps, layer.sinks)
        feed_forward: FeedForward
        if layer.router is None:
            feed_forward = SwiGlu(matrix(layer.gate_up), matrix(layer.down))
        else:
            router = Dense(layer.router, layer.router_bias)
            experts = self._experts(layer, weights)
            per_token = self.shape.experts_per_token
            feed_forward = Experts(router, experts, per_token, weights.renormalise)
        return Layer(attention, matrix(layer.output, layer.output_bias), feed_forward)

    def _experts(self, layer: LayerWeights, weights: Weights) -> list[SwiGlu]:
        gate = silu_gate if weights.clamp is None else clamped_gate(*weights.clamp)
        none = [None] * self.shape.num_experts
        gate_up_biases = none if layer.gate_up_bias is None else layer.gate_up_bias
        down_biases = none if layer.down_bias is None else layer.down_bias
        parts = zip(layer.gate_up, gate_up_biases, layer.down, down_biases, strict=True)
        return [
            SwiGlu(self._matrix(gate_up, gate_up_bias), self._matrix(down, down_bias), gate)
            for gate_up, gate_up_bias, down, down_bias in parts
        ]

    @property
    def dtype(self) -> torch.dtype:
        return self._embedding.dtype

    @property
    def device(self) -> torch.device:
        return self._embedding.device

    def plan(self, pieces: Seq[Piece]) -> Batch:
        """`pieces` in the order of `in_rows`; so lie their tokens in the rows of the pass."""
        return self._planner.plan(pieces)

    def embed(self, token_ids: Seq[int]) -> Tensor:
        """[num_tokens, hidden]."""
        ids = torch.tensor(token_ids, dtype=torch.long, device=self.device)
        return self._embedding[ids]

    def layers(self, hidden: Tensor, layers: range, batch: Batch, cache: KvCache) -> Tensor:
        """Residual stream [num_tokens, hidden] after `layers`; their K and V are in `cache`."""
        for index in layers:
            attention, output, feed_forward = self._layers[index]
            hidden = output.add(hidden, attention(normalise(hidden, self._eps), batch, cache))
            hidden = feed_forward.add(hidden, normalise(hidden, self._eps))
        return hidden

    def states(self, hidden: Tensor) -> Tensor:
        """[num_rows, hidden] in float32: normalised, as the head would read them."""
        return normalise(hidden, self._eps).float()

    def logits(self, hidden: Tensor) -> Tensor:
        """[num_rows, vocab_size] in float32, from the residual stream after the last layer."""
        return self._head(normalise(hidden, self._eps)).float()
