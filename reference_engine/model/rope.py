"""Rotary embedding's table (Su et al., arXiv:2104.09864), as a `config.json` scales it."""

import math

import torch
from msgspec import Struct
from torch import Tensor

from reference_engine.specs import ConfigError


class Rope(Struct):
    """Rotary settings, under the names of both generations of `config.json`."""

    rope_theta: float | None = None
    rope_type: str | None = None
    type: str | None = None
    factor: float | None = None
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position_embeddings: int | None = None
    beta_fast: float | None = None
    beta_slow: float | None = None
    truncate: bool = True
    attention_factor: float | None = None
    mscale: float | None = None
    mscale_all_dim: float | None = None
    partial_rotary_factor: float = 1.0


def rotary_table(head_dim: int, rope: Rope, max_tokens: int) -> Tensor:
    """complex64 [max_tokens, head_dim / 2]: scale * e^(i * position * frequency).

    Frequency i is theta^(-2 i / head_dim). `linear` divides all by the factor; `llama3` those whose
    wave is longer than the original context allows, with a smooth passage between; `yarn` (Peng et
    al., arXiv:2309.00071) likewise, and lengthens what it turns. Raises ConfigError.
    """
    if rope.partial_rotary_factor != 1:
        raise ConfigError("rotary embedding of a part of each head is not known")
    theta = rope.rope_theta or 10_000.0
    plain = 1.0 / theta ** (torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
    scale = 1.0
    match rope.rope_type or rope.type or "default":
        case "default":
            frequencies = plain
        case "linear":
            frequencies = plain / (rope.factor or 1.0)
        case "llama3":
            frequencies = _llama3(plain, rope)
        case "yarn":
            frequencies, scale = _yarn(plain, rope, theta)
        case kind:
            known = "default, linear, llama3, yarn"
            raise ConfigError(f"unknown rope_type {kind!r} (known: {known})")
    angles = torch.outer(torch.arange(max_tokens, dtype=torch.float32), frequencies)
    return torch.polar(torch.full_like(angles, scale), angles)


def _llama3(plain: Tensor, rope: Rope) -> Tensor:
    turns = (rope.original_max_position_embeddings or 8192) * plain / (2 * torch.pi)
    span = rope.high_freq_factor - rope.low_freq_factor
    share = ((turns - rope.low_freq_factor) / span).clamp_(0.0, 1.0)
    return plain * share + plain / (rope.factor or 1.0) * (1 - share)


def _yarn(plain: Tensor, rope: Rope, theta: float) -> tuple[Tensor, float]:
    """Frequencies, and by how much queries and keys grow."""
    original, factor = rope.original_max_position_embeddings, rope.factor
    if original is None or factor is None:
        raise ConfigError("rope_type 'yarn' needs factor and original_max_position_embeddings")
    head_dim = 2 * len(plain)

    def place(turns: float) -> float:
        """The index at which so many turns fit the original context."""
        return head_dim * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(theta))

    low, high = place(rope.beta_fast or 32.0), place(rope.beta_slow or 1.0)
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_dim - 1)
    if low == high:
        high += 0.001
    slowed = ((torch.arange(len(plain), dtype=torch.float32) - low) / (high - low)).clamp_(0.0, 1.0)
    frequencies = plain / factor * slowed + plain * (1 - slowed)
    return frequencies, rope.attention_factor or _length(rope, factor)


def _length(rope: Rope, factor: float) -> float:
    def grown(by: float) -> float:
        return 0.1 * by * math.log(factor) + 1.0 if factor > 1 else 1.0

    if rope.mscale and rope.mscale_all_dim:
        return grown(rope.mscale) / grown(rope.mscale_all_dim)
    return grown(1.0)
