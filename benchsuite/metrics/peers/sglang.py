"""`python -m sglang.bench_serving` 0.5.23 (OpenAI backends): vLLM's script, grown apart.

TTFT is its first non-empty text or reasoning; ITL the gap between chunks; its latency ends with the
stream, and its TPOT is made of that; concurrency is the sum of latencies / duration. Retokenised
counts are not recomputed: they need its tokenizer.
"""

import numpy as np

from benchsuite.metrics.peers.base import linear, mean, ratio, seen, spread
from benchsuite.records.table import FloatArray, RunData


def reported(data: RunData) -> dict[str, float]:
    """Milliseconds; tokens and requests per second of the whole run."""
    found = seen(data)
    duration_s = float(np.max(found.ended_s, initial=found.begun_s)) - found.begun_s
    num, prompt = len(found.sent_s), int(found.prompt_tokens.sum())
    output = int(found.output_tokens.sum())
    itl_ms, many = found.gaps_s * 1e3, found.has_tpot
    latency_s = found.ended_s - found.sent_s
    tpot_s = (latency_s - found.ttft_s)[many] / (found.output_tokens[many] - 1)
    return {
        "duration": duration_s,
        "completed": num,
        "total_input_tokens": prompt,
        "total_output_tokens": output,
        "request_throughput": ratio(num, duration_s),
        "input_throughput": ratio(prompt, duration_s),
        "output_throughput": ratio(output, duration_s),
        "total_throughput": ratio(prompt + output, duration_s),
        "concurrency": ratio(float(latency_s.sum()), duration_s),
        **_distribution("e2e_latency_ms", latency_s * 1e3),
        **_distribution("ttft_ms", found.ttft_s * 1e3),
        **_distribution("tpot_ms", tpot_s * 1e3),
        **_distribution("itl_ms", itl_ms),
        "max_itl_ms": float(itl_ms.max()) if len(itl_ms) else float("nan"),
    }


def _distribution(name: str, values: FloatArray) -> dict[str, float]:
    return {
        f"mean_{name}": mean(values),
        f"median_{name}": linear(values, 50),
        f"std_{name}": spread(values),
        **{f"p{percent}_{name}": linear(values, percent) for percent in (90, 95, 99)},
    }
