"""Servers' own pages in our words; tests/data/README.md says where each scrape is from."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsuite.loadgen.server_metrics import ALIASES, parse
from reference_engine.stats import Gauges, Stats

SCRAPES = Path(__file__).parents[2] / "data" / "metrics"


def scrape(server: str) -> dict[str, float]:
    return parse((SCRAPES / f"{server}.txt").read_text())


def test_vllm() -> None:
    """A scrape of vLLM 0.32.0 while it served."""
    assert scrape("vllm") == VLLM


def test_llama_cpp() -> None:
    """A scrape of llama.cpp while it served: it tells no latencies."""
    assert scrape("llama_cpp") == LLAMA_CPP


def test_sglang() -> None:
    """The scrape that SGLang's documentation shows."""
    found = scrape("sglang")
    assert found == {
        "running": 162.0,
        "waiting": 2826.0,
        "prompt_tokens_total": 8.128902e06,
        "output_tokens_total": 7.557572e06,
        "kv_usage_share": 0.28,
        "prefix_hit_share": 0.007507552643049313,
        "ttft_s_count": 11008.0,
        "ttft_s_sum": 2.3518979474117756e06,
        "e2e_latency_s_count": 11228.0,
        "e2e_latency_s_sum": 3.116093850019932e06,
    }


def test_tgi() -> None:
    """The names of TGI's documentation; a histogram's sum of lengths is its count of tokens."""
    found = scrape("tgi")
    assert found == {
        "running": 4.0,
        "waiting": 7.0,
        "finished_total": 40.0,
        "prompt_tokens_total": 18000.0,
        "output_tokens_total": 8123.0,
        "queue_time_s_count": 44.0,
        "queue_time_s_sum": 3.2,
        "e2e_latency_s_count": 44.0,
        "e2e_latency_s_sum": 81.5,
    }


def test_the_bundled_engine_speaks_vllms_names() -> None:
    """Everything that the table has for vLLM today; the older names are only read."""
    text = Stats().text(Gauges(running=3, waiting=2, kv_usage=0.25), "tiny")
    found = parse(text)
    newest = {ours for ours, names in ALIASES.items() if names[0].startswith("vllm:")}
    assert found.keys() == newest
    assert (found["running"], found["waiting"], found["kv_usage_share"]) == (3, 2, 0.25)


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (['vllm:num_requests_running{a="}",b="\\"x\\\\"} 2 1700000000000'], {"running": 2.0}),
        (
            ["vllm:num_requests_running 1\r", "vllm:num_requests_waiting 2\r"],
            {"running": 1, "waiting": 2},
        ),
        (
            ['vllm:request_success_total{r="stop"} 2', 'vllm:request_success_total{r="length"} 3'],
            {"finished_total": 5},
        ),
        (
            ['vllm:kv_cache_usage_perc{e="0"} 0.25', 'vllm:kv_cache_usage_perc{e="1"} 0.5'],
            {"kv_usage_share": 0.375},
        ),
        (["vllm:gpu_cache_usage_perc 0.5"], {"kv_usage_share": 0.5}),
        (["vllm:num_requests_running NaN", "vllm:num_requests_waiting +Inf"], {}),
        (["vllm:num_requests_running_total 9", "<html>404</html>"], {}),
        ([], {}),
    ],
)
def test_labels_reasons_engines_and_what_is_none(lines: list[str], found: dict[str, float]) -> None:
    """Series of one name are added up, shares averaged, what is not finite passed over."""
    assert parse("\n".join(lines)) == found


@given(st.text(max_size=200))
def test_no_page_is_an_error(text: str) -> None:
    parse(text)


LLAMA_CPP = {
    "running": 4.0,
    "waiting": 0.0,
    "prompt_tokens_total": 102.0,
    "output_tokens_total": 24.0,
    "prefix_hits_total": 100.0,
}

VLLM = {
    "running": 1.0,
    "waiting": 0.0,
    "finished_total": 1.0,
    "preemptions_total": 0.0,
    "prompt_tokens_total": 202.0,
    "output_tokens_total": 25.0,
    "prefix_queries_total": 202.0,
    "prefix_hits_total": 0.0,
    "kv_usage_share": 0.002450980392156854,
    "ttft_s_count": 2.0,
    "ttft_s_sum": 0.19813084602355957,
    "queue_time_s_count": 1.0,
    "queue_time_s_sum": 4.893100003755535e-05,
    "e2e_latency_s_count": 1.0,
    "e2e_latency_s_sum": 0.7943499088287354,
}
