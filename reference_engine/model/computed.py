"""Which models we compute exactly, judged by their `config.json`."""

from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from reference_engine.model.rope import Rope
from reference_engine.specs import ConfigError

ARCHITECTURES: Final = (
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "MixtralForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
    "Qwen3MoeForCausalLM",
)
WITH_EXPERTS: Final = ("MixtralForCausalLM", "Qwen3MoeForCausalLM")


class ComputedConfig(Struct):
    """What of `config.json` decides whether and how the weights can be used."""

    architectures: list[str]
    hidden_act: str = "silu"
    rope_theta: float = 10_000.0
    rope_scaling: Rope | None = None
    rope_parameters: Rope | None = None
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
    def rope(self) -> Rope:
        found = self.rope_parameters or self.rope_scaling or Rope()
        return msgspec.structs.replace(found, rope_theta=found.rope_theta or self.rope_theta)


def read_config(folder: Path, max_tokens: int) -> ComputedConfig:
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
    window = config.sliding_window if config.use_sliding_window else None
    if window is not None and window < max_tokens:
        raise ConfigError(
            f"{path}: attention looks back {window} tokens, which is right only up to that length: "
            f"set max_model_len to {window} or less (it is {max_tokens})"
        )
    return config
