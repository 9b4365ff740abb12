"""inference-perf 0.7 (`summary_lifecycle_metrics.json`, the part `successes`): seconds.

Its inter-token latency is over tokens, zero between tokens of one chunk; its request latency ends
with the stream. Its first token is text: where a model reasons first, its TTFT is later than this.
"""

from typing import Final

import numpy as np

from benchsuite.metrics.peers.base import linear, mean, ratio, seen
from benchsuite.records.table import FloatArray, RunData

PERCENTILES: Final = {
    "p0.1": 0.1, "p1": 1, "p5": 5, "p10": 10, "p25": 25, "median": 50,
    "p75": 75, "p90": 90, "p95": 95, "p99": 99, "p99.9": 99.9,
}  # fmt: skip


def reported(data: RunData) -> dict[str, float]:
    """Seconds and rates per second."""
    found = seen(data)
    tokens = found.output_tokens.astype(np.float64)
    latency_s = found.ended_s - found.sent_s
    some = tokens > 0
    duration_s = float(np.max(found.ended_s, initial=found.begun_s)) - found.begun_s
    prompt = float(found.prompt_tokens.sum())
    inside = int(tokens.sum()) - len(tokens) - len(found.gaps_s)  # tokens that came with another
    itl_s = np.concatenate((found.gaps_s, np.zeros(max(inside, 0))))
    return {
        "count": len(tokens),
        **_distribution("latency.request_latency", latency_s),
        **_distribution("latency.normalized_time_per_output_token", latency_s[some] / tokens[some]),
        **_distribution("latency.time_per_output_token", found.tpot_s),
        **_distribution("latency.time_to_first_token", found.ttft_s),
        **_distribution("latency.inter_token_latency", itl_s),
        "throughput.input_tokens_per_sec": ratio(prompt, duration_s),
        "throughput.output_tokens_per_sec": ratio(float(tokens.sum()), duration_s),
        "throughput.total_tokens_per_sec": ratio(prompt + float(tokens.sum()), duration_s),
        "throughput.requests_per_sec": ratio(len(tokens), duration_s),
        **_distribution("prompt_tokens", found.prompt_tokens.astype(np.float64)),
        **_distribution("output_len", tokens),
        "failures.count": found.num_failed,
    }


def _distribution(name: str, values: FloatArray) -> dict[str, float]:
    if not len(values):
        return {}
    return {
        f"{name}.mean": mean(values),
        f"{name}.min": float(values.min()),
        **{f"{name}.{p}": linear(values, percent) for p, percent in PERCENTILES.items()},
        f"{name}.max": float(values.max()),
    }
