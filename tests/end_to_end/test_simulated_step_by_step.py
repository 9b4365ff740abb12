"""Virtual time's short cuts change nothing: tokens told in one go, steps that need no event loop,
decodes taken in together, plans that are not made again."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from benchsuite import runner
from benchsuite.scenario import load
from reference_engine.decode_runs import DecodeRuns
from reference_engine.server.choices import Choices
from reference_engine.step import Step
from reference_engine.virtual_time import VirtualTimeLoop
from reference_engine.worker import Worker

SCENARIO = """\
name: simulated
seed: 5
endpoint:
  type: in_process
  engine:
    model: llama-3-8b
    num_blocks: 260
    max_model_len: 4096
    max_sequences: 12
    executor: {type: roofline, device: h200}
workload:
  type: synthetic
  prompt_tokens: {type: log_normal, median: 300, p99: 1500, max: 2000}
  output_tokens: {type: uniform, low: 1, high: 200}
arrivals: {type: poisson, rate: 30}
limits: {duration: 4s, drain: 200ms}
validity: {load_error: 1.0}
"""
POLICIES = (
    "{type: colocated}",
    "{type: chunked_prefill, token_budget: 256}",
    "{type: chunked_prefill, replicas: 2}",
    "{type: layered_prefill}",
    "{type: deadline}",
    "{type: disaggregated, prefill_workers: 1, decode_workers: 1}",
)


@pytest.mark.parametrize("policy", POLICIES)
def test_records_are_those_of_every_step_and_token_by_itself(
    policy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Short of blocks, so that some are preempted, and cut off, so that some are not told to their
    end."""
    path = tmp_path / "scenario.yaml"
    path.write_text(SCENARIO)
    scenario = load(path, (f"endpoint.engine.policy={policy}",))
    quiet = Console(quiet=True)
    rides: list[bool] = []
    ride = DecodeRuns.ride

    async def counted(runs: DecodeRuns, step: Step) -> bool:
        rides.append(await ride(runs, step))
        return rides[-1]

    monkeypatch.setattr(DecodeRuns, "ride", counted)
    runner.run(scenario, tmp_path / "short", console=quiet)
    assert sum(rides) > 20, "hardly any decodes were taken in together"

    async def never(_: Choices) -> bool:
        return False

    monkeypatch.setattr(Choices, "gathered", never)
    monkeypatch.setattr(VirtualTimeLoop, "skip", lambda *_: False)
    monkeypatch.setattr(Worker, "_goes_on", lambda *_: False)
    runner.run(scenario, tmp_path / "long", console=quiet)
    short, long = (
        pq.read_table(tmp_path / name / "requests.parquet") for name in ("short", "long")
    )
    assert {"ok", "timeout"} <= set(short["status"].to_pylist())
    cut = [
        len(stamps)
        for stamps, status in zip(
            short["chunk_s"].to_pylist(), short["status"].to_pylist(), strict=True
        )
        if status == "timeout"
    ]
    assert any(cut), "none was cut off in the midst of its answer"
    assert short.equals(long)
    seen, seen_long = (
        pq.read_table(tmp_path / name / "telemetry.parquet") for name in ("short", "long")
    )
    assert seen.equals(seen_long), "the engine's counters differ"
