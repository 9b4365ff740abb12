"""Sizes from a Hugging Face config.json, of every kind of decoder."""

from typing import Any

import msgspec
import numpy as np
import pytest

from benchsuite.metrics.model_shapes import MODELS, ModelShape, from_config

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
}
QWEN3_MOE: dict[str, Any] = {
    "model_type": "qwen3_moe",
    "num_hidden_layers": 48,
    "hidden_size": 2048,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "intermediate_size": 6144,
    "moe_intermediate_size": 768,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "vocab_size": 151936,
    "sliding_window": None,
}
DEEPSEEK_V3: dict[str, Any] = {
    "model_type": "deepseek_v3",
    "num_hidden_layers": 61,
    "hidden_size": 7168,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "intermediate_size": 18432,
    "moe_intermediate_size": 2048,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "first_k_dense_replace": 3,
    "kv_lora_rank": 512,
    "q_lora_rank": 1536,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "vocab_size": 129280,
}
GPT_OSS: dict[str, Any] = {
    "model_type": "gpt_oss",
    "num_hidden_layers": 36,
    "hidden_size": 2880,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "intermediate_size": 2880,
    "num_local_experts": 128,
    "num_experts_per_tok": 4,
    "vocab_size": 201088,
    "sliding_window": 128,
    "layer_types": ["sliding_attention", "full_attention"] * 18,
}
OPT: dict[str, Any] = {
    "model_type": "opt",
    "num_hidden_layers": 40,
    "hidden_size": 5120,
    "num_attention_heads": 40,
    "ffn_dim": 20480,
    "vocab_size": 50272,
    "tie_word_embeddings": True,
}
GPT2: dict[str, Any] = {
    "model_type": "gpt2",
    "n_layer": 12,
    "n_embd": 768,
    "n_head": 12,
    "vocab_size": 50257,
    "tie_word_embeddings": True,
}


def _of(config: dict[str, Any], **changes: Any) -> ModelShape:
    return from_config(msgspec.json.encode({**config, **changes}))


@pytest.mark.parametrize(
    ("config", "active_b", "total_b"),
    [
        (LLAMA, 7.50, 8.03),
        (QWEN3_MOE, 3.04, 30.5),
        (DEEPSEEK_V3, 36.6, 671.0),
        (GPT_OSS, 5.13, 116.8),
        (OPT, 12.85, 12.85),
        (GPT2, 0.124, 0.124),
    ],
    ids=lambda value: value["model_type"] if isinstance(value, dict) else "",
)
def test_weights_are_counted(config: dict[str, Any], active_b: float, total_b: float) -> None:
    """Within 1 % of what each model is published with; active ones without the input embedding."""
    found = _of(config)
    assert found.active_params == pytest.approx(active_b * 1e9, rel=0.01)
    assert found.total_params == pytest.approx(total_b * 1e9, rel=0.01)


def test_the_models_by_name_have_the_sizes_of_their_configs() -> None:
    for name, config in (
        ("llama-3.1-8b", LLAMA),
        ("qwen3-30b-a3b", QWEN3_MOE),
        ("gpt-oss-120b", GPT_OSS),
        ("deepseek-v3.1", DEEPSEEK_V3),
    ):
        known, found = MODELS[name], _of(config)
        for size in ("num_layers", "hidden_size", "num_heads", "num_kv_heads", "latent_dim"):
            assert getattr(known, size) == getattr(found, size), (name, size)
        assert known.window_layers == found.window_layers, name


def test_layers_with_a_window_stop_reading_at_it() -> None:
    """18 of 36 layers look back 128 tokens: 1,024 numbers a token and layer."""
    found = _of(GPT_OSS)
    assert (found.window_layers, found.window_tokens) == (18, 128)
    short, long = found.kv_numbers(np.array([100, 1000]))
    assert short == 36 * 1024 * 100
    assert long == 18 * 1024 * (1000 + 128)


@pytest.mark.parametrize(
    ("changes", "layers"),
    [
        ({"sliding_window": 4096}, 32),  # Mistral: all of them
        ({"sliding_window": 4096, "use_sliding_window": False}, 0),  # Qwen2 as it is shipped
        ({"sliding_window": 4096, "use_sliding_window": True, "max_window_layers": 28}, 4),
        ({"sliding_window": None}, 0),
    ],
)
def test_who_has_a_window(changes: dict[str, Any], layers: int) -> None:
    assert _of(LLAMA, **changes).window_layers == layers


def test_a_latent_is_read_once() -> None:
    """512 and 64 rotary numbers a token and layer."""
    assert _of(DEEPSEEK_V3).kv_numbers(np.array([1])).tolist() == [61 * 576]


def test_of_a_model_that_sees_the_text_part_counts() -> None:
    seeing = {"model_type": "qwen2_5_vl", "text_config": LLAMA, "vision_config": {"depth": 32}}
    assert from_config(msgspec.json.encode(seeing)) == _of(LLAMA)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"{}", "num_hidden_layers"),
        (b"[1]", "Expected `object`"),
        (b"{", "truncated"),
        (msgspec.json.encode({**QWEN3_MOE, "num_experts_per_tok": 0}), "num_experts_per_tok"),
    ],
)
def test_what_is_no_config_is_refused(raw: bytes, words: str) -> None:
    with pytest.raises((ValueError, msgspec.MsgspecError), match=words):
        from_config(raw)
