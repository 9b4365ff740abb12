"""Which model: a preset by name, or a Hugging Face folder with its `config.json`. Sizes alone."""

from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from reference_engine.specs import ConfigError, Count, ModelShape, Spec

MXFP4_BYTES: Final = 17 / 32
"""Of a number in MXFP4: 32 numbers of 4 bits share a scale of 8 (OCP Microscaling, v1.0)."""


class ModelSource(Spec, frozen=True):
    """Which model: a name in `PRESETS` (seeded random weights) or a Hugging Face folder."""

    name: str
    seed: int = 0

    @property
    def folder(self) -> Path | None:
        """The folder with `config.json` and weights; None for a preset."""
        return None if self.name in PRESETS else Path(self.name)

    def shape(self) -> ModelShape:
        """The model's sizes. Raises ConfigError if there is no such preset or folder."""
        return PRESETS[self.name] if self.folder is None else read_shape(self.folder)


class _RopeParameters(Struct):
    rope_theta: float | None = None


class _Quantization(Struct):
    quant_method: str = ""


class _HuggingFaceConfig(Struct):
    """The part of a Hugging Face `config.json` that sizes follow from."""

    model_type: str
    num_hidden_layers: Count
    hidden_size: Count
    num_attention_heads: Count
    intermediate_size: Count
    vocab_size: Count
    max_position_embeddings: Count
    num_key_value_heads: Count | None = None
    head_dim: Count | None = None
    rope_theta: float = 10_000.0
    rope_parameters: _RopeParameters | None = None  # where transformers 5 puts rope_theta
    rms_norm_eps: float = 1e-6
    tie_word_embeddings: bool = False
    dtype: str | None = None
    torch_dtype: str | None = None
    num_experts: int = 0
    num_local_experts: int = 0
    num_experts_per_tok: int = 0
    moe_intermediate_size: Count | None = None
    sliding_window: Annotated[int, Meta(ge=0)] | None = None
    use_sliding_window: bool | None = None
    max_window_layers: Annotated[int, Meta(ge=0)] = 28
    layer_types: list[Literal["full_attention", "sliding_attention"]] | None = None
    quantization_config: _Quantization | None = None

    @property
    def windows(self) -> tuple[int, ...]:
        """Of each layer, as `transformers` reads it; empty if all layers attend to everything."""
        is_qwen = self.model_type.startswith("qwen")
        is_used = not is_qwen if self.use_sliding_window is None else self.use_sliding_window
        window, layers = self.sliding_window, self.num_hidden_layers
        if not (window and is_used):
            return ()
        if self.layer_types is not None:
            slides = [kind == "sliding_attention" for kind in self.layer_types]
        elif self.model_type == "gpt_oss":
            slides = [layer % 2 == 0 for layer in range(layers)]
        elif self.model_type in ("qwen2", "qwen3"):
            slides = [layer >= self.max_window_layers for layer in range(layers)]
        else:
            slides = [True] * layers
        return tuple(window if slide else 0 for slide in slides) if any(slides) else ()

    @property
    def expert_weight_bytes(self) -> float | None:
        quantisation = self.quantization_config
        is_mxfp4 = quantisation is not None and quantisation.quant_method == "mxfp4"
        return MXFP4_BYTES if is_mxfp4 else None


_DTYPE_BYTES: Final = {"float32": 4, "float16": 2, "bfloat16": 2}


def read_shape(folder: Path) -> ModelShape:
    """Sizes from `config.json` of a Hugging Face folder. Raises ConfigError."""
    path = folder / "config.json"
    try:
        return _shape(msgspec.json.decode(path.read_bytes(), type=_HuggingFaceConfig))
    except OSError as error:
        known = ", ".join(PRESETS)
        raise ConfigError(
            f"model {str(folder)!r} is neither a preset ({known}) nor a folder with a config.json"
        ) from error
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error


