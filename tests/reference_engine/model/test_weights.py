"""Weights load exactly or not at all; random ones depend on the seed alone."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from reference_engine.model.tensors import Checkpoint
from reference_engine.model.weights import Weights, load
from reference_engine.model_source import PRESETS, ModelSource
from reference_engine.specs import ConfigError
from tests.reference_engine.model.stories import FOLDER

CPU = torch.device("cpu")


def loaded(name: str | Path, seed: int = 0, max_tokens: int = 64) -> Weights:
    source = ModelSource(name=str(name), seed=seed)
    return load(source, max_tokens, torch.float32, CPU)[1]


def changed(folder: Path, **settings: Any) -> Path:
    """A copy of the real checkpoint with other settings in config.json; None removes one."""
    shutil.copytree(FOLDER, folder, dirs_exist_ok=True)
    config = json.loads((folder / "config.json").read_text()) | settings
    kept = {key: value for key, value in config.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(kept))
    return folder


def assert_same(one: Weights, other: Weights) -> None:
    for mine, theirs in zip(one.layers, other.layers, strict=True):
        assert torch.equal(mine.qkv, theirs.qkv)
        assert torch.equal(mine.down, theirs.down)
    assert torch.equal(one.embedding, other.embedding)
    assert torch.equal(one.head, other.head)


def test_random_weights_are_a_function_of_the_seed() -> None:
    """Same seed, same weights; another seed, others; layers differ from each other."""
    one = loaded("tiny", seed=3)
    assert_same(one, loaded("tiny", seed=3))
    assert not torch.equal(one.embedding, loaded("tiny", seed=4).embedding)
    assert not torch.equal(one.layers[0].qkv, one.layers[1].qkv)


def test_random_weights_are_as_many_as_the_shape_says() -> None:
    """Packing loses nothing: what the cost model counts is what is multiplied."""
    shape, weights = PRESETS["tiny"], loaded("tiny")
    packed = sum(
        layer.qkv.numel() + layer.output.numel() + layer.gate_up.numel() + layer.down.numel()
        for layer in weights.layers
    )
    gains = shape.hidden_size * (2 * shape.num_layers + 1)  # folded into the matrices
    assert packed + weights.embedding.numel() + weights.head.numel() + gains == shape.num_params


def e2m1(code: int) -> float:
    """By the format's definition: a sign, two bits of exponent with bias 1, one of mantissa."""
    sign, exponent, mantissa = -1 if code & 8 else 1, code >> 1 & 3, code & 1
    size = 0.5 * mantissa if exponent == 0 else (1 + mantissa / 2) * 2.0 ** (exponent - 1)
    return sign * size


def test_experts_in_mxfp4_are_read_as_the_format_says(tmp_path: Path) -> None:
    """Every pair of 4-bit numbers, under large and small scales."""
    blocks = torch.arange(256, dtype=torch.uint8).view(2, 2, 4, 16)
    scales = torch.tensor([10, 100, 126, 127, 128, 140, 200, 250] * 2, dtype=torch.uint8)
    save_file(
        {"x_blocks": blocks, "x_scales": scales.view(2, 2, 4)}, tmp_path / "model.safetensors"
    )
    expected = torch.tensor(
        [
            [
                e2m1(code) * 2.0 ** (int(scale) - 127)
                for byte in row
                for code in (byte & 15, byte >> 4)
            ]
            for row, scale in zip(blocks.view(16, 16).tolist(), scales, strict=True)
        ]
    )
    checkpoint = Checkpoint(tmp_path, CPU)
    assert checkpoint.names() == {"x"}
    assert torch.equal(checkpoint.read("x"), expected.view(2, 2, 128).transpose(1, 2))


def test_a_sharded_checkpoint_is_the_same_model(tmp_path: Path) -> None:
    """Files named by an index are read like a single one."""
    folder = changed(tmp_path / "sharded")
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    placed: dict[str, str] = {}
    for part, some in enumerate((names[::2], names[1::2])):
        file = f"model-0000{part + 1}-of-00002.safetensors"
        save_file({name: tensors[name] for name in some}, folder / file)
        placed |= dict.fromkeys(some, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": placed}))
    assert_same(loaded(folder), loaded(FOLDER))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"architectures": ["GPT2LMHeadModel"]}, "unknown architecture.*GPT2.*known: Gpt"),
        ({"architectures": []}, "unknown architecture"),
        ({"architectures": None}, "architectures"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu'"),
        ({"rope_scaling": {"type": "longrope", "factor": 4.0}}, "rope_type 'longrope'"),
        ({"rope_scaling": {"type": "yarn", "factor": 4.0}}, "needs factor and original"),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "a part of each head"),
        ({"layer_types": ["chunked_attention"] * 5}, "chunked_attention"),
        ({"intermediate_size": 180}, r"is \[172, 64\], config.json asks for \[180, 64\]"),
        ({"num_hidden_layers": 6}, r"no tensor 'model.layers.5"),
        ({"num_hidden_layers": 4}, "no known use.*layers.4"),
        ({"tie_word_embeddings": False}, "no tensor 'lm_head.weight'"),
        ({"num_experts": 4, "num_experts_per_tok": 2}, "experts are known of GptOss"),
        ({"decoder_sparse_step": 2}, "experts in all layers, or in none"),
        ({"mlp_only_layers": [1]}, "experts in all layers, or in none"),
    ],
)
def test_a_model_that_would_be_computed_wrongly_is_refused(
    settings: dict[str, Any], words: str, tmp_path: Path
) -> None:
    """The error says what was found and what is possible."""
    with pytest.raises(ConfigError, match=words):
        loaded(changed(tmp_path, **settings))


def test_a_weight_without_a_use_is_refused(tmp_path: Path) -> None:
    """Leaving out, say, a bias would give wrong text without a word."""
    folder = changed(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.0.mlp.down_proj.bias"] = torch.ones(64)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ConfigError, match=r"no known use.*down_proj\.bias"):
        loaded(folder)


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_an_unreadable_checkpoint_is_a_config_error(damage: str, tmp_path: Path) -> None:
    """A missing or truncated file is the user's to mend, not a traceback."""
    file = changed(tmp_path) / "model.safetensors"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:5000])
    else:
        file.unlink()
    with pytest.raises(ConfigError, match="no readable safetensors"):
        loaded(tmp_path)


@pytest.mark.parametrize(
    "index",
    [
        [],
        {"weight_map": []},
        {"weight_map": {}},
        {"weight_map": {"model.norm.weight": "nowhere.safetensors"}},
    ],
)
def test_a_broken_index_is_a_config_error(index: Any, tmp_path: Path) -> None:
    """Also one that names a file which is not there."""
    (changed(tmp_path) / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ConfigError, match=r"safetensors|no tensor"):
        loaded(tmp_path)


def test_a_shard_that_is_missing_is_named(tmp_path: Path) -> None:
    names = load_file(changed(tmp_path) / "model.safetensors")
    index = {"weight_map": dict.fromkeys(names, "nowhere.safetensors")}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ConfigError, match=r"nowhere\.safetensors"):
        loaded(tmp_path)
