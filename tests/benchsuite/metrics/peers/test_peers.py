"""What other tools would have said, on a run small enough to work out by hand."""

import math

import pytest

from benchsuite.metrics.peers import PEERS
from benchsuite.records.table import RunData
from tests.runs import failed, never_sent, record, run


def small() -> RunData:
    """Three answers sent at 1, 2, 3 s, late by 0.5 s each, and one that failed.

    Token times after sending: 0.2, 0.3, 0.5; then two in one chunk at 0.1; then one at 0.4. Streams
    end 0.1 s after the last token.
    """
    answers = (((0.2, 1), (0.3, 1), (0.5, 1)), ((0.1, 2),), ((0.4, 1),))
    records = [
        record(
            i,
            due_s=i + 0.5,
            sent_s=i + 1.0,
            chunks=tuple((after_s + 0.5, tokens) for after_s, tokens in chunks),
            finished_s=i + 1.0 + chunks[-1][0] + 0.1,
        )
        for i, chunks in enumerate(answers)
    ]
    return run(*records, failed(3, due_s=3.5, sent_s=4.0, finished_s=4.1))


def close(found: dict[str, float], **wanted: float) -> None:
    for name, value in wanted.items():
        key = name.replace("__", ".")
        assert found[key] == pytest.approx(value), key


def test_vllm() -> None:
    """TPOT over (output - 1), of answers of more than one token; ITL between chunks, pooled; the
    duration is the whole run's."""
    found = PEERS["vllm"](small())
    close(
        found,
        completed=3,
        failed=1,
        duration=2.5,
        output_throughput=6 / 2.5,
        mean_ttft_ms=(200 + 100 + 400) / 3,
        median_ttft_ms=200,
        p99_ttft_ms=396,
        mean_tpot_ms=(150 + 0) / 2,
        mean_itl_ms=150,
        std_itl_ms=50,
        mean_e2el_ms=(500 + 100 + 400) / 3,
        max_output_tokens_per_s=3,
        max_concurrent_requests=1,
    )


def test_sglang() -> None:
    """Concurrency is the sum of latencies over the duration; they end with the stream."""
    close(
        PEERS["sglang"](small()),
        concurrency=1.3 / 2.5,
        input_throughput=30 / 2.5,
        mean_e2e_latency_ms=1300 / 3,
        max_itl_ms=200,
    )


def test_aiperf() -> None:
    """What it calls inter-token latency is per request; its duration ends with the last token; a
    failure is infinitely late in the adjusted percentiles alone."""
    found = PEERS["aiperf"](small())
    close(
        found,
        time_to_first_token__avg=700 / 3,
        time_to_first_token__p50=200,
        inter_token_latency__avg=75,
        inter_chunk_latency__p50=150,
        time_to_second_token__avg=100,
        request_latency__max=500,
        benchmark_duration__avg=2.4,
        output_token_throughput__avg=6 / 2.4,
        adj_time_to_first_token__p50=400,
    )
    assert found["adj_time_to_first_token.p99"] == math.inf


def test_guidellm() -> None:
    """Time per output token includes the first, weighted by tokens; percentiles are values that
    occurred; latency ends with the stream."""
    close(
        PEERS["guidellm"](small()),
        request_latency__mean=(0.6 + 0.2 + 0.5) / 3,
        time_to_first_token_ms__median=200,
        time_per_output_token_ms__mean=(500 + 100 + 400) / 6,
        inter_token_latency_ms__mean=(150 * 2 + 0 * 1) / 3,
        inter_token_latency_ms__median=150,
        output_tokens_per_second__mean=6 / 2.5,
    )


def test_inference_perf() -> None:
    """Tokens of one chunk have no time between them."""
    found = PEERS["inference-perf"](small())
    close(
        found,
        latency__request_latency__median=0.5,
        latency__inter_token_latency__mean=0.1,
        latency__normalized_time_per_output_token__max=0.5,
    )


def test_mlperf() -> None:
    """From due, in nanoseconds, at index floor(n * p)."""
    found = PEERS["mlperf"](small())
    assert found["50.00 percentile first token latency (ns)"] == pytest.approx(0.7e9)
    assert found["99.00 percentile first token latency (ns)"] == pytest.approx(0.9e9)
    assert found["Scheduled samples per second"] == pytest.approx(1.0)
    assert math.isnan(found["Early stopping 99th percentile estimate, first token latency (ns)"])


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("data", [run(), run(failed(0), never_sent(1)), run(record(0))])
def test_runs_of_hardly_anything_are_told_without_an_error(peer: str, data: RunData) -> None:
    found = PEERS[peer](data)
    assert all(isinstance(value, float | int) for value in found.values())


def test_what_was_due_in_the_warm_up_is_left_out() -> None:
    data = run(*(record(i) for i in range(10)), window_s=(5.0, 10.0))
    assert PEERS["vllm"](data)["completed"] == 5
    assert PEERS["mlperf"](data)["Scheduled samples per second"] == pytest.approx(1.0)
