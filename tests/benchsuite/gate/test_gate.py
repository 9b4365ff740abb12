"""Gates carried out on virtual time: what is found, what is repeated, taken up again, refused."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from rich.console import Console

from benchsuite.errors import EndpointError, ScenarioError
from benchsuite.gate.gate import Asked, gate
from benchsuite.gate.outcome import Outcome
from benchsuite.gate.servers import serving
from benchsuite.gate.stored import LEAST, Stored
from benchsuite.results.result import RunResult
from benchsuite.scenario import Scenario
from benchsuite.sweep.runs import runs_with

SCENARIO = """\
name: tiny
seed: 3
endpoint:
  type: in_process
  engine: {model: llama-3-8b, executor: {type: roofline, device: l4}}
workload:
  type: synthetic
  prompt_tokens: {type: fixed, value: 64}
  output_tokens: {type: fixed, value: 4}
arrivals: {type: poisson, rate: 4}
limits: {requests: 40}
slo: {default: {ttft: 500ms}}
"""
SLOWER = "endpoint.engine.executor.overhead_s=0.05"
REAL = runs_with(Console(quiet=True), "benchsuite ci")
MADE: dict[str, tuple[RunResult, dict[str, bytes]]] = {}


def made(scenario: Scenario, folder: Path) -> RunResult:
    """A real run, but each scenario's only once: on virtual time another would be equal."""
    asked_for = repr(scenario)
    if asked_for not in MADE:
        result = REAL(scenario, folder)
        MADE[asked_for] = result, {path.name: path.read_bytes() for path in folder.iterdir()}
        return result
    result, files = MADE[asked_for]
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return result


class Runs:
    """Plain runs, counted; some are spoiled on purpose, by the number of the call."""

    def __init__(self, invalid: tuple[int, ...] = (), interrupted: int | None = None) -> None:
        self.scenarios: list[Scenario] = []
        self._invalid, self._interrupted = invalid, interrupted

    def __call__(self, scenario: Scenario, folder: Path) -> RunResult:
        number = len(self.scenarios)
        self.scenarios.append(scenario)
        if number == self._interrupted:
            raise KeyboardInterrupt
        result = made(scenario, folder)
        if number in self._invalid:
            result = replace(result, verdict="invalid", reasons=("the client lagged",))
            result.save(folder)
        return result


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(SCENARIO)
    return path


def asked(scenario: Path, **changes: Any) -> Asked:
    plain = Asked(
        scenario=scenario,
        mode="regression",
        repeats=5,
        metrics=("ttft_p50",),
        min_effects={"": 0.05},
    )
    return replace(plain, **changes)


def gated(what: Asked, folder: Path, run: Any = None) -> Outcome:
    return gate(what, folder, run=run or Runs(), say=lambda text: None)


def test_a_planted_regression_is_found(scenario: Path, tmp_path: Path) -> None:
    run = Runs()
    found = gated(asked(scenario, settings=(SLOWER,), baseline_settings=(
        "endpoint.engine.executor.overhead_s=0.0002",)), tmp_path / "out", run)  # fmt: skip
    assert (found.verdict, found.regressions, found.pairs_used) == ("fail", ("ttft_p50",), 5)
    seeds = [one.seed for one in run.scenarios]
    assert len(set(seeds)) == 5
    assert [one.pair for one in found.runs] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert all(a == b for a, b in zip(seeds[::2], seeds[1::2], strict=True))


def test_nothing_differs_from_itself(scenario: Path, tmp_path: Path) -> None:
    found = gated(asked(scenario, is_self_check=True), tmp_path / "out")
    assert (found.verdict, found.comparisons[0].word) == ("pass", "equivalent")
    assert found.self_check is not None
    assert (found.self_check.num_alarms, found.self_check.num_relabelled) == (0, 32)


def test_the_self_check_measures_alarms(scenario: Path, tmp_path: Path) -> None:
    """With a difference planted, exactly the assignment that was seen is called worse."""
    found = gated(
        asked(scenario, is_self_check=True, baseline_settings=(SLOWER,)), tmp_path / "out"
    )
    assert found.verdict == "pass"
    assert found.comparisons[0].word == "better"
    assert found.self_check is not None
    assert found.self_check.num_alarms == 1


