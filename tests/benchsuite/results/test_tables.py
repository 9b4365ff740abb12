"""summary.csv, requests.csv and concurrency.csv."""

import csv
import io
from pathlib import Path

import pytest

from benchsuite.metrics.slo import Slo
from benchsuite.metrics.validity import Validity
from benchsuite.records.table import RunData
from benchsuite.results.environment import Environment
from benchsuite.results.result import RunResult
from benchsuite.results.tables import concurrency_csv, requests_csv, summary_csv, write
from tests.runs import failed, record, run


def _result(data: RunData) -> RunResult:
    return RunResult.of(
        data,
        name="tiny",
        slos={"default": Slo(ttft=1.0)},
        validity=Validity(),
        scenario={},
        environment=Environment.capture(),
        started_at="2026-01-01T00:00:00+00:00",
    )


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_summary_has_a_row_per_metric_and_two_columns_per_interval() -> None:
    result = _result(run(*(record(i) for i in range(40))))
    rows = {row["metric"]: row for row in _rows(summary_csv(result))}
    assert list(rows) == list(result.summaries)
    assert float(rows["ttft"]["p50"]) == pytest.approx(0.2)
    assert float(rows["ttft"]["p50_ci_low"]) <= float(rows["ttft"]["p50_ci_high"])
    assert rows["ttft"]["p99"] == rows["ttft"]["p99_ci_low"] == ""
    assert rows["attainment"]["mean"] == "1.0"


def test_requests_have_a_row_each_with_their_own_metrics() -> None:
    data = run(record(0, session_id=4, due_s=-1.0), failed(1), window_s=(0.0, 9.0))
    early, bad = _rows(requests_csv(data))
    assert early["request_id"] == "0"
    assert early["session_id"] == "4"
    assert early["in_window"] == "False"
    assert float(early["due_s"]) == -1.0
    assert float(early["ttft_s"]) == pytest.approx(0.2)
    assert early["cached_tokens"] == early["correct"] == ""
    assert (bad["status"], bad["error_class"], bad["ttft_s"]) == ("error", "http_500", "")


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r"])
def test_text_cannot_become_a_formula(first: str) -> None:
    """A server chooses the words of its errors; a spreadsheet must not run them."""
    error = f"{first}HYPERLINK(\"http://x\", 'y'),\n2"
    (row,) = _rows(requests_csv(run(failed(0, error=error))))
    assert row["error"] == f"'{error}"


def test_numbers_stay_numbers() -> None:
    (row,) = _rows(requests_csv(run(record(0, due_s=1.0, sent_s=0.5))))
    assert float(row["send_delay_s"]) == -0.5


def test_lines_end_as_rfc_4180_says_and_quotes_are_doubled() -> None:
    text = requests_csv(run(failed(0, error='a "word", a\nline')))
    assert text.endswith("\r\n")
    assert '"a ""word"", a\nline"' in text


def test_an_empty_run_has_heads_without_rows() -> None:
    assert requests_csv(run()).count("\r\n") == 1


def test_no_two_columns_have_one_name() -> None:
    """A reader by name would see the last of them alone."""
    head = requests_csv(run()).strip().split(",")
    assert len(head) == len(set(head))
    assert "reasoning_tokens" in head


def test_both_are_written_as_utf_8(tmp_path: Path) -> None:
    """A lone surrogate, which a broken server can send, does not stop the writing."""
    data = run(failed(0, error="größer"))
    write(_result(data), data, tmp_path)
    assert "größer" in (tmp_path / "requests.csv").read_text(encoding="utf-8")
    assert (tmp_path / "summary.csv").exists()


def test_concurrency_adds_up_to_the_time_in_each_phase() -> None:
    """Of a run of 4 requests with 0.2 s of prefill and 0.3 s of decode each; a run that sent
    nothing has no rows."""
    rows = _rows(concurrency_csv(run(*(record(i) for i in range(4)))))
    assert len(rows) == 500
    assert (float(rows[0]["start_s"]), float(rows[-1]["end_s"])) == (0.0, 3.5)
    for name, spent_s in (("in_prefill", 0.8), ("in_decode", 1.2)):
        assert sum(float(row[name]) for row in rows) * 3.5 / 500 == pytest.approx(spent_s)
    assert concurrency_csv(run()) == "start_s,end_s,in_prefill,in_decode\r\n"
