"""Model sizes against published parameter counts; config.json as two generations write it."""

import json
from pathlib import Path

import pytest

from reference_engine.model_source import PRESETS, ModelSource
from reference_engine.specs import DEVICES, ConfigError, ModelShape


@pytest.mark.parametrize(
    ("preset", "published"),
    [
        ("llama-3-8b", 8_030_261_248),  # the checkpoint's own count
        ("1b", 1_100_048_384),  # TinyLlama-1.1B's own count
        ("mixtral-8x7b", 46_702_792_704),
        ("gpt-oss-20b", 20_914_757_184),
        ("gpt-oss-120b", 116_829_156_672),
    ],
)
def test_parameter_counts_are_exact(preset: str, published: int) -> None:
    """num_params counts every weight of the published checkpoint."""
    assert PRESETS[preset].num_params == published


def test_qwen3_parameter_count() -> None:
    """30.5 B; ours leaves out its two small norms per layer on queries and keys."""
    assert PRESETS["qwen3-30b-a3b"].num_params == pytest.approx(30.532e9, rel=1e-3)


def test_kv_bytes_of_llama_3_8b() -> None:
    """2 x 32 layers x 8 heads x 128 x 2 bytes = 128 KiB a token."""
    assert PRESETS["llama-3-8b"].kv_bytes_per_token == 131072


def test_sparse_peaks_are_not_used() -> None:
    """The dense ridge of an A100 is about 153 FLOP/B, of an H100 about 295."""
    a100, h100 = DEVICES["a100"], DEVICES["h100"]
    assert a100.peak_flops_per_s / a100.bytes_per_s == pytest.approx(153, abs=1)
    assert h100.peak_flops_per_s / h100.bytes_per_s == pytest.approx(295, abs=1)


CONFIG = {
    "model_type": "llama",
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "vocab_size": 512,
    "max_position_embeddings": 256,
    "architectures": ["LlamaForCausalLM"],
}


@pytest.mark.parametrize(
    "rope", [{"rope_theta": 5e5}, {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}]
)
def test_shape_from_folder(tmp_path: Path, rope: dict[str, object]) -> None:
    """Old and new files give the same shape; absent sizes follow from the others."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | rope))
    assert ModelSource(name=str(tmp_path)).shape() == ModelShape(
        num_layers=2,
        hidden_size=64,
        num_heads=4,
        num_kv_heads=4,
        head_dim=16,
        intermediate_size=128,
        vocab_size=512,
        max_position=256,
        rope_theta=5e5,
        rms_norm_eps=1e-6,
    )


def test_mixture_of_experts_from_folder(tmp_path: Path) -> None:
    """An expert's own size is the one that counts."""
    experts = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | experts))
    shape = ModelSource(name=str(tmp_path)).shape()
    assert (shape.num_experts, shape.experts_per_token, shape.intermediate_size) == (8, 2, 32)


def test_gpt_oss_in_mxfp4_fits_where_its_card_says() -> None:
    """12.8 and 60.8 GiB: arXiv:2508.10925, table 1."""
    assert PRESETS["gpt-oss-20b"].weights_bytes / 2**30 == pytest.approx(12.8, abs=0.05)
    assert PRESETS["gpt-oss-120b"].weights_bytes / 2**30 == pytest.approx(60.8, abs=0.05)


@pytest.mark.parametrize(
    ("settings", "windows"),
    [
        ({"model_type": "mistral", "sliding_window": 8}, (8, 8, 8)),
        ({"model_type": "mistral", "sliding_window": None}, ()),
        ({"model_type": "qwen2", "sliding_window": 8}, ()),
        ({"model_type": "qwen2", "sliding_window": 8, "use_sliding_window": False}, ()),
        (
            {
                "model_type": "qwen3",
                "sliding_window": 8,
                "use_sliding_window": True,
                "max_window_layers": 1,
            },
            (0, 8, 8),
        ),
        ({"model_type": "qwen3_moe", "sliding_window": 8, "use_sliding_window": True}, (8, 8, 8)),
        ({"model_type": "gpt_oss", "sliding_window": 8}, (8, 0, 8)),
        (
            {
                "model_type": "gpt_oss",
                "sliding_window": 8,
                "layer_types": ["full_attention", "sliding_attention", "full_attention"],
            },
            (0, 8, 0),
        ),
    ],
)
def test_windows_from_folder(
    tmp_path: Path, settings: dict[str, object], windows: tuple[int, ...]
) -> None:
    """Which layers slide, as each family says it or leaves it unsaid."""
    config = CONFIG | {"num_hidden_layers": 3} | settings
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert ModelSource(name=str(tmp_path)).shape().windows == windows


def test_unknown_model_names_the_presets(tmp_path: Path) -> None:
    """A misspelt preset is told what there is."""
    with pytest.raises(ConfigError, match=r"tinny.*preset.*tiny, 15m"):
        ModelSource(name="tinny").shape()
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="model_type"):
        ModelSource(name=str(tmp_path)).shape()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"num_attention_heads": 0}, r"config\.json.*>= 1.*num_attention_heads"),
        ({"num_key_value_heads": 3}, r"config\.json.*num_heads must be a multiple"),
        ({"max_position_embeddings": -1}, r"config\.json.*>= 1.*max_position"),
    ],
)
def test_impossible_sizes_are_named(tmp_path: Path, settings: dict[str, int], words: str) -> None:
    """A config.json that no model can have is a mistake of the folder, told with its path."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | settings))
    with pytest.raises(ConfigError, match=words):
        ModelSource(name=str(tmp_path)).shape()


def test_a_configuration_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b'{"model_type": "\xff"}')
    with pytest.raises(ConfigError, match=r"config\.json"):
        ModelSource(name=str(tmp_path)).shape()
