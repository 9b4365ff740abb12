"""A decoder's weights: from a Hugging Face folder or a seed, packed for the forward pass.

Packing does once what each token would else pay for: query, key and value are one matrix, gate and
up another; matrices lie [in, out], the faster way for few rows; a norm's gain is multiplied into
the matrix behind it, 1 / sqrt(head_dim) into the query; and the two halves of a head that rotary
embedding pairs are interleaved, so that a rotation is one complex product.
"""

import zlib
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import msgspec
import torch
from msgspec import Struct
from safetensors import SafetensorError, safe_open
from torch import Tensor

from reference_engine.specs import ConfigError, ModelShape, ModelSource

ARCHITECTURES: Final = (
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "MixtralForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
    "Qwen3MoeForCausalLM",
)
WITH_EXPERTS: Final = ("MixtralForCausalLM", "Qwen3MoeForCausalLM")


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


class Tensors(Protocol):
    """Named tensors of a model in Hugging Face's names and layout ([out, in])."""

    def names(self) -> AbstractSet[str]: ...

    def read(self, name: str) -> Tensor:
        """float32, on the device that was asked for."""
        ...


def load(
    source: ModelSource, max_tokens: int, dtype: torch.dtype, device: torch.device
) -> tuple[ModelShape, Weights]:
    """The model that `source` names, for positions below `max_tokens`. Raises ConfigError."""
    shape = source.shape()
    tensors: Tensors
    renormalise = True
    if source.folder is None:
        tensors = RandomTensors(shape, source.seed, device)
        frequencies = inverse_frequencies(shape.head_dim, _Rope(rope_theta=shape.rope_theta))
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


class _Rope(Struct):
    """Rotary settings, under the names of both generations of `config.json`."""

    rope_theta: float | None = None
    rope_type: str | None = None
    type: str | None = None
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position_embeddings: int = 8192


class _Config(Struct):
    """What of `config.json` decides whether and how the weights can be used."""

    architectures: list[str]
    hidden_act: str = "silu"
    rope_theta: float = 10_000.0
    rope_scaling: _Rope | None = None
    rope_parameters: _Rope | None = None
    sliding_window: int | None = None
    use_sliding_window: bool = True
    norm_topk_prob: bool = False  # of Qwen3-MoE; Mixtral always does
    decoder_sparse_step: int = 1  # 1: all layers have experts
    mlp_only_layers: list[int] | None = None

    @property
    def has_experts(self) -> bool:
        return any(name in WITH_EXPERTS for name in self.architectures)

    @property
    def renormalises(self) -> bool:
        return self.norm_topk_prob or "MixtralForCausalLM" in self.architectures

    @property
    def rope(self) -> _Rope:
        found = self.rope_parameters or self.rope_scaling or _Rope()
        return msgspec.structs.replace(found, rope_theta=found.rope_theta or self.rope_theta)


def read_config(folder: Path, max_tokens: int) -> _Config:
    """`config.json`, if it describes a model that we compute exactly. Raises ConfigError."""
    path = folder / "config.json"
    try:
        config = msgspec.json.decode(path.read_bytes(), type=_Config)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error
    unknown = [name for name in config.architectures if name not in ARCHITECTURES]
    if unknown or not config.architectures:
        known = ", ".join(ARCHITECTURES)
        raise ConfigError(f"{path}: unknown architecture {unknown} (known: {known})")
    if config.hidden_act != "silu":
        raise ConfigError(f"{path}: hidden_act {config.hidden_act!r} is not 'silu'")
    if config.decoder_sparse_step != 1 or config.mlp_only_layers:
        raise ConfigError(f"{path}: only models with experts in all layers, or in none, are known")
    window = config.sliding_window if config.use_sliding_window else None
    if window is not None and window < max_tokens:
        raise ConfigError(
            f"{path}: attention looks back {window} tokens, which is right only up to that length: "
            f"set max_model_len to {window} or less (it is {max_tokens})"
        )
    return config


