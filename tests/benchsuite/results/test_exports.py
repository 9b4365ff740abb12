"""A run in the files of other tools."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest

from benchsuite.metrics.slo import Slo
from benchsuite.metrics.validity import Validity
from benchsuite.records.table import RunData
from benchsuite.results.environment import Environment
from benchsuite.results.exports import EXPORTS, llm_d
from benchsuite.results.result import RunResult
from tests.runs import failed, never_sent, record, run

SCENARIO = {
    "endpoint": {"model": "tiny"},
    "workload": {"type": "synthetic"},
    "arrivals": {"type": "poisson", "rate": 1.0},
    "tokenizer": "bundled",
}


def many() -> RunData:
    return run(*(record(i) for i in range(40)), failed(40), window_s=(0.0, 41.0))


def exported(name: str, data: RunData, **changes: Any) -> Any:
    result = RunResult.of(
        data,
        name="tiny",
        slos={"default": Slo(ttft=1.0)},
        validity=Validity(errors=1.0, **changes),
        scenario=SCENARIO,
        environment=Environment.capture(),
        started_at="2026-01-01T00:00:00+00:00",
    )
    return json.loads(EXPORTS[name](result, data))


def test_vllm_has_an_entry_per_request_in_its_arrays() -> None:
    """Failed ones with nothing in them; the numbers are those that vLLM would have printed."""
    found = exported("vllm", many())
    assert found["date"] == "20260101-000000"
    assert (found["model_id"], found["num_prompts"]) == ("tiny", 41)
    assert (found["completed"], found["failed"], found["request_rate"]) == (40, 1, 1.0)
    arrays = ("input_lens", "output_lens", "ttfts", "itls", "start_times", "errors")
    assert {len(found[name]) for name in arrays} == {41}
    assert found["ttfts"][0] == pytest.approx(0.2)
    assert found["itls"][0] == pytest.approx([0.1, 0.1, 0.1])
    assert (found["output_lens"][-1], found["itls"][-1]) == (0, [])
    assert found["mean_ttft_ms"] == pytest.approx(200)


def test_an_llm_d_report_keeps_to_its_schema() -> None:
    """The types are the schema: unknown fields and units are refused. Seconds, from due."""
    found = msgspec.convert(exported("llm-d", many()), llm_d.Report)
    assert found.run.time.start == "2026-01-01T00:00:00+00:00"
    assert found.run.time.duration == "PT40.500000S" or found.run.time.duration.startswith("PT")
    told = found.results.request_performance.aggregate
    assert (told.requests.total, told.requests.failures) == (41, 1)
    assert told.latency.time_to_first_token is not None
    assert told.latency.time_to_first_token.units == "s"
    assert told.latency.time_to_first_token.p50 == pytest.approx(0.2)
    assert told.latency.time_to_first_token.p99 is None, "refused for 40 values"
    load = found.scenario.load.standardized
    assert (load.rate_qps, load.source) == (1.0, "random")
    assert (load.input_seq_len.distribution, load.input_seq_len.value) == ("fixed", 10.0)


def test_github_has_what_is_better_when_lower() -> None:
    found = exported("github", many())
    by_name = {point["name"]: point for point in found}
    assert by_name["tiny: ttft p50"]["value"] == pytest.approx(200)
    assert by_name["tiny: ttft p50"]["unit"] == "ms"
    assert "to" in by_name["tiny: ttft p50"]["range"]
    assert not any("output_token_rate" in name for name in by_name)


def test_github_has_nothing_of_an_invalid_run() -> None:
    """A number that nobody may trust is no point of a curve."""
    assert exported("github", many(), min_requests=1000) == []


def test_a_trace_has_balanced_spans_and_counters() -> None:
    """Every `b` has its `e`, not before it; what was never sent has no place on a time line."""
    data = run(*(record(i) for i in range(5)), failed(5), never_sent(6))
    object.__setattr__(data, "samples", {"server.running": np.array([[0.0, 1.0], [1.0, 2.0]])})
    events = exported("trace", data)["traceEvents"]
    begun = {(e["id"], e["name"]): e["ts"] for e in events if e["ph"] == "b"}
    ended = {(e["id"], e["name"]): e["ts"] for e in events if e["ph"] == "e"}
    assert begun.keys() == ended.keys()
    assert all(begun[key] <= ended[key] for key in begun)
    assert {number for number, _ in begun} == {0, 1, 2, 3, 4, 5}
    assert begun[2, "request"] == pytest.approx(2e6)
    assert ended[2, "first token"] == pytest.approx(2.2e6)
    counted = [e["args"]["value"] for e in events if e.get("name") == "server.running"]
    assert counted == [1.0, 2.0]


@pytest.mark.parametrize("name", EXPORTS)
@pytest.mark.parametrize("data", [run(), run(failed(0), never_sent(1)), run(record(0))])
def test_runs_of_hardly_anything_are_json(name: str, data: RunData) -> None:
    """Neither NaN nor infinity is."""
    json.dumps(exported(name, data), allow_nan=False)
