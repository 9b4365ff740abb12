"""Sides made of numbers alone, for tests of what is said of them."""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from benchsuite.comparison.sides import Run, Side
from benchsuite.metrics.base import Summary
from benchsuite.results.result import RunResult
from tests.benchsuite.report.synthetic import make_data, make_result

PLAIN = make_result(make_data(5, 5))
SCENARIO: dict[str, Any] = {
    "name": "test",
    "seed": 1,
    "endpoint": {"type": "openai_chat", "url": "http://a", "model": "m"},
    "workload": {"type": "synthetic", "prompt_tokens": {"type": "fixed", "value": 8}},
    "arrivals": {"type": "poisson", "rate": 4.0},
    "limits": {"warmup": 0.0},
    "slo": {},
    "tokenizer": "bundled",
}


def result(scenario: dict[str, Any] | None = None, **changes: Any) -> RunResult:
    """A valid run of SCENARIO with `scenario`'s keys."""
    usual = {"verdict": "valid", "reasons": (), "summaries": {}, "partial": None}
    return replace(PLAIN, scenario=SCENARIO | (scenario or {}), **(usual | changes))


def run(name: str, values: dict[str, float], seed: int = 1, **changes: Any) -> Run:
    """`values` by quantity: `ttft_p50`, and `output_token_rate` as its one value."""
    told: dict[str, Summary] = {}
    for key, value in values.items():
        metric, _, column = key.rpartition("_")
        if column not in ("p50", "p90", "p95", "p99"):
            metric, column = key, "mean"
        is_latency = metric in ("ttft", "tpot", "ttft_sent", "e2e_latency")
        plain = Summary(
            metric=metric,
            title=metric,
            unit="s" if is_latency else "tokens/s",
            better="lower" if is_latency else "higher",
            n=1000,
        )
        told[metric] = replace(told.get(metric, plain), **{column: value})
    scenario = {"seed": seed, **changes.pop("scenario", {})}
    return Run(name, result(scenario, summaries=told, **changes), {})


def side(name: str, ttft_s: Sequence[float], *, first_seed: int = 1) -> Side:
    """Runs whose numbers all scale with their ttft; each of a seed of its own."""
    runs = [
        run(
            f"{name}/{at}",
            {"ttft_p50": x, "ttft_p99": 3 * x, "tpot_p50": x / 9, "output_token_rate": 50 / x},
            first_seed + at,
        )
        for at, x in enumerate(ttft_s)
    ]
    return Side(name, tuple(runs))
