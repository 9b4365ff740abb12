"""The text of /metrics."""

import re

from reference_engine.stats import Gauges, Histogram, Stats

LINE = re.compile(r'(# TYPE \S+ \w+|[a-z0-9_:]+\{(\w+="(\\.|[^"\\])*",?)+\} [0-9.e+-]+|)')


def test_every_line_is_prometheus_text() -> None:
    """Comment, or name{labels} value; a quote in the model's name is escaped."""
    text = Stats().text(Gauges(1, 2, 0.25), 'my "model"\\')
    for line in text.split("\n"):
        assert LINE.fullmatch(line), line
    assert 'vllm:num_requests_running{model_name="my \\"model\\"\\\\"} 1.0' in text


def test_names_are_those_of_vllm() -> None:
    """A scraper written for vLLM finds what it looks for."""
    text = Stats().text(Gauges(0, 0, 0.0), "m")
    for name in (
        *("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"),
        *("num_requests_swapped", "cpu_cache_usage_perc"),
        *("prefix_cache_queries_total", "prefix_cache_hits_total", "prompt_tokens_total"),
        *("generation_tokens_total", "num_preemptions_total", "request_success_total"),
        *("time_to_first_token_seconds_bucket", "inter_token_latency_seconds_sum"),
        *("e2e_request_latency_seconds_count", "request_queue_time_seconds_bucket"),
        *("request_prefill_time_seconds_bucket", "request_decode_time_seconds_bucket"),
    ):
        assert f"\nvllm:{name}{{" in "\n" + text, name


def test_histogram_bounds_belong_to_their_bucket() -> None:
    """`le` means less or equal; what is above every bound is counted in the last."""
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 3.0):
        histogram.observe(value)
    histogram.observe(4.0, 2)
    assert histogram.counts == [2, 2, 3]
    assert histogram.sum == 16.0


def test_buckets_are_cumulative() -> None:
    """Each bucket holds those before it; +Inf equals the count."""
    stats = Stats()
    stats.inter_token_latency_s.observe(0.02, 3)
    stats.inter_token_latency_s.observe(1000.0)
    text = stats.text(Gauges(0, 0, 0.0), "m")
    name = "vllm:inter_token_latency_seconds"
    assert f'{name}_bucket{{le="0.01",model_name="m"}} 0.0' in text
    assert f'{name}_bucket{{le="0.025",model_name="m"}} 3.0' in text
    assert f'{name}_bucket{{le="80.0",model_name="m"}} 3.0' in text
    assert f'{name}_bucket{{le="+Inf",model_name="m"}} 4.0' in text
    assert f'{name}_count{{model_name="m"}} 4.0' in text
