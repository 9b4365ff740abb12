"""MLPerf Inference, server scenario with token latencies, as LoadGen logs it: nanoseconds.

Latency counts from when a request was due. A percentile is the value at index floor(n * p) of the
sorted ones; samples per second are of the n - 1 after the first. A request without an answer is no
completed sample, and makes LoadGen's run invalid.
"""

from typing import Final

import numpy as np

from benchsuite.metrics.early_stopping import estimate, requests_needed
from benchsuite.metrics.latency import e2e_latency, ttft
from benchsuite.metrics.peers.base import mean, ratio
from benchsuite.records.table import FloatArray, RunData

PERCENTILES: Final = (0.50, 0.90, 0.95, 0.97, 0.99, 0.999)
TARGET: Final = 0.99  # of the TTFT and TPOT limits of the LLM benchmarks
NS: Final = 1e9


def reported(data: RunData) -> dict[str, float]:
    """Nanoseconds; samples and tokens per second."""
    chosen = data.ok & ~np.isnan(data.first_token_s) & (data.origin_s >= data.window_s[0])
    tokens = data.output_tokens[chosen]
    many = tokens > 1
    decode_s = (data.last_token_s - data.first_token_s)[chosen]
    first_ns = ttft(data)[chosen] * NS
    tpot_ns = decode_s[many] / (tokens[many] - 1) * NS
    due_s, ended_s = data.origin_s[chosen], data.finished_s[chosen]
    begun_s = float(np.min(due_s, initial=np.inf))
    duration_s = float(np.max(ended_s, initial=begun_s)) - begun_s if len(due_s) else 0.0
    span_s = float(due_s.max() - begun_s) if len(due_s) else 0.0
    return {
        "Scheduled samples per second": ratio(len(due_s) - 1, span_s),
        "Completed samples per second": ratio(len(due_s) - 1, duration_s),
        "Completed tokens per second": ratio(float(tokens.sum()), duration_s),
        **_percentiles("latency (ns)", "latency (ns)", e2e_latency(data)[chosen] * NS),
        **_percentiles("First Token latency (ns)", "first token latency (ns)", first_ns),
        **_percentiles("Time per Output Token (ns)", "time to output token (ns)", tpot_ns),
        "Early stopping 99th percentile estimate, first token latency (ns)": estimate(
            first_ns, TARGET
        ),
        "Early stopping 99th percentile estimate, time to output token (ns)": estimate(
            tpot_ns, TARGET
        ),
        "Queries needed for early stopping, none over the limit": requests_needed(0, TARGET),
    }


def _percentiles(name: str, in_percentiles: str, values: FloatArray) -> dict[str, float]:
    """Under its two names of the same thing."""
    if not len(values):
        return {}
    ordered = np.sort(values)
    return {
        f"Mean {name}": mean(values),
        f"Min {name}": float(ordered[0]),
        f"Max {name}": float(ordered[-1]),
        **{
            f"{100 * p:.2f} percentile {in_percentiles}": float(ordered[int(len(ordered) * p)])
            for p in PERCENTILES
        },
    }