def test_an_invalid_run_is_made_again(scenario: Path, tmp_path: Path) -> None:
    run = Runs(invalid=(3,))
    found = gated(asked(scenario), tmp_path / "out", run)
    assert len(run.scenarios) == 11
    assert (found.verdict, found.pairs_used) == ("pass", 5)
    again = [one for one in found.runs if one.name.endswith("-again")]
    assert [one.verdict for one in again] == ["valid"]
    assert run.scenarios[4].seed == run.scenarios[3].seed


def test_a_run_that_is_invalid_twice_counts_against_it(scenario: Path, tmp_path: Path) -> None:
    found = gated(asked(scenario), tmp_path / "out", Runs(invalid=(3, 4)))
    assert (found.verdict, found.pairs_used) == ("invalid", 4)
    assert found.reasons == ("1 of 5 pairs do not count", "the client lagged")


def test_an_interrupted_gate_goes_on_where_it_stopped(scenario: Path, tmp_path: Path) -> None:
    first, second, third = Runs(interrupted=5), Runs(), Runs()
    cut = gated(asked(scenario), tmp_path / "out", first)
    assert (cut.partial, cut.pairs_used, len(cut.runs)) == ("interrupted", 2, 5)
    whole = gated(asked(scenario), tmp_path / "out", second)
    assert (whole.partial, whole.pairs_used, len(second.scenarios)) == (None, 5, 5)
    assert gated(asked(scenario), tmp_path / "out", third) == whole
    assert third.scenarios == []
    more = Runs()
    assert gated(asked(scenario, repeats=6), tmp_path / "out", more).pairs_used == 6
    assert len(more.scenarios) == 2


