"""A decoder's weights: from a Hugging Face folder or a seed, packed for the forward pass.

Packing does once what each token would else pay for: query, key and value are one matrix, gate and
up another; matrices lie [in, out], the faster way for few rows; a norm's gain is multiplied into
the matrix behind it, 1 / sqrt(head_dim) into the query; and the two halves of a head that rotary
embedding pairs are interleaved, so that a rotation is one complex product.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from reference_engine.model.computed import WITH_EXPERTS, read_config
from reference_engine.model.rope import Rope, inverse_frequencies
from reference_engine.model.tensors import (
    Checkpoint,
    RandomTensors,
    Tensors,
    feed_forward_names,
    tensor_sizes,
)
from reference_engine.model_source import ModelSource
from reference_engine.specs import ConfigError, ModelShape


class LayerWeights(NamedTuple):
    """One layer, packed; heads * dim stands for num_heads * head_dim."""

    qkv: Tensor  # [hidden, (num_heads + 2 * num_kv_heads) * head_dim]
    qkv_bias: Tensor | None
    qk_gain: Tensor | None  # [num_heads + num_kv_heads, head_dim], of Qwen3's norms
    output: Tensor  # [num_heads * head_dim, hidden]
    gate_up: Tensor  # [hidden, 2 * intermediate]; with experts [num_experts, hidden, 2 * ...]
    down: Tensor  # [intermediate, hidden]; likewise
    router: Tensor | None = None  # [hidden, num_experts]


class Weights(NamedTuple):
    """All layers and what stands before and behind them."""

    embedding: Tensor  # [vocab, hidden]
    layers: tuple[LayerWeights, ...]
    head: Tensor  # [hidden, vocab]
    rotary: Tensor  # complex64 [max_tokens, head_dim / 2]: e^(i * position * frequency)
    renormalise: bool = True  # whether the weights of the experts picked sum to 1


def load(
    source: ModelSource, max_tokens: int, dtype: torch.dtype, device: torch.device
) -> tuple[ModelShape, Weights]:
    """The model that `source` names, for positions below `max_tokens`. Raises ConfigError."""
    shape = source.shape()
    tensors: Tensors
    renormalise = True
    if source.folder is None:
        tensors = RandomTensors(shape, source.seed, device)
        frequencies = inverse_frequencies(shape.head_dim, Rope(rope_theta=shape.rope_theta))
    else:
        config = read_config(source.folder, max_tokens)
        renormalise = config.renormalises
        if shape.num_experts and not config.has_experts:
            known = ", ".join(WITH_EXPERTS)
            raise ConfigError(f"{source.folder}: experts are known of {known} only")
        tensors = Checkpoint(source.folder, device)
        frequencies = inverse_frequencies(shape.head_dim, config.rope)
    weights = pack(tensors, shape, frequencies, max_tokens, dtype)
    return shape, weights._replace(renormalise=renormalise)


class _Reader:
    """Reads tensors, checks their sizes, and knows at the end which were never read."""

    def __init__(self, tensors: Tensors, shape: ModelShape) -> None:
        self._tensors = tensors
        self._sizes = tensor_sizes(shape)
        self.unread = set(tensors.names())

    def __call__(self, name: str) -> Tensor:
        tensor = self._tensors.read(name)
        expected = self._sizes.get(name, tuple(tensor.shape))
        if tuple(tensor.shape) != expected:
            raise ConfigError(
                f"tensor {name!r} is {list(tensor.shape)}, config.json asks for {list(expected)}"
            )
        self.unread.discard(name)
        return tensor

    def optional(self, name: str) -> Tensor | None:
        return self(name) if name in self.unread else None

    def refuse_unread(self, tied: bool) -> None:
        """A weight left out would give wrong text without a word."""
        left = {name for name in self.unread if not name.endswith("rotary_emb.inv_freq")}
        left -= {"lm_head.weight"} if tied else set()
        if left:
            raise ConfigError(f"the checkpoint holds weights of no known use: {sorted(left)[:5]}")


def pack(
    tensors: Tensors,
    shape: ModelShape,
    frequencies: Tensor,
    max_tokens: int,
    dtype: torch.dtype,
) -> Weights:
    """All weights in the forward pass's form and `dtype`; folding is done in float32."""
    read = _Reader(tensors, shape)
    layers = tuple(
        _pack_layer(read, f"model.layers.{index}.", shape, dtype)
        for index in range(shape.num_layers)
    )
    embedding = read("model.embed_tokens.weight")
    head = embedding if shape.tie_embeddings else read("lm_head.weight")
    head = _in_out(head, read("model.norm.weight"), dtype)
    read.refuse_unread(shape.tie_embeddings)
    angles = torch.outer(torch.arange(max_tokens, dtype=torch.float32), frequencies)
    rotary = torch.polar(torch.ones_like(angles), angles).to(embedding.device)
    return Weights(embedding.to(dtype), layers, head, rotary)


