"""A model's tensors by Hugging Face's names: from a checkpoint, or drawn from a seed."""

import zlib
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final, Protocol

import msgspec
import torch
from msgspec import Struct
from safetensors import SafetensorError, safe_open
from torch import Tensor

from reference_engine.specs import ConfigError, ModelShape


class Tensors(Protocol):
    """Named tensors of a model in Hugging Face's names and layout ([out, in])."""

    def names(self) -> AbstractSet[str]: ...

    def read(self, name: str) -> Tensor:
        """float32, on the device that was asked for."""
        ...


class RandomTensors:
    """Weights of the sizes in `shape`, each a pure function of its name and the seed.

    Gains are one, biases and sinks zero; matrices have standard deviation 1 / sqrt(in), so
    activations keep their size.
    """

    def __init__(self, shape: ModelShape, seed: int, device: torch.device) -> None:
        self._sizes = tensor_sizes(shape)
        self._seed = seed
        self._device = device

    def names(self) -> AbstractSet[str]:
        return self._sizes.keys()

    def read(self, name: str) -> Tensor:
        size = self._sizes[name]
        if name.endswith(("bias", "sinks")):
            return torch.zeros(size, device=self._device)
        if len(size) == 1:
            return torch.ones(size, device=self._device)
        generator = torch.Generator(self._device)
        # 32 bits, since a CPU generator ignores those above.
        generator.manual_seed(zlib.crc32(f"{self._seed} {name}".encode()))
        drawn = torch.randn(size, generator=generator, device=self._device)
        return drawn.mul_(size[1] ** -0.5)


class Checkpoint:
    """The `*.safetensors` of a Hugging Face folder, one file or many, read tensor by tensor.

    A matrix in MXFP4 is one tensor here, though it is stored as two.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        self._files = _files_by_tensor(folder)
        self._device = device

    def names(self) -> AbstractSet[str]:
        return {name.removesuffix("_blocks").removesuffix("_scales") for name in self._files}

    def read(self, name: str) -> Tensor:
        if name + "_blocks" in self._files:
            return from_mxfp4(self._stored(name + "_blocks"), self._stored(name + "_scales"))
        return self._stored(name).to(torch.float32)

    def _stored(self, name: str) -> Tensor:
        if name not in self._files:
            raise ConfigError(f"the checkpoint holds no tensor {name!r}")
        try:
            with safe_open(self._files[name], framework="pt") as file:
                tensor: Tensor = file.get_tensor(name)
        except (OSError, SafetensorError) as error:
            raise ConfigError(f"{self._files[name]}: {name}: {error}") from error
        return tensor.to(self._device)


def from_mxfp4(blocks: Tensor, scales: Tensor) -> Tensor:
    """float32 [num, in, out] of 4-bit numbers (OCP Microscaling Formats, v1.0).

    `blocks` uint8 [num, out, in / 32, 16]: two numbers a byte, the first in the low bits: a sign
    and an index of `_E2M1`. `scales` uint8 [num, out, in / 32]: exponents of two, 127 too large.
    """
    table = torch.tensor([*_E2M1, *(-number for number in _E2M1)], device=blocks.device)
    pairs = torch.stack((blocks & 15, blocks >> 4), -1)
    numbers = table[pairs.int()].flatten(-2)
    scaled = torch.ldexp(numbers, scales.int().sub_(127)[..., None])
    return scaled.flatten(-2).transpose(1, 2)


_E2M1: Final = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)


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
    """Every tensor by name, but for biases and norms that only some models of a kind have."""
    hidden, query = shape.hidden_size, shape.num_heads * shape.head_dim
    key, inner = shape.num_kv_heads * shape.head_dim, shape.intermediate_size
    layer: dict[str, tuple[int, ...]] = {
        "input_layernorm.weight": (hidden,),
        "self_attn.q_proj.weight": (query, hidden),
        "self_attn.k_proj.weight": (key, hidden),
        "self_attn.v_proj.weight": (key, hidden),
        "self_attn.o_proj.weight": (hidden, query),
        "post_attention_layernorm.weight": (hidden,),
    }
    if shape.architecture == "gpt_oss":
        layer |= _gpt_oss_sizes(shape)
    else:
        router, parts = feed_forward_names(shape)
        if router is not None:
            layer[router + ".weight"] = (shape.num_experts, hidden)
        for gate, up, down in parts:
            layer |= {f"{gate}.weight": (inner, hidden), f"{up}.weight": (inner, hidden)}
            layer[down + ".weight"] = (hidden, inner)
    sizes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (shape.vocab_size, hidden),
        "model.norm.weight": (hidden,),
    }
    for index in range(shape.num_layers):
        sizes |= {f"model.layers.{index}.{name}": size for name, size in layer.items()}
    if not shape.tie_embeddings:
        sizes["lm_head.weight"] = (shape.vocab_size, hidden)
    return sizes


def _gpt_oss_sizes(shape: ModelShape) -> dict[str, tuple[int, ...]]:
    """Of a layer what others lack, and its experts, which lie [in, out] in one tensor."""
    hidden, query = shape.hidden_size, shape.num_heads * shape.head_dim
    key, inner, experts = (
        shape.num_kv_heads * shape.head_dim,
        shape.intermediate_size,
        shape.num_experts,
    )
    return {
        "self_attn.q_proj.bias": (query,),
        "self_attn.k_proj.bias": (key,),
        "self_attn.v_proj.bias": (key,),
        "self_attn.o_proj.bias": (hidden,),
        "self_attn.sinks": (shape.num_heads,),
        "mlp.router.weight": (experts, hidden),
        "mlp.router.bias": (experts,),
        "mlp.experts.gate_up_proj": (experts, hidden, 2 * inner),
        "mlp.experts.gate_up_proj_bias": (experts, 2 * inner),
        "mlp.experts.down_proj": (experts, inner, hidden),
        "mlp.experts.down_proj_bias": (experts, hidden),
    }
