"""METRICS: the catalogue, one line per metric; `summarise` computes all of it for one run."""

from benchsuite.metrics.answers import (
    accuracy,
    accuracy_interval,
    correct_rate,
    coverage_metric,
    lacks_natural_grades,
    lacks_votes,
    tokens_per_correct,
    vote_accuracy,
)
from benchsuite.metrics.base import Metric, Summary
from benchsuite.metrics.cold_start import (
    cold_start_count,
    cold_start_idle,
    cold_start_penalty,
    cold_start_utility,
    lacks_rest,
)
from benchsuite.metrics.cost import cost_metrics, use_metrics
from benchsuite.metrics.energy import energy_metrics
from benchsuite.metrics.fairness import lacks_tenants, tenant_fairness
from benchsuite.metrics.generator import client_lag, connect_time, issue_delay, send_delay
from benchsuite.metrics.items import (
    calls_per_item,
    lacks_items,
    output_tokens_per_item,
    prompt_tokens_per_item,
)
from benchsuite.metrics.latency import (
    e2e_latency,
    e2e_latency_sent,
    icl,
    itl,
    normalised_latency,
    tpot,
    tps_user,
    ttfo,
    ttft,
    ttft_sent,
    twin_of_icl,
)
from benchsuite.metrics.long_context import (
    gamma_interval,
    gamma_measured,
    lacks_contexts,
    lacks_lengths,
    lacks_prompts,
    overhead_interval,
    slope_interval,
    tpot_overhead,
    tpot_overhead_interval,
    tpot_per_context_token,
    tpot_slope_interval,
    ttft_overhead,
    ttft_per_prompt_token,
)
from benchsuite.metrics.overlap import (
    decode_concurrency,
    lacks_contrast,
    prefill_concurrency,
    prefill_interference,
    prefill_interference_interval,
    prefill_interference_share,
    prefill_interference_share_interval,
)
from benchsuite.metrics.pte import pte_metrics
from benchsuite.metrics.server import (
    kv_usage,
    preemptions,
    prefix_hit_share,
    server_queue_time,
    server_running,
    server_ttft,
    server_waiting,
    ttft_outside_server,
    untold,
)
from benchsuite.metrics.slo import Slos, slo_of
from benchsuite.metrics.slo_metrics import good_rate_of, slo_metrics
from benchsuite.metrics.smoothness import (
    fluid_token_rate,
    jitter,
    lacks_fluid,
    longest_stall,
    pace_metrics,
    stalls,
)
from benchsuite.metrics.summaries import summaries
from benchsuite.metrics.system import UNTOLD, System
from benchsuite.metrics.throughput import (
    answer_tokens,
    lacks_reasoning,
    output_token_rate,
    output_tokens,
    prompt_tokens,
    reasoning_tokens,
    request_rate,
    total_token_rate,
)
from benchsuite.records.table import RunData

