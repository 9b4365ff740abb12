"""A decoder's weights: from a Hugging Face folder or a seed, packed for the forward pass.

Packing does once what each token would else pay for: query, key and value are one matrix, gate and
up another; matrices lie [in, out], the faster way for few rows; a norm's gain is multiplied into
the matrix behind it, 1 / sqrt(head_dim) into the query; and the two halves of a head that rotary
embedding pairs are interleaved, so that a rotation is one complex product.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from reference_engine.model.computed import WITH_EXPERTS, Clamp, read_config
from reference_engine.model.rope import Rope, rotary_table
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
    output_bias: Tensor | None = None  # [hidden]
    gate_up_bias: Tensor | None = None  # [num_experts, 2 * intermediate]
    down_bias: Tensor | None = None  # [num_experts, hidden]
    router_bias: Tensor | None = None  # [num_experts]
    sinks: Tensor | None = None  # float32 [num_heads]: a score each that no value answers


class Weights(NamedTuple):
    """All layers and what stands before and behind them."""

    embedding: Tensor  # [vocab, hidden]
    layers: tuple[LayerWeights, ...]
    head: Tensor  # [hidden, vocab]
    rotary: Tensor  # complex64 [max_tokens, head_dim / 2], see `rotary_table`
    renormalise: bool = True  # whether the weights of the experts picked sum to 1
    clamp: Clamp | None = None  # of the experts' gates


def load(
    source: ModelSource, max_tokens: int, dtype: torch.dtype, device: torch.device
) -> tuple[ModelShape, Weights]:
    """The model that `source` names, for positions below `max_tokens`. Raises ConfigError."""
    shape = source.shape()
    tensors: Tensors
    renormalise, rope = True, Rope(rope_theta=shape.rope_theta)
    clamp: Clamp | None = None
    if source.folder is None:
        tensors = RandomTensors(shape, source.seed, device)
        clamp = Clamp() if shape.architecture == "gpt_oss" else None
    else:
        config = read_config(source.folder)
        renormalise, clamp, rope = config.renormalises, config.clamp, config.rope
        if shape.num_experts and not config.has_experts:
            known = ", ".join(WITH_EXPERTS)
            raise ConfigError(f"{source.folder}: experts are known of {known} only")
        tensors = Checkpoint(source.folder, device)
    weights = pack(tensors, shape, rotary_table(shape.head_dim, rope, max_tokens), dtype)
    return shape, weights._replace(renormalise=renormalise, clamp=clamp)


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


def pack(tensors: Tensors, shape: ModelShape, rotary: Tensor, dtype: torch.dtype) -> Weights:
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
    return Weights(embedding.to(dtype), layers, head, rotary.to(embedding.device))


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
    output_bias = read.optional(attention + "o_proj.bias")
    pack_rest = _pack_gpt_oss if shape.architecture == "gpt_oss" else _pack_feed_forward
    gate_up, down, router = pack_rest(read, prefix, shape, dtype)
    layer = LayerWeights(
        qkv=_in_out(projected("weight"), read(prefix + "input_layernorm.weight"), dtype),
        qkv_bias=bias,
        qk_gain=qk_gain,
        output=_in_out(read(attention + "o_proj.weight"), None, dtype),
        output_bias=None if output_bias is None else output_bias.to(dtype),
        gate_up=gate_up,
        down=down,
        router=router,
        sinks=read.optional(attention + "sinks"),
    )
    if shape.architecture != "gpt_oss":
        return layer
    gate_up_bias = _gates_first(read(prefix + "mlp.experts.gate_up_proj_bias"))
    return layer._replace(
        gate_up_bias=gate_up_bias.to(dtype),
        down_bias=read(prefix + "mlp.experts.down_proj_bias").to(dtype),
        router_bias=read(prefix + "mlp.router.bias").to(dtype),
    )


def _pack_feed_forward(
    read: _Reader, prefix: str, shape: ModelShape, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor | None]:
    """`gate_up`, `down` and `router` of a layer."""
    gain = read(prefix + "post_attention_layernorm.weight")
    router, parts = feed_forward_names(shape)
    gate_ups, downs = [], []
    for names in parts:
        gate, up, down = (read(f"{prefix}{name}.weight") for name in names)
        gate_ups.append(_in_out(torch.cat((gate, up)), gain, dtype))
        downs.append(_in_out(down, None, dtype))
    if router is None:
        return gate_ups[0], downs[0], None
    routes = _in_out(read(f"{prefix}{router}.weight"), gain, dtype)
    return _stacked(gate_ups), _stacked(downs), routes


def _pack_gpt_oss(
    read: _Reader, prefix: str, shape: ModelShape, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """The same of gpt-oss, whose experts lie [in, out] in one tensor, gates and ups in turns."""
    gain = read(prefix + "post_attention_layernorm.weight")
    gate_up = _gates_first(read(prefix + "mlp.experts.gate_up_proj")).mul_(gain[:, None])
    down = read(prefix + "mlp.experts.down_proj")
    routes = _in_out(read(prefix + "mlp.router.weight"), gain, dtype)
    return _laid(gate_up.to(dtype)), _laid(down.to(dtype)), routes


def _gates_first(gate_up: Tensor) -> Tensor:
    return torch.cat((gate_up[..., ::2], gate_up[..., 1::2]), -1)


def _laid(matrices: Tensor) -> Tensor:
    """[n, in, out] as they are to lie in memory, see `_in_out`."""
    if matrices.is_cpu:
        return matrices.contiguous()
    return matrices.transpose(1, 2).contiguous().transpose(1, 2)


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
