"""Counters and histograms behind /metrics, under the names and with the buckets of vLLM, so
that one scraper reads both. Prometheus text format 0.0.4.
"""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import Final, NamedTuple

from reference_engine.sequence import FinishReason, Phase, Sequence

_FIRST_TOKEN_S: Final = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5),
    *(10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
)
_TOKEN_GAP_S: Final = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5),
    *(10.0, 20.0, 40.0, 80.0),
)
_REQUEST_S: Final = (
    *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0),
    *(120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0),
)
_STEP_TOKENS: Final = tuple(float(n) for n in (1, 8, *(2**k for k in range(4, 15))))

_REASON_LABELS: Final[dict[FinishReason, str]] = {
    "stop": "stop",
    "length": "length",
    "cancelled": "abort",
    "error": "error",
}


class Gauges(NamedTuple):
    """What holds right now."""

    running: int
    waiting: int
    kv_usage: float  # share of blocks in use, 0..1
    swapped: int = 0
    swap_usage: float = 0.0  # share of host memory's blocks in use


class Histogram:
    """Counts of observations up to each bound."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)  # the last: above every bound
        self.sum = 0.0

    def observe(self, value: float, count: int = 1) -> None:
        """Count `value`, `count` times."""
        self.counts[bisect_left(self.bounds, value)] += count
        self.sum += value * count


class Stats:
    """What has happened since the engine was opened."""

    def __init__(self) -> None:
        self.prompt_tokens = 0
        self.generation_tokens = 0
        self.prefix_queries = 0  # tokens looked up in the prefix cache, and found there
        self.prefix_hits = 0
        self.preemptions = 0  # of both kinds
        self.swapped_out_blocks = 0
        self.swapped_in_blocks = 0
        self.encoder_queries = 0  # media tokens looked up in the encoder cache, and found there
        self.encoder_hits = 0
        self.finished: dict[FinishReason, int] = dict.fromkeys(_REASON_LABELS, 0)
        self.time_to_first_token_s = Histogram(_FIRST_TOKEN_S)
        self.inter_token_latency_s = Histogram(_TOKEN_GAP_S)
        self.time_per_output_token_s = Histogram(_TOKEN_GAP_S)  # per request
        self.e2e_latency_s = Histogram(_REQUEST_S)
        self.queue_time_s = Histogram(_REQUEST_S)
        self.prefill_time_s = Histogram(_REQUEST_S)
        self.decode_time_s = Histogram(_REQUEST_S)
        self.inference_time_s = Histogram(_REQUEST_S)
        self.step_tokens = Histogram(_STEP_TOKENS)

    def count_admission(self, sequence: Sequence) -> None:
        """First admission; a later one, after a preemption, says nothing about the cache."""
        self.prefix_queries += sequence.num_prompt_tokens
        self.prefix_hits += sequence.num_cached_tokens

    def count_first_token(self, sequence: Sequence, now_s: float) -> None:
        self.prompt_tokens += sequence.num_prompt_tokens
        self.time_to_first_token_s.observe(now_s - sequence.arrived_s)

    def count_finished(self, sequence: Sequence) -> None:
        """Times are kept of sequences that ran to their end."""
        reason = sequence.finish_reason
        assert reason is not None, "counted as finished before it was"
        self.finished[reason] += 1
        if reason not in ("stop", "length"):
            return
        stamps = sequence.stamps_s
        begun_s, first_s = stamps[Phase.PREFILLING], stamps[Phase.DECODING]
        end_s = stamps[Phase.FINISHED]
        self.e2e_latency_s.observe(end_s - sequence.arrived_s)
        self.queue_time_s.observe(begun_s - sequence.arrived_s)
        self.prefill_time_s.observe(first_s - begun_s)
        self.decode_time_s.observe(end_s - first_s)
        self.inference_time_s.observe(end_s - begun_s)
        gaps = len(sequence.output_ids) - 1
        if gaps:
            self.time_per_output_token_s.observe((end_s - first_s) / gaps)

    def text(self, gauges: Gauges, model_name: str) -> str:
        """The whole of /metrics."""
        return "\n".join(self._lines(gauges, model_label(model_name))) + "\n"

    def _lines(self, gauges: Gauges, label: str) -> Iterator[str]:
        for name, value in (
            ("num_requests_running", float(gauges.running)),
            ("num_requests_waiting", float(gauges.waiting)),
            ("kv_cache_usage_perc", gauges.kv_usage),
            ("num_requests_swapped", float(gauges.swapped)),
            ("cpu_cache_usage_perc", gauges.swap_usage),
        ):
            yield from (f"# TYPE vllm:{name} gauge", f"vllm:{name}{{{label}}} {value!r}")
        for name, count in (
            ("prefix_cache_queries", self.prefix_queries),
            ("prefix_cache_hits", self.prefix_hits),
            ("mm_cache_queries", self.encoder_queries),
            ("mm_cache_hits", self.encoder_hits),
            ("prompt_tokens", self.prompt_tokens),
            ("generation_tokens", self.generation_tokens),
            ("num_preemptions", self.preemptions),
        ):
            yield f"# TYPE vllm:{name}_total counter"
            yield f"vllm:{name}_total{{{label}}} {float(count)!r}"
        for name, count in (
            ("swapped_out_blocks", self.swapped_out_blocks),
            ("swapped_in_blocks", self.swapped_in_blocks),
        ):
            yield f"# TYPE reference_engine:{name}_total counter"
            yield f"reference_engine:{name}_total{{{label}}} {float(count)!r}"
        yield "# TYPE vllm:request_success_total counter"
        for reason, total in self.finished.items():
            labels = f'finished_reason="{_REASON_LABELS[reason]}",{label}'
            yield f"vllm:request_success_total{{{labels}}} {float(total)!r}"
        for name, histogram in (
            ("time_to_first_token_seconds", self.time_to_first_token_s),
            ("inter_token_latency_seconds", self.inter_token_latency_s),
            ("request_time_per_output_token_seconds", self.time_per_output_token_s),
            ("e2e_request_latency_seconds", self.e2e_latency_s),
            ("request_queue_time_seconds", self.queue_time_s),
            ("request_prefill_time_seconds", self.prefill_time_s),
            ("request_decode_time_seconds", self.decode_time_s),
            ("request_inference_time_seconds", self.inference_time_s),
            ("iteration_tokens_total", self.step_tokens),
        ):
            yield from histogram_lines(f"vllm:{name}", histogram, label)


def histogram_lines(name: str, histogram: Histogram, label: str) -> Iterator[str]:
    """Buckets are cumulative, the last one is everything."""
    yield f"# TYPE {name} histogram"
    totals = list(accumulate(histogram.counts))
    for bound, total in zip((*histogram.bounds, float("inf")), totals, strict=True):
        edge = "+Inf" if bound == float("inf") else repr(bound)
        yield f'{name}_bucket{{le="{edge}",{label}}} {float(total)!r}'
    yield f"{name}_count{{{label}}} {float(totals[-1])!r}"
    yield f"{name}_sum{{{label}}} {histogram.sum!r}"


def model_label(model_name: str) -> str:
    escaped = model_name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'model_name="{escaped}"'
