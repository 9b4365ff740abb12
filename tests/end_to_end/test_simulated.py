"""Runs on virtual time: the whole road, equal to the last bit, on any machine."""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from benchsuite import runner
from benchsuite.results.result import RunResult
from benchsuite.scenario import load, save

SCENARIO = """\
name: simulated
seed: 7
endpoint:
  type: in_process
  engine: {model: llama-3-8b, executor: {type: roofline, device: h200}}
workload:
  type: synthetic
  prompt_tokens: {type: empirical, values: [32, 500, 1000]}
  output_tokens: {type: uniform, low: 1, high: 24}
arrivals: {type: constant, rate: 16}
limits: {requests: 96}
telemetry: {every: 250ms}
slo: {default: {ttft: 500ms, tpot: 50ms}}
"""

# name: n, p50, mean. A step that only decodes reads 15.0 GB of weights at 4.8 TB/s, and 0.2 ms come
# on top: 3.33 ms and a little for keys and values.
GOLDEN = {
    "ttft": (96, 0.0075717160337354095, 0.009768936847629379),
    "tpot": (92, 0.003354575359999945, 0.0034143399109419783),
    "itl": (1090, 0.0033411950933333184, 0.0034572908880364764),
    "e2e_latency": (96, 0.049304442050941866, 0.04902359380554353),
}


def simulated(folder: Path, *overrides: str) -> tuple[Path, RunResult]:
    """A new run folder and what the run found."""
    folder.mkdir()
    path = folder / "scenario.yaml"
    path.write_text(SCENARIO)
    out = folder / "run"
    return out, runner.run(load(path, overrides), out, console=Console(quiet=True))


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunResult]:
    return simulated(tmp_path_factory.mktemp("first") / "a")


def test_twice_is_equal_to_the_last_bit(first: tuple[Path, RunResult], tmp_path: Path) -> None:
    """The records of a second run, in another process with another hash seed, are the first's."""
    out = tmp_path / "again"
    command = [sys.executable, "-m", "benchsuite", "run", str(first[0].parent / "scenario.yaml")]
    subprocess.run(
        [*command, "--out", str(out)],
        env={**os.environ, "PYTHONHASHSEED": "5"},
        capture_output=True,
        check=True,
    )
    records = first[0] / "requests.parquet"
    assert (out / "requests.parquet").read_bytes() == records.read_bytes()
    result = RunResult.load(out)
    assert result.summaries == first[1].summaries
    assert result.attainment == first[1].attainment


def test_another_seed_is_another_run(first: tuple[Path, RunResult], tmp_path: Path) -> None:
    """Equal records are equal since the seed is, not since nothing depends on it."""
    out, _ = simulated(tmp_path / "other", "seed=8")
    records = first[0] / "requests.parquet"
    assert (out / "requests.parquet").read_bytes() != records.read_bytes()


def test_the_numbers_are_nobody_s_machine_s(first: tuple[Path, RunResult]) -> None:
    """Times from the device's data sheet and the virtual clock alone: known in advance."""
    result = first[1]
    assert result.verdict == "valid", result.reasons
    for name, golden in GOLDEN.items():
        one = result.summaries[name]
        assert (one.n, one.p50, one.mean) == pytest.approx(golden, rel=1e-12), name


def test_a_client_without_delay(first: tuple[Path, RunResult]) -> None:
    """On virtual time a request is sent the instant it is due, and read the instant it comes."""
    table = pq.read_table(first[0] / "requests.parquet")
    assert table["sent_s"].to_pylist() == table["due_s"].to_pylist()
    assert set(table["stamp_source"].to_pylist()) == {"virtual"}
    assert first[1].summaries["send_delay"].max == 0.0


def test_the_resolved_scenario_runs_alike(first: tuple[Path, RunResult], tmp_path: Path) -> None:
    """What the run folder says was run gives the same records again."""
    resolved = load(first[0] / "scenario.yaml")
    save(resolved, tmp_path / "again.yaml")
    out = tmp_path / "run"
    runner.run(load(tmp_path / "again.yaml"), out, console=Console(quiet=True))
    records = first[0] / "requests.parquet"
    assert (out / "requests.parquet").read_bytes() == records.read_bytes()


def test_an_hour_passes_in_a_moment(tmp_path: Path) -> None:
    """Waiting costs nothing: 3,600 virtual seconds with a request every two minutes."""
    overrides = ("arrivals.rate=0.0083333333", "limits={duration: 1h}")
    _, result = simulated(tmp_path / "hour", *overrides)
    assert result.requests.ok == 30
    assert result.summaries["e2e_latency"].n == 30


def test_another_policy_gives_the_same_answers_at_other_times(
    first: tuple[Path, RunResult], tmp_path: Path
) -> None:
    """Who runs next changes when a token comes, and never which or how many."""
    override = "endpoint.engine.policy={type: colocated}"
    out, _ = simulated(tmp_path / "colocated", override, "capture=text")
    plain, _ = simulated(tmp_path / "chunked", "capture=text")
    tables = [pq.read_table(one / "requests.parquet").sort_by("request_id") for one in (out, plain)]
    for same in ("output_text", "output_tokens", "prompt_tokens", "due_s"):
        assert tables[0][same].to_pylist() == tables[1][same].to_pylist()
    assert tables[0]["chunk_s"].to_pylist() != tables[1]["chunk_s"].to_pylist()


def test_the_engine_tells_of_itself_and_agrees(first: tuple[Path, RunResult]) -> None:
    """Read four times a second of virtual time, before the first request and after the last; it
    counted the tokens that the client counted, and its first tokens are as late as the client's."""
    result = first[1]
    checks = {check.name: check for check in result.checks}
    assert checks["server_tokens"].ok
    assert checks["server_tokens"].value == 0.0
    assert checks["server_in_flight"].ok
    client, server = result.summaries["ttft_sent"].mean, result.summaries["server_ttft"].mean
    assert client is not None
    assert server == pytest.approx(client, rel=0.05)
