"""llm-d Benchmark Report 0.2.1 (llm-d/llm-d-benchmark, `br_v0_2_1_json_schema.json`), as JSON.

The types below are the parts of that schema that are filled in, field by field; what it allows and
we do not know stays out.
"""

import hashlib
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from benchsuite.metrics.base import Summary
from benchsuite.records.table import RunData
from benchsuite.results.result import RunResult

VERSION: Final = "0.2.1"
TOOL: Final = "benchsuite"
Units = Literal["count", "fraction", "s", "s/token", "tokens/s", "queries/s"]


class _Part(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Additional properties are refused everywhere."""


class RunTime(_Part, frozen=True):
    start: str
    end: str
    duration: str  # ISO 8601


class Run(_Part, frozen=True):
    uid: str
    time: RunTime
    description: str | None = None
    keywords: tuple[str, ...] | None = None


class SequenceLength(_Part, frozen=True):
    distribution: Literal["fixed", "gaussian", "uniform", "other"]
    value: float  # the mean
    min: int | None = None
    max: int | None = None


class LoadMetadata(_Part, frozen=True):
    cfg_id: str
    description: str | None = None


class LoadStandardized(_Part, frozen=True):
    tool: str
    tool_version: str
    source: Literal["random", "sampled", "unknown"]
    input_seq_len: SequenceLength
    output_seq_len: SequenceLength | None = None
    rate_qps: float | None = None
    concurrency: float | None = None


class LoadNative(_Part, frozen=True):
    config: dict[str, Any]


class Load(_Part, frozen=True):
    metadata: LoadMetadata
    standardized: LoadStandardized
    native: LoadNative


class Scenario(_Part, frozen=True):
    load: Load


class Statistics(_Part, frozen=True):
    units: Units
    mean: float
    stddev: float | None = None
    min: float | None = None
    p1: float | None = None
    p5: float | None = None
    p10: float | None = None
    p25: float | None = None
    p50: float | None = None
    p75: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    p99p9: float | None = None
    max: float | None = None


class AggregateRequests(_Part, frozen=True):
    total: int
    failures: int
    incomplete: int
    input_length: Statistics | None = None
    output_length: Statistics | None = None


class AggregateLatency(_Part, frozen=True):
    time_to_first_token: Statistics | None = None
    normalized_time_per_output_token: Statistics | None = None
    time_per_output_token: Statistics | None = None
    inter_token_latency: Statistics | None = None
    request_latency: Statistics | None = None


class AggregateThroughput(_Part, frozen=True):
    output_token_rate: Statistics | None = None
    total_token_rate: Statistics | None = None
    request_rate: Statistics | None = None


class Aggregate(_Part, frozen=True):
    requests: AggregateRequests
    latency: AggregateLatency
    throughput: AggregateThroughput


class RequestPerformance(_Part, frozen=True):
    aggregate: Aggregate


class Results(_Part, frozen=True):
    request_performance: RequestPerformance


class Report(_Part, frozen=True):
    version: Literal["0.2.1"]
    run: Run
    scenario: Scenario
    results: Results


def write(result: RunResult, data: RunData) -> bytes:
    """llm-d Benchmark Report 0.2.1. Latencies are this project's (from due, in seconds), of the
    measured window; a refused quantile stays out."""
    encoded = msgspec.json.encode(report(result, data))
    checked = msgspec.json.decode(encoded, type=Report)
    assert checked.version == VERSION
    return msgspec.json.format(encoded, indent=2) + b"\n"


def report(result: RunResult, data: RunData) -> Report:
    """The report as its types."""
    counts, told = result.requests, result.summaries
    requests = AggregateRequests(
        total=counts.sent,
        failures=counts.error + counts.timeout,
        incomplete=counts.cancelled,
        input_length=_statistics(told.get("prompt_tokens"), "count"),
        output_length=_statistics(told.get("output_tokens"), "count"),
    )
    latency = AggregateLatency(
        time_to_first_token=_statistics(told.get("ttft"), "s"),
        normalized_time_per_output_token=_statistics(told.get("normalised_latency"), "s/token"),
        time_per_output_token=_statistics(told.get("tpot"), "s/token"),
        inter_token_latency=_statistics(told.get("itl"), "s/token"),
        request_latency=_statistics(told.get("e2e_latency"), "s"),
    )
    throughput = AggregateThroughput(
        output_token_rate=_statistics(told.get("output_token_rate"), "tokens/s"),
        total_token_rate=_statistics(told.get("total_token_rate"), "tokens/s"),
        request_rate=_statistics(told.get("request_rate"), "queries/s"),
    )
    return Report(
        version=VERSION,
        run=_run(result),
        scenario=Scenario(load=_load(result)),
        results=Results(
            request_performance=RequestPerformance(
                aggregate=Aggregate(requests=requests, latency=latency, throughput=throughput)
            )
        ),
    )


def _run(result: RunResult) -> Run:
    start = datetime.fromisoformat(result.started_at)
    end = start + timedelta(seconds=result.duration_s)
    key = f"{result.started_at} {result.name} {result.duration_s!r}"
    return Run(
        uid=hashlib.sha256(key.encode()).hexdigest()[:32],
        time=RunTime(
            start=start.isoformat(), end=end.isoformat(), duration=f"PT{result.duration_s:.6f}S"
        ),
        description=result.description or result.name,
        keywords=(result.name, result.verdict),
    )


def _load(result: RunResult) -> Load:
    config = msgspec.json.encode(result.scenario, order="deterministic")
    arrivals = result.scenario.get("arrivals", {})
    is_made = result.scenario.get("workload", {}).get("type") == "synthetic"
    rate = arrivals.get("rate")
    prompt = _length(result.summaries.get("prompt_tokens"))
    return Load(
        metadata=LoadMetadata(cfg_id=hashlib.sha256(config).hexdigest()[:32]),
        standardized=LoadStandardized(
            tool=TOOL,
            tool_version=result.benchsuite_version,
            source="random" if is_made else "sampled",
            input_seq_len=prompt or SequenceLength(distribution="other", value=0),
            output_seq_len=_length(result.summaries.get("output_tokens")),
            rate_qps=float(rate) if rate else None,
            concurrency=arrivals.get("concurrency"),
        ),
        native=LoadNative(config=result.scenario),
    )


def _length(summary: Summary | None) -> SequenceLength | None:
    """As it was measured."""
    if summary is None or summary.mean is None or summary.min is None or summary.max is None:
        return None
    is_fixed = summary.min == summary.max
    return SequenceLength(
        distribution="fixed" if is_fixed else "other",
        value=summary.mean,
        min=int(summary.min),
        max=max(int(summary.max), 1),
    )


def _statistics(summary: Summary | None, units: Units) -> Statistics | None:
    if summary is None or summary.mean is None:
        return None
    quantiles = {
        name: getattr(summary, name)
        for name in ("min", "p1", "p5", "p10", "p25", "p50", "p75", "p90", "p95", "p99", "max")
    }
    return Statistics(
        units=units, mean=summary.mean, stddev=summary.std, p99p9=summary.p999, **quantiles
    )
