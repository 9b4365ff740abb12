"""METRICS: the catalogue, one line per metric; `summarise` computes all of it for one run."""

from benchsuite.metrics.answers import accuracy, accuracy_interval, correct_rate
from benchsuite.metrics.base import Metric, Summary
from benchsuite.metrics.generator import client_lag, connect_time, issue_delay, send_delay
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
)
from benchsuite.metrics.slo import Slos, slo_of
from benchsuite.metrics.slo_metrics import slo_metrics
from benchsuite.metrics.smoothness import (
    fluid_token_rate,
    jitter,
    lacks_fluid,
    longest_stall,
    pace_metrics,
    stalls,
)
from benchsuite.metrics.summaries import summaries
from benchsuite.metrics.throughput import (
    output_token_rate,
    output_tokens,
    prompt_tokens,
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
    Metric("icl", "Inter-chunk latency", "s", "lower", "chunk", icl),
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
    Metric("correct_rate", "Right answers/s", "answers/s", "higher", "run", correct_rate),
    Metric("prompt_tokens", "Prompt tokens", "tokens", "neither", "request", prompt_tokens),
    Metric("output_tokens", "Output tokens", "tokens", "neither", "request", output_tokens),
    Metric("send_delay", "Send delay", "s", "lower", "request", send_delay, over="sent"),
    Metric("issue_delay", "Issue delay", "s", "lower", "request", issue_delay, over="sent"),
    Metric("client_lag", "Client lag", "s", "lower", "chunk", client_lag, over="sent"),
    Metric("connect_time", "Connect time", "s", "lower", "request", connect_time, over="sent"),
)  # fmt: skip


def metrics_for(slos: Slos) -> tuple[Metric, ...]:
    """The catalogue, and what is measured against the SLOs where there are any."""
    return METRICS + (bound(slos) if slos else ())


def bound(slos: Slos) -> tuple[Metric, ...]:
    """What is measured against SLOs and the pace of tokens that they state."""
    return slo_metrics(slos) + pace_metrics(lambda name: slo_of(slos, name).reader)


def summarise(data: RunData, slos: Slos) -> dict[str, Summary]:
    """Every metric that this run can have, by name."""
    return summaries(metrics_for(slos), data)
