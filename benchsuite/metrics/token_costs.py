"""What a token costs on paper: prefill-token equivalents, eFLOPs, FLOPs and bytes. Pure arithmetic.

gamma is the price of one decoded token and one token of its context, in prefilled tokens: bytes of
KV read, priced in FLOPs at the accelerator's ridge, over the FLOPs of prefilling a token.
"""

from typing import Any, Final

from msgspec import Struct

from benchsuite.metrics.accelerators import Accelerator, Peak
from benchsuite.metrics.model_shapes import ModelShape

PAPER_PEAK: Final[Peak] = "sparse"  # of PTE, where there is one: its 1,513 TFLOP/s of an H100
EXACT_PEAK: Final[Peak] = "dense"  # no served model reaches the other


class Gamma(Struct, frozen=True, kw_only=True):
    """The price that a PTE was worked out with."""

    value: float  # at an infinitely short window: of the full layers and the windowed ones alike
    peak: Peak
    flops_per_byte: float
    active_params: float


def gamma_paper(model: ModelShape, flops_per_byte: float) -> float:
    """gamma as PTE (arXiv:2604.05404, section 3) prints it, 16 bit.

    2 * layers * hidden size * (KV heads / heads) * (FLOP/byte) / active parameters. Wrong where
    head_dim * heads is not the hidden size, and for windows; that is what `gamma_exact` is for. Of
    a latent (MLA) keys and values are one: layers * latent * (FLOP/byte) / active parameters, which
    alone comes near the number printed there.
    """
    width = model.latent_dim or 2 * model.hidden_size * model.num_kv_heads / model.num_heads
    return model.num_layers * width * flops_per_byte / model.active_params


def gamma_exact(model: ModelShape, flops_per_byte: float) -> float:
    """gamma with the true width of keys and values, as long as no window cuts the context."""
    width = model.latent_dim or 2 * model.num_kv_heads * model.head_dim
    per_token = model.num_layers * width * model.kv_bytes
    return per_token * flops_per_byte / (2 * model.active_params)


def decode_price(model: ModelShape, flops_per_byte: float, context_tokens: Any) -> Any:
    """Prefill tokens that one decoded token is worth at a context; windows are cut."""
    read_bytes = model.kv_numbers(context_tokens) * model.kv_bytes
    return read_bytes * flops_per_byte / (2 * model.active_params)


def gammas(model: ModelShape, accelerator: Accelerator) -> dict[str, Gamma]:
    """Both, each with the peak that it is made of."""
    kinds = {"paper": (gamma_paper, PAPER_PEAK), "exact": (gamma_exact, EXACT_PEAK)}
    return {
        name: Gamma(
            value=function(model, accelerator.flops_per_byte(peak)),
            peak=peak,
            flops_per_byte=accelerator.flops_per_byte(peak),
            active_params=model.active_params,
        )
        for name, (function, peak) in kinds.items()
    }


def eflops(
    model: ModelShape,
    flops_per_byte: float,
    prompt_tokens: Any,
    output_tokens: Any,
    trials: int = 1,
) -> tuple[Any, Any]:
    """(arithmetic, memory) of `trials` answers to one prompt, in FLOPs; bytes at the ridge.

    Lg output, Lc prompt, Dq and Dkv the widths of queries and keys over all layers:
    N * (2 P Lg + 2 (2 Lc + Lg) Lg Dq) and 2 (2 Lc + N Lg) Lg Dkv I. Weights are read for many
    at once and not counted; neither is the prefill. Kinetics, arXiv:2506.05333.
    """
    query_width = model.num_heads * model.head_dim * model.num_layers
    kv_width = model.num_kv_heads * model.head_dim * model.num_layers
    attention = 2 * (2 * prompt_tokens + output_tokens) * output_tokens * query_width
    arithmetic = trials * (2 * model.active_params * output_tokens + attention)
    read = 2 * (2 * prompt_tokens + trials * output_tokens) * output_tokens * kv_width
    return arithmetic, read * flops_per_byte


def prefill_flops(model: ModelShape, prompt_tokens: Any) -> Any:
    """2 P per token, and attention: 2 * layers * (heads * head_dim) * L^2 (causal).

    The first term is KV Prediction's (arXiv:2410.08391); the second is ours.
    """
    width = model.num_heads * model.head_dim
    return (
        2 * model.active_params * prompt_tokens
        + 2 * model.num_layers * width * prompt_tokens * prompt_tokens
    )
