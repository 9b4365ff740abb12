"""How a request's tokens are to be drawn, in the engine's words."""

from typing import Any

import msgspec

from reference_engine.sequence import SamplingParams
from reference_engine.server.protocol.errors import ApiError
from reference_engine.server.protocol.requests import GenerationRequest


def sampling(
    request: GenerationRequest, max_tokens: int, stop_token_ids: tuple[int, ...]
) -> SamplingParams:
    """Raises ApiError if more tokens are demanded than allowed."""
    min_tokens = request.min_tokens or 0
    if min_tokens > max_tokens:
        problem = f"min_tokens ({min_tokens}) is more than max_tokens ({max_tokens})"
        raise ApiError(400, problem, param="min_tokens")
    return SamplingParams(
        max_tokens=max_tokens,
        min_tokens=min_tokens,
        ignore_eos=bool(request.ignore_eos),
        temperature=1.0 if request.temperature is None else request.temperature,
        top_p=1.0 if request.top_p is None else request.top_p,
        top_k=max(request.top_k or 0, 0),
        min_p=request.min_p or 0.0,
        presence_penalty=request.presence_penalty or 0.0,
        frequency_penalty=request.frequency_penalty or 0.0,
        repetition_penalty=request.repetition_penalty or 1.0,
        logprobs=request.num_logprobs,
        seed=request.seed,
        stop_token_ids=stop_token_ids,
        priority=request.priority or 0,
        ttft_slo_s=request.ttft_slo_s,
    )


def for_choice(params: SamplingParams, reasoning_tokens: int, index: int) -> SamplingParams:
    """No end token while it thinks; each choice of a seeded request has its own seed."""
    changes: dict[str, Any] = {}
    if reasoning_tokens > params.min_tokens:
        changes["min_tokens"] = reasoning_tokens
    if index and params.seed is not None:
        changes["seed"] = params.seed + index
    return msgspec.structs.replace(params, **changes) if changes else params
