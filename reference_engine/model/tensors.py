"""A model's tensors by Hugging Face's names: from a checkpoint, or drawn from a seed."""

import zlib
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Protocol

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