def _shape(config: _HuggingFaceConfig) -> ModelShape:
    experts = config.num_experts or config.num_local_experts
    return ModelShape(
        num_layers=config.num_hidden_layers,
        hidden_size=config.hidden_size,
        num_heads=config.num_attention_heads,
        num_kv_heads=config.num_key_value_heads or config.num_attention_heads,
        head_dim=config.head_dim or config.hidden_size // config.num_attention_heads,
        intermediate_size=(experts and config.moe_intermediate_size) or config.intermediate_size,
        vocab_size=config.vocab_size,
        max_position=config.max_position_embeddings,
        rope_theta=(config.rope_parameters and config.rope_parameters.rope_theta)
        or config.rope_theta,
        rms_norm_eps=config.rms_norm_eps,
        tie_embeddings=config.tie_word_embeddings,
        dtype_bytes=_DTYPE_BYTES.get(config.dtype or config.torch_dtype or "bfloat16", 2),
        num_experts=experts,
        experts_per_token=config.num_experts_per_tok if experts else 0,
        expert_weight_bytes=config.expert_weight_bytes if experts else None,
        windows=config.windows,
        architecture=config.model_type,
    )


_LLAMA_3_8B: Final = ModelShape(
    num_layers=32,
    hidden_size=4096,
    num_heads=32,
    num_kv_heads=8,
    head_dim=128,
    intermediate_size=14336,
    vocab_size=128256,
    max_position=8192,
    rope_theta=500_000.0,
)


def _gpt_oss(num_layers: int, num_experts: int) -> ModelShape:
    return ModelShape(
        num_layers=num_layers,
        hidden_size=2880,
        num_heads=64,
        num_kv_heads=8,
        head_dim=64,
        intermediate_size=2880,
        vocab_size=201088,
        max_position=131072,
        rope_theta=150_000.0,
        num_experts=num_experts,
        experts_per_token=4,
        expert_weight_bytes=MXFP4_BYTES,
        windows=(128, 0) * (num_layers // 2),
        architecture="gpt_oss",
    )


PRESETS: Final[dict[str, ModelShape]] = {
    "tiny": ModelShape(
        num_layers=4,
        hidden_size=256,
        num_heads=8,
        num_kv_heads=4,
        head_dim=32,
        intermediate_size=688,
        vocab_size=8192,
        max_position=4096,
        dtype_bytes=4,
    ),
    "15m": ModelShape(
        num_layers=8,
        hidden_size=320,
        num_heads=5,
        num_kv_heads=5,
        head_dim=64,
        intermediate_size=864,
        vocab_size=8192,
        max_position=4096,
        dtype_bytes=4,
    ),
    "100m": ModelShape(
        num_layers=16,
        hidden_size=768,
        num_heads=12,
        num_kv_heads=4,
        head_dim=64,
        intermediate_size=2048,
        vocab_size=8192,
        max_position=4096,
        dtype_bytes=4,
    ),
    # TinyLlama-1.1B's sizes
    "1b": ModelShape(
        num_layers=22,
        hidden_size=2048,
        num_heads=32,
        num_kv_heads=4,
        head_dim=64,
        intermediate_size=5632,
        vocab_size=32000,
        max_position=8192,
    ),
    # 3.0e9 weights, of which a token passes 0.6e9; Qwen3-MoE's architecture
    "moe-3b-a0.6b": ModelShape(
        num_layers=24,
        hidden_size=1536,
        num_heads=16,
        num_kv_heads=4,
        head_dim=128,
        intermediate_size=768,
        vocab_size=32000,
        max_position=8192,
        num_experts=32,
        experts_per_token=4,
        architecture="qwen3_moe",
    ),
    "8b": _LLAMA_3_8B,
    "llama-3-8b": _LLAMA_3_8B,
    "mixtral-8x7b": ModelShape(
        num_layers=32,
        hidden_size=4096,
        num_heads=32,
        num_kv_heads=8,
        head_dim=128,
        intermediate_size=14336,
        vocab_size=32000,
        max_position=32768,
        rope_theta=1_000_000.0,
        num_experts=8,
        experts_per_token=2,
        architecture="mixtral",
    ),
    "qwen3-30b-a3b": ModelShape(
        num_layers=48,
        hidden_size=2048,
        num_heads=32,
        num_kv_heads=4,
        head_dim=128,
        intermediate_size=768,
        vocab_size=151936,
        max_position=40960,
        rope_theta=1_000_000.0,
        rms_norm_eps=1e-6,
        num_experts=128,
        experts_per_token=8,
        architecture="qwen3_moe",
    ),
    "gpt-oss-20b": _gpt_oss(num_layers=24, num_experts=32),
    "gpt-oss-120b": _gpt_oss(num_layers=36, num_experts=128),
}
"""Shapes by name; sizes of published models are those of their `config.json`."""
