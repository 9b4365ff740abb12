"""AIPerf 0.13 (`profile_export_aiperf.json`): per metric avg, min, max, std, p1 ... p99.

Its inter-token latency is a number per request, what others call TPOT; its inter-chunk latency is
vLLM's ITL. Its duration ends with the last token, not with the stream; its rates divide by the time
of its phase, which is longer and in no record. Errors are left out of the plain percentiles; `adj_`
ones count each as infinitely late, by the nearest rank.
"""

import numpy as np

from benchsuite.metrics.peers.base import Seen, mean, ratio, seen, spread
from benchsuite.records.table import FloatArray, RunData

PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)


def reported(data: RunData) -> dict[str, float]:
    """Latencies in milliseconds, rates per second."""
    found = seen(data)
    last_s = float(np.max(found.last_s, initial=found.begun_s))
    duration_s = last_s - found.begun_s
    num, output = len(found.sent_s), int(found.output_tokens.sum())
    total = output + int(found.prompt_tokens.sum())
    values = _per_request(found)
    flat = {name: each for key in values for name, each in _distribution(key, values[key]).items()}
    return {
        **flat,
        **{
            name: each
            for key in ("time_to_first_token", "inter_token_latency", "request_latency")
            for name, each in _adjusted(key, values[key], found.num_failed).items()
        },
        "output_token_throughput.avg": ratio(output, duration_s),
        "total_token_throughput.avg": ratio(total, duration_s),
        "request_throughput.avg": ratio(num, duration_s),
        "request_count.avg": num,
        "error_request_count.avg": found.num_failed,
        "total_output_tokens.avg": output,
        "benchmark_duration.avg": duration_s,
    }


def _per_request(found: Seen) -> dict[str, FloatArray]:
    tokens = found.output_tokens.astype(np.float64)
    first_gap = np.diff(found.gap_of, prepend=-1) != 0
    tpot_s = found.tpot_s
    return {
        "time_to_first_token": found.ttft_s * 1e3,
        "time_to_second_token": found.gaps_s[first_gap] * 1e3,
        "request_latency": found.latency_s * 1e3,
        "inter_token_latency": tpot_s * 1e3,
        "inter_chunk_latency": found.gaps_s * 1e3,
        "output_token_throughput_per_user": 1 / tpot_s[tpot_s > 0],
        "e2e_output_token_throughput": (tokens / found.latency_s)[found.latency_s > 0],
        "prefill_throughput_per_user": (found.prompt_tokens / found.ttft_s)[found.ttft_s > 0],
        "output_sequence_length": tokens,
        "input_sequence_length": found.prompt_tokens.astype(np.float64),
    }


def _distribution(name: str, values: FloatArray) -> dict[str, float]:
    if not len(values):
        return {}
    points = np.percentile(values, PERCENTILES)
    return {
        f"{name}.avg": mean(values),
        f"{name}.min": float(values.min()),
        f"{name}.max": float(values.max()),
        f"{name}.std": spread(values),
        **{f"{name}.p{p}": float(each) for p, each in zip(PERCENTILES, points, strict=True)},
    }


def _adjusted(name: str, values: FloatArray, num_failed: int) -> dict[str, float]:
    """Only where something failed, as in AIPerf's own export."""
    if not num_failed:
        return {}
    inflated = np.concatenate((values, np.full(num_failed, np.inf)))
    points = np.percentile(inflated, PERCENTILES, method="nearest")
    return {f"adj_{name}.p{p}": float(each) for p, each in zip(PERCENTILES, points, strict=True)}