def test_a_folder_of_another_gate_is_refused(scenario: Path, tmp_path: Path) -> None:
    gated(asked(scenario, repeats=2), tmp_path / "out")
    with pytest.raises(ScenarioError, match="another gate"):
        gated(asked(scenario, baseline_settings=(SLOWER,)), tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(ScenarioError, match="not empty"):
        gated(asked(scenario), tmp_path / "full")


def test_early_stopping_ends_it(scenario: Path, tmp_path: Path) -> None:
    run = Runs()
    found = gated(
        asked(scenario, repeats=12, is_sequential=True, settings=(SLOWER,), baseline_settings=(
            "endpoint.engine.executor.overhead_s=0.0002",)), tmp_path / "out", run)  # fmt: skip
    assert found.regressions == ("ttft_p50",)
    assert found.pairs_used == 8  # 2^-8 is below what that look may spend, 2^-7 is not
    assert len(run.scenarios) == 16


def test_limits_alone(scenario: Path, tmp_path: Path) -> None:
    kept = gated(asked(scenario, mode="slo", repeats=1), tmp_path / "a")
    assert (kept.verdict, kept.comparisons, kept.limits[0].standing) == ("pass", (), "kept")
    missed = gated(
        asked(scenario, mode="slo", repeats=2, settings=("slo.default.ttft=1ms",)), tmp_path / "b"
    )
    assert (missed.verdict, missed.missed) == ("fail", ("attainment[default]",))


def test_there_must_be_something_to_judge(scenario: Path, tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="needs limits"):
        gated(asked(scenario, mode="slo", settings=("slo={}",)), tmp_path / "out")
    run = Runs()
    for option, wrong in (
        ("--metric", {"metrics": ("tfft_p50",)}),
        ("--limit", {"limits": ("tfft_p50=1s",)}),
    ):
        with pytest.raises(
            ScenarioError, match=f"{option} tfft_p50: no metric 'tfft', did you mean 'ttft'"
        ):
            gated(asked(scenario, repeats=2, **wrong), tmp_path / "out", run)
    assert not run.scenarios, "nothing was measured first"
    at_one_address = ("endpoint={type: openai_chat, url: 'http://127.0.0.1:1', model: m}",)
    with pytest.raises(ScenarioError, match="would be asked as both: give --server-command"):
        gated(
            asked(scenario, settings=at_one_address, baseline_command="serve"),
            tmp_path / "out",
            run,
        )


def test_smoke_sends_ten_requests(scenario: Path, tmp_path: Path) -> None:
    found = gated(asked(scenario, mode="smoke"), tmp_path / "out")
    assert (found.verdict, len(found.runs)) == ("pass", 1)
    result = RunResult.load(tmp_path / "out" / "runs" / "00-now")
    assert result.requests.ok == 10


def test_a_stored_baseline(scenario: Path, tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    slo = asked(scenario, mode="slo", repeats=LEAST, save_baseline=path, told={"driver": "1"})
    gated(slo, tmp_path / "before")
    assert len(Stored.load(path).values["ttft_p50"]) == LEAST
    held = asked(scenario, stored=path, told={"driver": "1"})
    same = gated(held, tmp_path / "same")
    assert same.comparisons[0].is_paired is False
    assert same.comparisons[0].word in ("inconclusive", "equivalent")
    slower = gated(replace(held, metrics=("tpot_p50",)), tmp_path / "x")
    assert slower.comparisons[0].word == "inconclusive"  # the file does not hold that metric
    other = gated(replace(held, told={"driver": "2"}), tmp_path / "other")
    assert other.verdict == "inconclusive"
    assert other.reasons == ("not comparable: driver was '1', is '2'",)
    assert other.comparisons == ()


def test_a_stored_baseline_finds_what_is_far_off(scenario: Path, tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    slo = asked(scenario, mode="slo", repeats=LEAST, save_baseline=path, metrics=("tpot_p50",))
    gated(slo, tmp_path / "before")
    text = json.loads(path.read_text())
    text["values"]["tpot_p50"] = [x * 0.5 * (1 + at / 100) for at, x in
                                  enumerate(text["values"]["tpot_p50"])]  # fmt: skip
    path.write_text(json.dumps(text))
    found = gated(asked(scenario, stored=path, metrics=("tpot_p50",)), tmp_path / "out")
    assert found.regressions == ("tpot_p50",)


def test_too_few_stored_runs_are_said(scenario: Path, tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    gated(asked(scenario, mode="slo", repeats=2, save_baseline=path), tmp_path / "before")
    found = gated(asked(scenario, stored=path, repeats=2), tmp_path / "out")
    assert found.reasons == (f"not comparable: the baseline holds 2 runs of at least {LEAST}",)


@pytest.mark.parametrize("text", [None, "{", "{}"])
def test_a_broken_baseline_is_told(scenario: Path, tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "baseline.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ScenarioError, match="--baseline file:"):
        gated(asked(scenario, stored=path), tmp_path / "out")


# --- servers

PORT_FILE = """
import sys
from http.server import HTTPServer, SimpleHTTPRequestHandler

server = HTTPServer(("127.0.0.1", int(sys.argv[1])), SimpleHTTPRequestHandler)
print("listening", flush=True)
server.serve_forever()
"""


def free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_a_server_is_waited_for_and_ended_with_its_children(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "logs" / "server.log"
    (tmp_path / "server.py").write_text(PORT_FILE)
    command = f"cd {tmp_path}; sleep 300 & {sys.executable} server.py {port}"
    url = f"http://127.0.0.1:{port}/"
    with serving(command, url, 60, log):
        assert "listening" in log.read_text()
        with (
            pytest.raises(EndpointError, match="something answers there"),
            serving("true", url, 60, log),
        ):
            pass
    with (
        pytest.raises(EndpointError, match="exit code 7"),
        serving("echo no; exit 7", url, 60, log),
    ):
        pass
    assert "no" in log.read_text()


def test_a_server_that_never_answers_is_ended(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/"
    with (
        pytest.raises(EndpointError, match=r"not ready after 0\.5 s"),
        serving("exec sleep 300", url, 0.5, tmp_path / "log"),
    ):
        pass
