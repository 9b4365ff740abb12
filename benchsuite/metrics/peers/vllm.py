"""`vllm bench serve` 0.32 (`vllm/benchmarks/serve.py`): its flat JSON's numbers.

ITL is the gap between chunks, pooled; TPOT excludes the first token and one-token answers. Its
duration begins when it makes its first task and ends when it has gathered the last; ours from the
first request sent to the last stream ended. It stamps any chunk with `choices`, role-only, empty
and finish chunks too, where a server sends such; we keep those with tokens.
"""

import numpy as np

from benchsuite.metrics.peers.base import Seen, linear, mean, ratio, seen, spread
from benchsuite.records.table import FloatArray, RunData

PERCENTILES = (50, 90, 95, 99)


def reported(data: RunData) -> dict[str, float]:
    """Milliseconds; tokens and requests per second of the whole run."""
    found = seen(data)
    duration_s = float(np.max(found.ended_s, initial=found.begun_s)) - found.begun_s
    num, prompt = len(found.sent_s), int(found.prompt_tokens.sum())
    output = int(found.output_tokens.sum())
    return {
        "duration": duration_s,
        "completed": num,
        "failed": found.num_failed,
        "total_input_tokens": prompt,
        "total_output_tokens": output,
        "request_throughput": ratio(num, duration_s),
        "output_throughput": ratio(output, duration_s),
        "total_token_throughput": ratio(prompt + output, duration_s),
        **distribution("ttft_ms", found.ttft_s * 1e3),
        **distribution("tpot_ms", found.tpot_s * 1e3),
        **distribution("itl_ms", found.gaps_s * 1e3),
        **distribution("e2el_ms", found.latency_s * 1e3),
        **_busiest_second(found),
    }


def distribution(name: str, values: FloatArray) -> dict[str, float]:
    return {
        f"mean_{name}": mean(values),
        f"median_{name}": linear(values, 50),
        f"std_{name}": spread(values),
        **{f"p{percent}_{name}": linear(values, percent) for percent in PERCENTILES},
    }


def _busiest_second(found: Seen) -> dict[str, float]:
    """Chunks (it says tokens) that came in the busiest second, and requests that were in flight at
    any time of one; seconds are counted from the first request that ended well."""
    if not len(found.sent_s):
        return {"max_output_tokens_per_s": 0.0, "max_concurrent_requests": 0.0}
    zero_s = found.sent_s.min()
    came_s = np.concatenate((found.first_s, _after_first_s(found))) - zero_s
    begun = (found.sent_s - zero_s).astype(np.int64)
    ended = (found.last_s - zero_s).astype(np.int64)
    steps = np.zeros(int(ended.max()) + 2, dtype=np.int64)
    np.add.at(steps, begun, 1)
    np.add.at(steps, ended + 1, -1)
    return {
        "max_output_tokens_per_s": float(np.bincount(came_s.astype(np.int64)).max()),
        "max_concurrent_requests": float(steps.cumsum().max()),
    }


def _after_first_s(found: Seen) -> FloatArray:
    """When each chunk after the first of its answer came, [gaps]."""
    total = found.gaps_s.cumsum()
    is_first = np.diff(found.gap_of, prepend=-1) != 0
    before = np.maximum.accumulate(np.where(is_first, np.arange(len(total)), 0))
    came_s: FloatArray = found.first_s[found.gap_of] + total - (total - found.gaps_s)[before]
    return came_s
