"""Sweeps and searches carried out, on virtual time and on made-up results."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from benchsuite import runner
from benchsuite.arrivals.poisson import Poisson
from benchsuite.errors import ScenarioError
from benchsuite.metrics.goodput import Goal
from benchsuite.records import requests as requests_file
from benchsuite.results.environment import Environment
from benchsuite.results.facts import Facts
from benchsuite.results.result import RunResult
from benchsuite.scenario import Scenario, load, save
from benchsuite.sweep import goodput, grid, page, report
from benchsuite.sweep.plan import axis, points
from benchsuite.sweep.runs import once, runs_with, seed
from tests.queues import highest_rate, simulate, within_md1
from tests.runs import record

SCENARIO = """\
name: tiny
seed: 3
endpoint:
  type: in_process
  engine: {model: llama-3-8b, executor: {type: roofline, device: l4}}
workload:
  type: synthetic
  prompt_tokens: {type: fixed, value: 64}
  output_tokens: {type: fixed, value: 8}
arrivals: {type: poisson, rate: 4}
limits: {requests: 60}
slo: {default: {ttft: 500ms}}
"""


ENVIRONMENT = Environment.capture()
RAMP = "arrivals={type: ramp, points: [{at: 0, rate: 1}, {at: 1s, rate: 2}]}"


class Runs:
    """Runs against a server that serves one request at a time in 0.1 s, written to their folders as
    real ones are, short of the pages; counted. At 10/s it is full."""

    def __init__(self) -> None:
        self.scenarios: list[Scenario] = []

    def __call__(self, scenario: Scenario, folder: Path) -> RunResult:
        self.scenarios.append(scenario)
        assert isinstance(scenario.arrivals, Poisson)
        generator = np.random.default_rng(scenario.seed)
        queue = simulate(scenario.arrivals.rate * 0.1, 300, generator, is_constant=True)
        due_s, left_s = queue.arrived_s * 0.1, queue.left_s * 0.1
        records = [
            record(at, due_s=due, chunks=((left - due, 1), (left - due + 0.01, 2)))
            for at, (due, left) in enumerate(zip(due_s.tolist(), left_s.tolist(), strict=True))
        ]
        folder.mkdir(parents=True)
        save(scenario, folder / runner.SCENARIO_NAME)
        requests_file.write(records, folder / requests_file.FILE_NAME)
        facts = Facts(
            started_at="2026-01-01T00:00:00+00:00",
            command="",
            environment=ENVIRONMENT,
            endpoint="made up",
            num_planned=len(records),
            planned_due_s=tuple(due_s.tolist()),
            partial=None,
        )
        facts.save(folder)
        result = RunResult.of(
            runner.data_of(folder),
            name=scenario.name,
            slos=scenario.slo,
            validity=scenario.validity,
            scenario={},
            environment=facts.environment,
            started_at=facts.started_at,
        )
        result.save(folder)
        return result


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "tiny.yaml"
    file.write_text(SCENARIO)
    return file


def swept(path: Path, out: Path, runs: Runs, *, repeats: int = 1, rates: str = "2,4") -> grid.Sweep:
    found = points([axis(f"arrivals.rate={rates}")], repeats=repeats)
    return grid.sweep(path, (), found, out, run=runs, say=lambda _: None)


def test_a_sweep_runs_each_point_and_goes_on_where_it_stopped(path: Path, tmp_path: Path) -> None:
    """What is there is not run again, and a longer sweep takes a shorter one's runs over."""
    runs = Runs()
    first = swept(path, tmp_path / "out", runs)
    assert [entry.verdict for entry in first.entries] == ["valid", "valid"]
    assert len(runs.scenarios) == 2
    swept(path, tmp_path / "out", runs)
    assert len(runs.scenarios) == 2
    longer = swept(path, tmp_path / "out", runs, repeats=2)
    assert len(longer.entries) == 4
    assert len(runs.scenarios) == 4
    rows = (tmp_path / "out" / grid.TABLE_NAME).read_text().splitlines()
    assert rows[0].startswith("arrivals.rate,repeat,id,verdict,ttft_n,ttft_mean")
    assert len(rows) == 5
    page.show_sweep(longer, Console(quiet=True), tmp_path / "out")
    report.write_sweep(longer, tmp_path / "out")
    text = (tmp_path / "out" / report.FILE_NAME).read_text()
    assert text.index("rate=2") < text.index("rate=4")
    assert "Every run is valid" in text


def test_an_engine_that_starts_anew_gets_the_same_prompts_at_every_point(path: Path) -> None:
    """Points then differ by what is varied; a server that runs on would have them in its cache."""
    fresh = load(path)
    assert seed(fresh, repeat=0, number=5) == fresh.seed
    assert seed(fresh, repeat=2, number=5) == fresh.seed + 2
    warm = load(path, ("endpoint={type: openai_chat, url: 'http://localhost:1'}",))
    assert seed(warm, repeat=0, number=5) == warm.seed + 5