def _pack_layer(read: _Reader, prefix: str, shape: ModelShape, dtype: torch.dtype) -> LayerWeights:
    attention = prefix + "self_attn."
    query_gain = read.optional(attention + "q_norm.weight")
    scale = shape.head_dim**-0.5
    query_scale = scale if query_gain is None else 1.0  # a norm would undo it: then in its gain

    def projected(kind: str) -> Tensor:
        query = _paired(read(attention + f"q_proj.{kind}"), shape.head_dim) * query_scale
        key = _paired(read(attention + f"k_proj.{kind}"), shape.head_dim)
        return torch.cat((query, key, read(attention + f"v_proj.{kind}")))

    bias = None
    if attention + "q_proj.bias" in read.unread:
        bias = projected("bias").to(dtype)
    qk_gain = None
    if query_gain is not None:
        query = _paired(query_gain, shape.head_dim) * scale
        key = _paired(read(attention + "k_norm.weight"), shape.head_dim)
        heads = (query.expand(shape.num_heads, -1), key.expand(shape.num_kv_heads, -1))
        qk_gain = torch.cat(heads).to(dtype)
    gain = read(prefix + "post_attention_layernorm.weight")
    router, parts = feed_forward_names(shape)
    gate_ups, downs = [], []
    for names in parts:
        gate, up, down = (read(f"{prefix}{name}.weight") for name in names)
        gate_ups.append(_in_out(torch.cat((gate, up)), gain, dtype))
        downs.append(_in_out(down, None, dtype))
    if router is not None:
        gate_ups, downs = [_stacked(gate_ups)], [_stacked(downs)]
    return LayerWeights(
        qkv=_in_out(projected("weight"), read(prefix + "input_layernorm.weight"), dtype),
        qkv_bias=bias,
        qk_gain=qk_gain,
        output=_in_out(read(attention + "o_proj.weight"), None, dtype),
        gate_up=gate_ups[0],
        down=downs[0],
        router=None if router is None else _in_out(read(f"{prefix}{router}.weight"), gain, dtype),
    )


def _paired(rows: Tensor, head_dim: int) -> Tensor:
    """Rows i and i + head_dim / 2 of each head become neighbours 2 i and 2 i + 1."""
    halves = rows.view(-1, 2, head_dim // 2, *rows.shape[1:])
    return halves.transpose(1, 2).reshape(rows.shape)


def _in_out(weight: Tensor, gain: Tensor | None, dtype: torch.dtype) -> Tensor:
    """[out, in] to [in, out], the inputs' `gain` [in] multiplied in. On a CPU also in memory; on a
    GPU the weights of an output stay side by side, as its matrix products like them.
    """
    folded = weight if gain is None else weight * gain
    matrix = folded.to(dtype).t()
    return matrix.contiguous() if matrix.is_cpu else matrix


def _stacked(matrices: list[Tensor]) -> Tensor:
    """[n, in, out] of n matrices, each as it lies in memory."""
    if matrices[0].is_cpu:
        return torch.stack(matrices)
    return torch.stack([matrix.t() for matrix in matrices]).transpose(1, 2)
