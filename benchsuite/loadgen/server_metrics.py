"""A server's `/metrics` in this house's words: one alias table over vLLM, SGLang, TGI, llama.cpp
and the bundled engine (which speaks vLLM's names).

Prometheus text format 0.0.4. Series of one name that differ by their labels are added up (engines
of one server, reasons of one counter); shares are averaged. What a server does not say is absent.
"""

import math
import re
from collections.abc import Mapping
from typing import Final

# our name -> the names that servers have for it, newest first
ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    # requests
    "running": (
        "vllm:num_requests_running",
        "sglang:num_running_reqs",
        "tgi_batch_current_size",
        "llamacpp:requests_processing",
    ),
    "waiting": (
        "vllm:num_requests_waiting",
        "sglang:num_queue_reqs",
        "tgi_queue_size",
        "llamacpp:requests_deferred",
    ),
    "finished_total": (
        "vllm:request_success_total",
        "sglang:num_requests_total",
        "tgi_request_success",
    ),
    "preemptions_total": (
        "vllm:num_preemptions_total",
        "sglang:num_retracted_requests_total",
    ),
    # tokens
    "prompt_tokens_total": (
        "vllm:prompt_tokens_total",
        "sglang:prompt_tokens_total",
        "tgi_request_input_length_sum",
        "llamacpp:prompt_tokens_total",
    ),
    "output_tokens_total": (
        "vllm:generation_tokens_total",
        "sglang:generation_tokens_total",
        "tgi_request_generated_tokens_sum",
        "llamacpp:tokens_predicted_total",
    ),
    "prefix_queries_total": (
        "vllm:prefix_cache_queries_total",
        "vllm:gpu_prefix_cache_queries_total",
    ),
    "prefix_hits_total": (
        "vllm:prefix_cache_hits_total",
        "vllm:gpu_prefix_cache_hits_total",
        "sglang:cached_tokens_total",
        "llamacpp:prompt_tokens_cached_total",
    ),
    # shares, 0 to 1
    "kv_usage_share": (
        "vllm:kv_cache_usage_perc",
        "vllm:gpu_cache_usage_perc",
        "sglang:token_usage",
        "llamacpp:kv_cache_usage_ratio",
    ),
    "prefix_hit_share": ("sglang:cache_hit_rate",),
    # times, seconds: of how many requests, and their sum
    "ttft_s_count": (
        "vllm:time_to_first_token_seconds_count",
        "sglang:time_to_first_token_seconds_count",
    ),
    "ttft_s_sum": (
        "vllm:time_to_first_token_seconds_sum",
        "sglang:time_to_first_token_seconds_sum",
    ),
    "queue_time_s_count": (
        "vllm:request_queue_time_seconds_count",
        "sglang:queue_time_seconds_count",
        "tgi_request_queue_duration_count",
    ),
    "queue_time_s_sum": (
        "vllm:request_queue_time_seconds_sum",
        "sglang:queue_time_seconds_sum",
        "tgi_request_queue_duration_sum",
    ),
    "e2e_latency_s_count": (
        "vllm:e2e_request_latency_seconds_count",
        "sglang:e2e_request_latency_seconds_count",
        "tgi_request_duration_count",
    ),
    "e2e_latency_s_sum": (
        "vllm:e2e_request_latency_seconds_sum",
        "sglang:e2e_request_latency_seconds_sum",
        "tgi_request_duration_sum",
    ),
}
_WANTED: Final = {theirs for names in ALIASES.values() for theirs in names}
_LINE: Final = re.compile(
    r'([a-zA-Z_:][\w:]*)(?:\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?[ \t]+(\S+)(?:[ \t]+-?\d+)?[ \t]*',
    re.ASCII,
)


def parse(text: str) -> dict[str, float]:
    """What the text says, under our names. A line that is none, and a value that is not finite,
    are passed over: a server may print what it likes."""
    found: dict[str, list[float]] = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is not None and match[1] in _WANTED:
            value = _number(match[2])
            if math.isfinite(value):
                found.setdefault(match[1], []).append(value)
    return {
        ours: _together(ours, found[theirs])
        for ours, names in ALIASES.items()
        for theirs in [next((name for name in names if name in found), None)]
        if theirs is not None
    }


def _together(ours: str, values: list[float]) -> float:
    total = math.fsum(values)
    return total / len(values) if ours.endswith("_share") else total


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