def inverse_frequencies(head_dim: int, rope: _Rope) -> Tensor:
    """Radians per position, float32 [head_dim / 2].

    Frequency i is theta^(-2 i / head_dim). `linear` divides all by the factor; `llama3` those whose
    wave is longer than the original context allows, with a smooth passage between.
    """
    theta = rope.rope_theta or 10_000.0
    plain = 1.0 / theta ** (torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
    kind = rope.rope_type or rope.type or "default"
    if kind == "default":
        return plain
    if kind == "linear":
        return plain / rope.factor
    if kind == "llama3":
        turns = rope.original_max_position_embeddings * plain / (2 * torch.pi)
        span = rope.high_freq_factor - rope.low_freq_factor
        share = ((turns - rope.low_freq_factor) / span).clamp_(0.0, 1.0)
        return plain * share + plain / rope.factor * (1 - share)
    raise ConfigError(f"unknown rope_type {kind!r} (known: default, linear, llama3)")


class RandomTensors:
    """Weights of the sizes in `shape`, each a pure function of its name and the seed.

    Gains are one; matrices have standard deviation 1 / sqrt(in), so activations keep their size.
    """

    def __init__(self, shape: ModelShape, seed: int, device: torch.device) -> None:
        self._sizes = tensor_sizes(shape)
        self._seed = seed
        self._device = device

    def names(self) -> AbstractSet[str]:
        return self._sizes.keys()

    def read(self, name: str) -> Tensor:
        size = self._sizes[name]
        if len(size) == 1:
            return torch.ones(size, device=self._device)
        generator = torch.Generator(self._device)
        # 32 bits, since a CPU generator ignores those above.
        generator.manual_seed(zlib.crc32(f"{self._seed} {name}".encode()))
        drawn = torch.randn(size, generator=generator, device=self._device)
        return drawn.mul_(size[1] ** -0.5)


class Checkpoint:
    """The `*.safetensors` of a Hugging Face folder, one file or many, read tensor by tensor."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self._files = _files_by_tensor(folder)
        self._device = device

    def names(self) -> AbstractSet[str]:
        return self._files.keys()

    def read(self, name: str) -> Tensor:
        if name not in self._files:
            raise ConfigError(f"the checkpoint holds no tensor {name!r}")
        try:
            with safe_open(self._files[name], framework="pt") as file:
                tensor: Tensor = file.get_tensor(name)
        except (OSError, SafetensorError) as error:
            raise ConfigError(f"{self._files[name]}: {name}: {error}") from error
        return tensor.to(device=self._device, dtype=torch.float32)


class _Index(Struct):
    """Which file holds which tensor."""

    weight_map: dict[str, str]


def _files_by_tensor(folder: Path) -> dict[str, Path]:
    index = folder / "model.safetensors.index.json"
    single = folder / "model.safetensors"
    try:
        if index.exists():
            placed = msgspec.json.decode(index.read_bytes(), type=_Index).weight_map
            return {name: folder / file for name, file in placed.items()}
        with safe_open(single, framework="pt") as file:
            return dict.fromkeys(file.keys(), single)
    except (OSError, SafetensorError, ValueError) as error:
        raise ConfigError(f"{folder}: no readable safetensors: {error}") from error


def feed_forward_names(shape: ModelShape) -> tuple[str | None, list[tuple[str, str, str]]]:
    """Within a layer: the router's name, if there is one; gate, up and down of each part."""
    if not shape.num_experts:
        return None, [("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")]
    if shape.architecture == "mixtral":
        block, names = "block_sparse_moe", ("w1", "w3", "w2")
    else:
        block, names = "mlp", ("gate_proj", "up_proj", "down_proj")
    parts = [f"{block}.experts.{expert}." for expert in range(shape.num_experts)]
    gate, up, down = names
    return f"{block}.gate", [(part + gate, part + up, part + down) for part in parts]


def tensor_sizes(shape: ModelShape) -> dict[str, tuple[int, ...]]:
    """Every tensor of a model without biases and query or key norms, by name."""
    hidden, query = shape.hidden_size, shape.num_heads * shape.head_dim
    key, inner = shape.num_kv_heads * shape.head_dim, shape.intermediate_size
    layer: dict[str, tuple[int, ...]] = {
        "input_layernorm": (hidden,),
        "self_attn.q_proj": (query, hidden),
        "self_attn.k_proj": (key, hidden),
        "self_attn.v_proj": (key, hidden),
        "self_attn.o_proj": (hidden, query),
        "post_attention_layernorm": (hidden,),
    }
    router, parts = feed_forward_names(shape)
    if router is not None:
        layer[router] = (shape.num_experts, hidden)
    for gate, up, down in parts:
        layer |= {gate: (inner, hidden), up: (inner, hidden), down: (hidden, inner)}
    sizes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (shape.vocab_size, hidden),
        "model.norm.weight": (hidden,),
    }
    for index in range(shape.num_layers):
        sizes |= {f"model.layers.{index}.{name}.weight": size for name, size in layer.items()}
    if not shape.tie_embeddings:
        sizes["lm_head.weight"] = (shape.vocab_size, hidden)
    return sizes


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
