"""The road as a whole, on virtual time."""

import io
from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.console import Console

from benchsuite import runner
from benchsuite.errors import ScenarioError
from benchsuite.results.facts import Facts
from benchsuite.results.result import RunResult
from benchsuite.scenario import load

SCENARIO = """\
name: road
seed: 5
endpoint: {type: in_process}
workload:
  type: synthetic
  prompt_tokens: {type: fixed, value: 20}
  output_tokens: {type: fixed, value: 5}
arrivals: ARRIVALS
limits: LIMITS
"""


def run(folder: Path, arrivals: str, limits: str) -> RunResult:
    path = folder / "scenario.yaml"
    path.write_text(SCENARIO.replace("ARRIVALS", arrivals).replace("LIMITS", limits))
    return runner.run(load(path), folder / "run", console=Console(file=io.StringIO()))


def test_the_window_ends_where_arrivals_ran_out(tmp_path: Path) -> None:
    """A duration that is longer than the arrivals last does not dilute the rates."""
    ramp = "{type: ramp, points: [{at: 0, rate: 10}, {at: 10, rate: 10}]}"
    result = run(tmp_path, ramp, "{duration: 60s}")
    assert result.window_s[1] < 11
    assert result.summaries["request_rate"].mean == pytest.approx(10, rel=0.1)


def test_the_window_ends_with_the_duration_that_ended_the_run(tmp_path: Path) -> None:
    """What cuts the arrivals off is the end of the window."""
    result = run(tmp_path, "{type: constant, rate: 10}", "{duration: 30s, warmup: 5s}")
    assert result.window_s == (5.0, 30.0)
    assert result.summaries["request_rate"].mean == pytest.approx(10, rel=0.02)


def test_the_window_of_a_closed_loop_that_ran_out(tmp_path: Path) -> None:
    """Requests that ran out before the duration end the window; else the duration does."""
    loop = "{type: closed_loop, concurrency: 2}"
    short = run(tmp_path, loop, "{requests: 50, duration: 500s}")
    assert short.requests.ok == 50
    assert short.window_s[1] < 10
    (tmp_path / "long").mkdir()
    cut = run(tmp_path / "long", loop, "{duration: 2s}")
    assert cut.window_s == (0.0, 2.0)
    assert cut.requests.ok > 50


def test_a_report_says_what_is_wrong_with_its_folder(tmp_path: Path) -> None:
    """A folder that holds no run is answered in words."""
    from benchsuite.errors import BenchsuiteError

    with pytest.raises(BenchsuiteError, match="no such file"):
        runner.report(tmp_path)


def test_the_window_of_a_run_that_was_cut_short(tmp_path: Path) -> None:
    """An interrupted or killed run is measured as long as it ran, not as long as it should have."""
    run(tmp_path, "{type: closed_loop, concurrency: 2}", "{requests: 50, duration: 500s}")
    folder = tmp_path / "run"
    replace(Facts.load(folder), num_planned=None, partial="interrupted").save(folder)
    assert runner.report(folder).window_s[1] < 10


@pytest.mark.parametrize("existed", [True, False])
def test_a_run_that_sent_nothing_leaves_nothing(tmp_path: Path, existed: bool) -> None:
    """Once what was missing is there the same command works."""
    path, folder = tmp_path / "scenario.yaml", tmp_path / "run"
    endpoint = '{type: openai_chat, url: "http://127.0.0.1:9", api_key: "${env:BENCHSUITE_NONE}"}'
    text = SCENARIO.replace("{type: in_process}", endpoint)
    path.write_text(text.replace("ARRIVALS", "{type: constant, rate: 1}"))
    if existed:
        folder.mkdir()
    with pytest.raises(ScenarioError, match="BENCHSUITE_NONE is not set"):
        runner.run(load(path, ("limits.requests=1",)), folder, console=Console(file=io.StringIO()))
    assert [*folder.iterdir()] == [] if existed else not folder.exists()


def test_a_folder_that_arrow_cannot_open_is_refused(tmp_path: Path) -> None:
    """Before anything is sent."""
    path = tmp_path / "scenario.yaml"
    text = SCENARIO.replace("ARRIVALS", "{type: constant, rate: 1}")
    path.write_text(text.replace("LIMITS", "{requests: 1}"))
    with pytest.raises(ScenarioError, match="not UTF-8"):
        runner.run(load(path), tmp_path / "a\udcff", console=Console(file=io.StringIO()))
