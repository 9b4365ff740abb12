"""Rotary embedding's frequencies (Su et al., arXiv:2104.09864), as a `config.json` scales them."""

import torch
from msgspec import Struct
from torch import Tensor

from reference_engine.specs import ConfigError


class Rope(Struct):
    """Rotary settings, under the names of both generations of `config.json`."""

    rope_theta: float | None = None
    rope_type: str | None = None
    type: str | None = None
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position_embeddings: int = 8192


def inverse_frequencies(head_dim: int, rope: Rope) -> Tensor:
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
