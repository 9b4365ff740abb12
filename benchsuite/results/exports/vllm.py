"""The flat JSON of `vllm bench serve --save-result --save-detailed`, which many tools read."""

from datetime import datetime
from typing import Any

import msgspec
import numpy as np

from benchsuite.metrics.peers import vllm
from benchsuite.records.table import BoolArray, RunData
from benchsuite.results.result import RunResult


def write(result: RunResult, data: RunData) -> bytes:
    """vLLM's flat JSON, with its arrays: one entry a request in order of sending, failed ones with
    an output of 0 tokens. Numbers are vLLM's definitions; lost is when a request was due."""
    scenario = result.scenario
    arrivals, endpoint = scenario.get("arrivals", {}), scenario.get("endpoint", {})
    sent = np.flatnonzero(~np.isnan(data.sent_s) & (data.origin_s >= data.window_s[0]))
    sent = sent[np.argsort(data.sent_s[sent], kind="stable")]
    numbers = {name: _finite(value) for name, value in vllm.reported(data).items()}
    flat = {
        "date": f"{datetime.fromisoformat(result.started_at):%Y%m%d-%H%M%S}",
        "endpoint_type": "openai-chat",
        "backend": "openai-chat",
        "label": result.name,
        "model_id": endpoint.get("model"),
        "tokenizer_id": scenario.get("tokenizer"),
        "num_prompts": len(sent),
        "request_rate": arrivals.get("rate", "inf"),
        "burstiness": arrivals.get("burstiness", 1.0),
        "max_concurrency": arrivals.get("concurrency"),
        **numbers,
        **_arrays(data, sent.tolist(), data.ok & ~np.isnan(data.first_token_s)),
    }
    return msgspec.json.format(msgspec.json.encode(flat), indent=0) + b"\n"


def _arrays(data: RunData, sent: list[int], good: BoolArray) -> dict[str, list[Any]]:
    def gaps_s(at: int) -> list[float]:
        chunk_s = data.chunk_s[data.chunk_start[at] : data.chunk_start[at + 1]]
        found: list[float] = np.diff(chunk_s).tolist()
        return found

    return {
        "input_lens": [int(data.prompt_tokens[at]) for at in sent],
        "output_lens": [int(data.output_tokens[at]) if good[at] else 0 for at in sent],
        "ttfts": [
            float(data.first_token_s[at] - data.sent_s[at]) if good[at] else 0.0 for at in sent
        ],
        "itls": [gaps_s(at) if good[at] else [] for at in sent],
        "start_times": [float(data.sent_s[at]) for at in sent],
        "latencies": [
            float(data.last_token_s[at] - data.sent_s[at]) if good[at] else 0.0 for at in sent
        ],
        "queue_times": [float(data.sent_s[at] - data.origin_s[at]) for at in sent],
        "errors": [data.error[at] for at in sent],
    }


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
