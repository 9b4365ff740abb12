"""The road as a whole, on virtual time."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from benchsuite import runner
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
