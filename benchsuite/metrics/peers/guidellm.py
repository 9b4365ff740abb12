"""GuideLLM 0.8 (`benchmarks.json`, the `successful` part of `metrics`).

Its time per output token includes the wait for the first, its inter-token latency does not; both
are weighted by tokens, and its percentiles are values that occurred (inverse of the distribution
function, no interpolation). Its clock is the wall clock.
"""

from typing import Final

import numpy as np

from benchsuite.metrics.peers.base import ratio, seen
from benchsuite.records.table import FloatArray, RunData

PERCENTILES: Final = {
    "p001": 0.001, "p01": 0.01, "p05": 0.05, "p10": 0.1, "p25": 0.25, "p50": 0.5,
    "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999,
}  # fmt: skip


def reported(data: RunData) -> dict[str, float]:
    """Milliseconds where the name says so, else seconds; rates are means over the duration."""
    found = seen(data)
    tokens = found.output_tokens.astype(np.float64)
    some, many = tokens > 0, found.has_tpot
    duration_s = float(np.max(found.ended_s, initial=found.begun_s)) - found.begun_s
    one = np.ones(len(tokens))
    return {
        **_distribution("request_latency", found.ended_s - found.sent_s, one),
        **_distribution("time_to_first_token_ms", found.ttft_s * 1e3, one),
        **_distribution(
            "time_per_output_token_ms",
            (found.latency_s * 1e3)[some] / tokens[some],
            tokens[some],
        ),
        **_distribution("inter_token_latency_ms", found.tpot_s * 1e3, tokens[many] - 1),
        **_distribution("output_token_count", tokens, one),
        **_distribution("prompt_token_count", found.prompt_tokens.astype(np.float64), one),
        "requests_per_second.mean": ratio(len(tokens), duration_s),
        "output_tokens_per_second.mean": ratio(float(tokens.sum()), duration_s),
        "request_totals.successful": len(tokens),
        "request_totals.errored": found.num_failed,
        "duration": duration_s,
    }


def _distribution(name: str, values: FloatArray, weights: FloatArray) -> dict[str, float]:
    if not len(values):
        return {}
    values, of_value = np.unique(values, return_inverse=True)
    together = np.bincount(of_value, weights).astype(np.float64)  # in its order, to the last digit
    values, together = values[together > 0], together[together > 0]
    shares = together / together.sum()
    mean = float(values @ shares)
    reached = np.minimum(
        np.searchsorted(shares.cumsum(), [*PERCENTILES.values()], side="left"), len(values) - 1
    )
    return {
        f"{name}.mean": mean,
        f"{name}.median": float(values[reached[list(PERCENTILES).index("p50")]]),
        f"{name}.std_dev": float(np.sqrt((values - mean) ** 2 @ shares)),
        f"{name}.min": float(values[0]),
        f"{name}.max": float(values[-1]),
        **{
            f"{name}.percentiles.{p}": float(values[at])
            for p, at in zip(PERCENTILES, reached, strict=True)
        },
    }