def test_a_folder_of_another_sweep_is_refused(path: Path, tmp_path: Path) -> None:
    swept(path, tmp_path / "out", Runs(), rates="2")
    with pytest.raises(ScenarioError, match="does not ask for"):
        swept(path, tmp_path / "out", Runs(), rates="4")
    with pytest.raises(ScenarioError, match="no sweep"):
        swept(path, tmp_path, Runs())


def test_a_wrong_point_is_told_before_anything_runs(path: Path, tmp_path: Path) -> None:
    runs = Runs()
    with pytest.raises(ScenarioError, match="rate"):
        swept(path, tmp_path / "out", runs, rates="2,-1")
    assert runs.scenarios == []


def test_a_run_that_was_cut_off_is_set_aside_and_made_again(path: Path, tmp_path: Path) -> None:
    """Nothing is thrown away."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "facts.json").write_text("{}")
    result = once(load(path), folder, Runs())
    assert result.verdict == "valid"
    assert (tmp_path / "run.cut-1" / "facts.json").exists()


def searched(path: Path, out: Path, runs: Any, **changes: Any) -> goodput.Found:
    goal = Goal(start=2.0, lowest=1.0, highest=64.0, precision=0.25, max_looks=2, max_readings=20)
    return goodput.search(
        path, (), goal, goodput.criterion(0.9, changes.pop("at_most", None)), out,
        run=runs, say=lambda _: None, **changes,
    )  # fmt: skip


def test_a_search_finds_the_knee_and_takes_up_what_was_run(path: Path, tmp_path: Path) -> None:
    """M/D/1 of 0.1 s, within 0.5 s for 90 %: known. Taken up again nothing is run a second time."""
    runs = Runs()
    found = searched(path, tmp_path / "out", runs, num_gpus=2)
    low, high = found.goodput.interval
    assert low is not None
    assert high is not None
    assert found.goodput.rate is not None
    assert low <= found.goodput.rate <= high
    true = highest_rate(within_md1, 5.0, 0.9) * 10
    assert found.goodput.rate == pytest.approx(true, rel=0.15)
    assert found.per_gpu == found.goodput.rate / 2
    assert found.key == "arrivals.rate"
    assert found.output_token_rate is not None
    assert len(runs.scenarios) == len(found.runs) == len(found.readings)
    again = searched(path, tmp_path / "out", runs, num_gpus=2)
    assert len(runs.scenarios) == len(found.runs), "nothing was run again"
    assert again == found
    kept = json.loads((tmp_path / "out" / goodput.FILE_NAME).read_text())
    assert kept["goodput"]["rate"] == found.goodput.rate
    page.show_goodput(found, Console(quiet=True), tmp_path / "out")
    report.write_goodput(found, page.sentence(found), tmp_path / "out")
    assert page.sentence(found)[2:20] in (tmp_path / "out" / report.FILE_NAME).read_text()


def test_throughput_at_a_mean_e2e_latency(path: Path, tmp_path: Path) -> None:
    """The same search with a mean as its criterion; what it is after is the output at that rate."""
    found = searched(path, tmp_path / "out", Runs(), at_most="e2e_latency=300ms")
    assert found.criterion == "mean e2e_latency ≤ 0.3"
    assert found.output_token_rate is not None
    passing = [one for one in found.goodput.rates if one.standing == "pass"]
    assert passing
    assert all(one.value <= 0.3 for one in passing)


def test_a_sweep_on_virtual_time_is_made_of_plain_runs(path: Path, tmp_path: Path) -> None:
    """Real ones: each folder has its report."""
    run = runs_with(Console(quiet=True), "")
    found = grid.sweep(
        path, ("limits.requests=20",), points([axis("arrivals.rate=4")]), tmp_path / "out",
        run=run, say=lambda _: None,
    )  # fmt: skip
    assert [entry.verdict for entry in found.entries] == ["valid"]
    assert (tmp_path / "out" / found.entries[0].folder / "report.html").exists()


@pytest.mark.parametrize(
    ("settings", "at_most", "told"),
    [
        (("slo={}",), None, "needs limits"),
        ((RAMP,), None, "no one rate"),
        ((), "nothing=1", "no metric of single requests"),
        ((), "tpot=soon", "expected METRIC=LIMIT"),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_is_told(
    path: Path, tmp_path: Path, settings: tuple[str, ...], at_most: str | None, told: str
) -> None:
    goal = Goal(start=16.0, lowest=1.0, highest=64.0)
    with pytest.raises(ScenarioError, match=told):
        goodput.search(
            path, settings, goal, goodput.criterion(0.9, at_most), tmp_path / "out",
            run=Runs(), say=lambda _: None,
        )  # fmt: skip
