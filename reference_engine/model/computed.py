"""Which models we compute exactly, judged by their `config.json`."""

from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from reference_engine.model.rope import Rope
from reference_engine.specs import ConfigError

ARCHITECTURES: Final = (
    "GptOssForCausalLM",
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "MixtralForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
    "Qwen3MoeForCausalLM",
)
WITH_EXPERTS: Final = ("GptOssForCausalLM", "MixtralForCausalLM", "Qwen3MoeForCausalLM")


class Clamp(NamedTuple):
    """The gate of gpt-oss's experts: see `clamped_gate`."""

    alpha: float = 1.702
    limit: float = 7.0


class ComputedConfig(Struct):
    """What of `config.json` decides whether and how the weights can be used."""

    architectures: list[str]
    hidden_act: str = "silu"
    rope_theta: float = 10_000.0
    rope_scaling: Rope | None = None
    rope_parameters: Rope | None = None
    norm_topk_prob: bool = False  # of Qwen3-MoE; the others always do
    decoder_sparse_step: int = 1  # 1: all layers have experts
    mlp_only_layers: list[int] | None = None
    swiglu_alpha: float = Clamp().alpha
    swiglu_limit: float = Clamp().limit

    @property
    def has_experts(self) -> bool:
        return any(name in WITH_EXPERTS for name in self.architectures)

    @property
    def renormalises(self) -> bool:
        return self.norm_topk_prob or "Qwen3MoeForCausalLM" not in self.architectures

    @property
    def clamp(self) -> Clamp | None:
        is_clamped = "GptOssForCausalLM" in self.architectures
        return Clamp(self.swiglu_alpha, self.swiglu_limit) if is_clamped else None

    @property
    def rope(self) -> Rope:
        found = self.rope_parameters or self.rope_scaling or Rope()
        return msgspec.structs.replace(found, rope_theta=found.rope_theta or self.rope_theta)


def read_config(folder: Path) -> ComputedConfig:
    """`config.json`, if it describes a model that we compute exactly. Raises ConfigError."""
    path = folder / "config.json"
    try:
        config = msgspec.json.decode(path.read_bytes(), type=ComputedConfig)
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
    return config