# name, title, unit, better, shape, values
METRICS: tuple[Metric, ...] = (
    Metric("ttft", "Time to first token", "s", "lower", "request", ttft),
    Metric("ttft_sent", "Time to first token, from sent", "s", "lower", "request", ttft_sent),
    Metric("ttfo", "Time to first visible output", "s", "lower", "request", ttfo),
    Metric("tpot", "Time per output token", "s", "lower", "request", tpot),
    Metric("itl", "Inter-token latency", "s", "lower", "token", itl),
    Metric("icl", "Inter-chunk latency", "s", "lower", "chunk", icl, twin=twin_of_icl),
    Metric("e2e_latency", "E2E latency", "s", "lower", "request", e2e_latency),
    Metric("e2e_latency_sent", "E2E latency, from sent", "s", "lower", "request", e2e_latency_sent),
    Metric("normalised_latency", "Normalised latency", "s", "lower", "request", normalised_latency),
    Metric("tps_user", "Tokens/s per user", "tokens/s", "higher", "request", tps_user),
    Metric("longest_stall", "Longest stall", "s", "lower", "request", longest_stall),
    Metric("stalls", "Stalls", "", "lower", "request", stalls),
    Metric("jitter", "Jitter", "s", "lower", "request", jitter),
    Metric("fluid_token_rate", "Fluid tokens/s", "tokens/s", "higher", "run", fluid_token_rate,
           lacks=lacks_fluid),
    Metric("request_rate", "Request rate", "requests/s", "higher", "run", request_rate),
    Metric("output_token_rate", "Output tokens/s", "tokens/s", "higher", "run", output_token_rate),
    Metric("total_token_rate", "Total tokens/s", "tokens/s", "higher", "run", total_token_rate),
    Metric("accuracy", "Accuracy", "share", "higher", "run", accuracy, interval=accuracy_interval),
    Metric("vote_accuracy", "Accuracy of votes", "share", "higher", "run", vote_accuracy,
           lacks=lacks_votes),
    Metric("correct_rate", "Right answers/s", "answers/s", "higher", "run", correct_rate),
    Metric("tokens_per_correct", "Tokens per right answer", "tokens", "lower", "run",
           tokens_per_correct, lacks=lacks_natural_grades),
    *(coverage_metric(n) for n in (1, 2, 4, 8, 16, 32)),
    Metric("prefill_concurrency", "Prefills at once", "requests", "neither", "run",
           prefill_concurrency),
    Metric("decode_concurrency", "Decodes at once", "requests", "neither", "run",
           decode_concurrency),
    Metric("prefill_interference", "Gaps lengthened by prefills", "s", "lower", "run",
           prefill_interference, interval=prefill_interference_interval, lacks=lacks_contrast),
    Metric("prefill_interference_share", "Share of gaps owed to prefills", "share", "lower", "run",
           prefill_interference_share, interval=prefill_interference_share_interval,
           lacks=lacks_contrast),
    Metric("ttft_per_prompt_token", "First token, per prompt token", "s", "lower", "run",
           ttft_per_prompt_token, interval=slope_interval, lacks=lacks_prompts),
    Metric("ttft_overhead", "First token, of no prompt", "s", "lower", "run", ttft_overhead,
           interval=overhead_interval, lacks=lacks_prompts),
    Metric("tpot_per_context_token", "Output token, per context token", "s", "lower", "run",
           tpot_per_context_token, interval=tpot_slope_interval, lacks=lacks_contexts),
    Metric("tpot_overhead", "Output token, of no context", "s", "lower", "run", tpot_overhead,
           interval=tpot_overhead_interval, lacks=lacks_contexts),
    Metric("gamma_measured", "Gamma, measured", "", "lower", "run", gamma_measured,
           interval=gamma_interval, lacks=lacks_lengths),
    Metric("cold_starts", "Cold starts", "", "lower", "run", cold_start_count, lacks=lacks_rest),
    Metric("cold_start_penalty", "Cold start penalty", "s", "lower", "run", cold_start_penalty,
           lacks=lacks_rest),
    Metric("cold_start_utility", "Use for cold starts", "", "higher", "run", cold_start_utility,
           lacks=lacks_rest),
    Metric("cold_start_idle", "Idle before a cold start", "s", "higher", "run", cold_start_idle,
           lacks=lacks_rest),
    Metric("prompt_tokens", "Prompt tokens", "tokens", "neither", "request", prompt_tokens),
    Metric("output_tokens", "Output tokens", "tokens", "neither", "request", output_tokens),
    Metric("reasoning_tokens", "Reasoning tokens", "tokens", "neither", "request",
           reasoning_tokens, lacks=lacks_reasoning),
    Metric("answer_tokens", "Answer tokens", "tokens", "neither", "request", answer_tokens,
           lacks=lacks_reasoning),
    Metric("tenant_fairness", "Fairness among tenants", "", "higher", "run", tenant_fairness,
           lacks=lacks_tenants),
    Metric("calls_per_item", "Requests per item", "requests", "lower", "run", calls_per_item,
           lacks=lacks_items),
    Metric("prompt_tokens_per_item", "Prompt tokens per item", "tokens", "lower", "run",
           prompt_tokens_per_item, lacks=lacks_items),
    Metric("output_tokens_per_item", "Output tokens per item", "tokens", "lower", "run",
           output_tokens_per_item, lacks=lacks_items),
    Metric("send_delay", "Send delay", "s", "lower", "request", send_delay, over="sent"),
    Metric("issue_delay", "Issue delay", "s", "lower", "request", issue_delay, over="sent"),
    Metric("client_lag", "Client lag", "s", "lower", "chunk", client_lag, over="sent"),
    Metric("server_ttft", "TTFT, by the server", "s", "lower", "run", server_ttft,
           lacks=untold("ttft_s_sum")),
    Metric("ttft_outside_server", "TTFT outside it", "s", "lower", "run", ttft_outside_server,
           lacks=untold("ttft_s_sum")),
    Metric("server_queue_time", "Queue time", "s", "lower", "run", server_queue_time,
           lacks=untold("queue_time_s_sum")),
    Metric("server_running", "Requests running", "requests", "neither", "run", server_running,
           lacks=untold("running")),
    Metric("server_waiting", "Requests waiting", "requests", "lower", "run", server_waiting,
           lacks=untold("waiting")),
    Metric("kv_usage", "KV cache used, at most", "share", "neither", "run", kv_usage,
           lacks=untold("kv_usage_share")),
    Metric("prefix_hit_share", "Prefix cache hits", "share", "higher", "run", prefix_hit_share,
           lacks=untold("prefix_queries_total", "prefix_hit_share")),
    Metric("preemptions", "Preemptions", "times", "lower", "run", preemptions,
           lacks=untold("preemptions_total")),
    Metric("connect_time", "Connect time", "s", "lower", "request", connect_time, over="sent"),
)  # fmt: skip


def metrics_for(slos: Slos, system: System = UNTOLD) -> tuple[Metric, ...]:
    """The catalogue, what is made of the system that was told, and what is measured against the
    SLOs where there are any."""
    return METRICS + of_system(slos, system) + (bound(slos) if slos else ())


def of_system(slos: Slos, system: System) -> tuple[Metric, ...]:
    """PTE, use of the accelerators, cost and energy."""
    good_rate = good_rate_of(slos) if slos else None
    return (
        pte_metrics(system) + use_metrics(system) + cost_metrics(system) + energy_metrics(good_rate)
    )


def bound(slos: Slos) -> tuple[Metric, ...]:
    """What is measured against SLOs and the pace of tokens that they state."""
    return slo_metrics(slos) + pace_metrics(lambda name: slo_of(slos, name).reader)


def summarise(data: RunData, slos: Slos, system: System = UNTOLD) -> dict[str, Summary]:
    """Every metric that this run can have, by name."""
    return summaries(metrics_for(slos, system), data)
