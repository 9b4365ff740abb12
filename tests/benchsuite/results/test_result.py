"""result.json: what it says, and that it can be read again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchsuite.errors import RunError
from benchsuite.metrics.slo import Slo
from benchsuite.metrics.validity import Validity
from benchsuite.records.table import RunData
from benchsuite.results.environment import Environment
from benchsuite.results.result import RunResult
from tests.runs import failed, never_sent, record, run

GOLDEN = Path(__file__).parents[2] / "golden" / "result.json"
ENVIRONMENT = Environment(
    benchsuite="0.1.0",
    python="CPython 3.11.9",
    platform="Linux",
    cpu_model="a processor",
    cores=2,
    memory_bytes=8 << 30,
    libraries={"numpy": "2.0.0"},
    clock_resolution_s=1e-9,
)


def _data(**changes: Any) -> RunData:
    return run(
        *(record(i, stamp_source="kernel", chunk_lag_s=(0.0, 0.0, 0.0, 0.0)) for i in range(6)),
        record(6, chunks=((0.25, 1), (0.5, 3)), stamp_source="kernel", must_reach_asked=True),
        failed(7, session_id=7),
        never_sent(8, session_id=7, turn=1),
        failed(9, status="timeout", error_class="timeout_first_token", error="nothing for 1 s"),
        **{"window_s": (0.0, 10.0), **changes},
    )


def _result(data: RunData, **changes: Any) -> RunResult:
    usual: dict[str, Any] = {
        "name": "tiny",
        "slos": {"default": Slo(ttft=0.2, tpot=0.1)},
        "validity": Validity(),
        "scenario": {"name": "tiny", "seed": 1},
        "environment": ENVIRONMENT,
        "started_at": "2026-01-01T00:00:00+00:00",
        "command": "benchsuite run tiny.yaml",
    }
    return RunResult.of(data, **{**usual, **changes})


def test_result_json_does_not_change_unnoticed(tmp_path: Path) -> None:
    """Every number and every word of it. To accept a change: write the new file over the golden
    one, read the difference, and note in CHANGELOG what changed a number."""
    written = _result(_data()).save(tmp_path)
    assert json.loads(written.read_text()) == _near(json.loads(GOLDEN.read_text()))


def _near(value: Any) -> Any:
    """Numbers may differ in their last digits between machines; nothing else may."""
    if isinstance(value, dict):
        return {key: _near(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_near(each) for each in value]
    return pytest.approx(value, rel=1e-9, abs=1e-12) if isinstance(value, float) else value


def test_the_golden_file_is_read_back() -> None:
    """A result of this schema written earlier stays readable."""
    result = RunResult.load(GOLDEN)
    assert result.requests.planned == 10
    assert result.summaries["ttft"].p50 == pytest.approx(0.2)


def test_what_was_saved_is_what_is_loaded(tmp_path: Path) -> None:
    result = _result(_data())
    result.save(tmp_path)
    assert RunResult.load(tmp_path) == result


@pytest.mark.parametrize(
    "data",
    [
        run(),
        run(failed(0)),
        run(record(0), window_s=(5.0, 5.0)),
        run(record(0, chunk_lag_s=(np.nan,) * 4)),
    ],
)
def test_results_of_hardly_anything_are_json_and_come_back(data: RunData, tmp_path: Path) -> None:
    """NaN and infinity are no JSON."""
    result = _result(data, scenario={"rate": float("inf"), "other": float("nan")})
    text = result.save(tmp_path).read_text()
    json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert RunResult.load(tmp_path).summaries == result.summaries


def test_counts_are_of_the_whole_run_and_summaries_of_the_window() -> None:
    result = _result(_data(window_s=(2.0, 5.0)))
    counts = result.requests
    assert (counts.planned, counts.sent, counts.ok) == (10, 9, 7)
    assert (counts.error, counts.timeout, counts.cancelled, counts.in_window) == (1, 1, 1, 3)
    assert result.summaries["ttft"].n == 3
    assert result.errors == {"http_500": 1, "previous_turn": 1, "timeout_first_token": 1}


def test_a_failed_hard_check_is_the_verdict_and_its_sentence_the_reason() -> None:
    result = _result(_data())
    assert result.verdict == "invalid"
    assert any("did not end well" in reason for reason in result.reasons)
    lenient = _result(_data(), validity=Validity(errors=1.0))
    assert (lenient.verdict, lenient.reasons) == ("valid", ())


def test_notes_are_warnings() -> None:
    assert _result(_data(), notes=("the trace was cut",)).warnings[-1] == "the trace was cut"


def test_a_partial_run_says_why() -> None:
    result = _result(_data(partial="interrupted after 3 s"))
    assert result.partial == "interrupted after 3 s"
    assert result.verdict == "invalid"


def test_the_instrument_is_told_with_the_result() -> None:
    instrument = _result(_data()).instrument
    assert instrument.stamp_source == {"kernel": 0.7, "user": pytest.approx(0.3)}
    assert instrument.send_delay.n == 9
    assert instrument.client_lag.max == 0.0


def _save(folder: Path, **changes: Any) -> Path:
    path = _result(_data()).save(folder)
    content = json.loads(path.read_text())
    content.update(changes)
    path.write_text(json.dumps(content))
    return path


def test_another_minor_schema_is_read(tmp_path: Path) -> None:
    """Fields that this version does not know are passed over, missing ones have their default."""
    path = _save(tmp_path, schema_version="1.7", tomorrow={"x": 1})
    content = json.loads(path.read_text())
    del content["warnings"]
    path.write_text(json.dumps(content))
    assert RunResult.load(tmp_path).schema_version == "1.7"


@pytest.mark.parametrize("version", ["2.0", "0.9", "10.0", ""])
def test_another_major_schema_is_refused(tmp_path: Path, version: str) -> None:
    _save(tmp_path, schema_version=version)
    with pytest.raises(RunError, match=f"schema {version}.* reads 1.x"):
        RunResult.load(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"schema_version": "1.0"}', "\x00"])
def test_what_is_no_result_is_refused_in_words(tmp_path: Path, content: str) -> None:
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(RunError, match="not a result of benchsuite"):
        RunResult.load(tmp_path)


def test_a_missing_result_asks_whether_this_is_a_run_folder(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is this a run folder"):
        RunResult.load(tmp_path)


def test_saving_leaves_no_draft_behind(tmp_path: Path) -> None:
    _result(_data()).save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_a_class_that_no_request_is_of_is_named() -> None:
    """A misspelt class would go unnoticed: there is nothing to judge by its limits."""
    slos = {"default": Slo(ttft=0.2), "defalt": Slo(tpot=0.1)}
    warnings = _result(_data(), slos=slos).warnings
    assert [warning for warning in warnings if "'defalt'" in warning]
    assert not [warning for warning in warnings if "'default'" in warning]
    others = run(*(record(i, slo_class="gold") for i in range(6)))  # under the default's limits
    assert not [warning for warning in _result(others).warnings if "slo:" in warning]


def test_failures_stand_beside_the_quantiles_that_they_would_move() -> None:
    """Ten of fifty requests failed: the median is that of the slower ones, and a tenth waited for
    ever."""
    good = [record(i, chunks=((0.1 + i / 100, 1),)) for i in range(40)]
    data = run(*good, *(failed(i) for i in range(40, 50)))
    result = _result(data)
    told = result.summaries["ttft"]
    assert told.p50 == pytest.approx(0.295)
    assert told.with_failures["p50"] == pytest.approx(0.345)
    assert told.with_failures["p90"] is None
    (sentence,) = [each for each in result.warnings if "infinitely late" in each]
    assert "p50 345 ms (not 295 ms), p90 ∞ (not 451 ms)" in sentence
