"""A long run is looked at in pieces, its columns in files; the numbers are those of the whole."""

import errno
import os
from typing import Any

import numpy as np
import pytest
from msgspec import to_builtins

from benchsuite.metrics import smoothness, summarise
from benchsuite.metrics.attainment import attainment
from benchsuite.metrics.latency import itl, itl_p99
from benchsuite.metrics.objectives import Pace
from benchsuite.metrics.slo import Slo
from benchsuite.metrics.validity import Validity, checks
from benchsuite.records import columns, table
from benchsuite.records.record import Record
from benchsuite.records.table import RunData
from benchsuite.report.charts import base, charts
from benchsuite.report.charts.base import per_token
from benchsuite.results import instrument
from tests.benchsuite.report.synthetic import make_result
from tests.runs import record, run

SLOS = {"default": Slo(ttft=0.3, itl_p99=0.1)}


def some_records() -> list[Record]:
    """300 answers of 0 to 40 tokens, some of them several to a read; out of order."""
    rng = np.random.default_rng(1)
    found = []
    for i in rng.permutation(300).tolist():
        num = int(rng.integers(0, 40))
        at_s = np.cumsum(rng.exponential(0.02, num)) + 0.1
        tokens = rng.integers(1, 3, num)
        chunks = tuple(zip(at_s.tolist(), tokens.tolist(), strict=True))
        changes: dict[str, Any] = {"chunk_read": tuple(np.sort(rng.integers(0, 30, num)).tolist())}
        if i % 3 == 0:
            changes |= {"stamp_source": "kernel", "chunk_lag_s": tuple([1e-4] * num)}
        found.append(record(i, session_id=i // 2, chunks=chunks, due_s=0.05 * i, **changes))
    return found


@pytest.fixture
def whole_and_cut(monkeypatch: pytest.MonkeyPatch) -> tuple[RunData, RunData]:
    whole = run(*some_records())
    monkeypatch.setattr(columns, "LONG_BYTES", 0)
    cut = run(*some_records())
    monkeypatch.setattr(table, "PIECE_CHUNKS", 250)
    monkeypatch.setattr(table, "WHOLE_CHUNKS", 0)
    whole.__dict__["pieces"] = lambda: iter([whole])
    return whole, cut


def test_pieces_hold_every_request_once(whole_and_cut: tuple[RunData, RunData]) -> None:
    whole, cut = whole_and_cut
    pieces = list(cut.pieces())
    assert len(pieces) > 20
    for name in ("request_id", "chunk_s", "chunk_read", "chunk_lag_s", "first_token_s"):
        joined = np.concatenate([getattr(piece, name) for piece in pieces])
        np.testing.assert_array_equal(joined, getattr(whole, name))
    assert sum((piece.stamp_source for piece in pieces), ()) == whole.stamp_source


def test_numbers_of_pieces_are_those_of_the_whole(
    whole_and_cut: tuple[RunData, RunData],
) -> None:
    whole, cut = whole_and_cut
    of_cut, of_whole = (to_builtins(summarise(data, SLOS)) for data in (cut, whole))
    assert list(of_cut) == list(of_whole)
    for name, summary in of_cut.items():
        for field, value in summary.items():
            is_summed = value is not None and field in ("mean", "std", "mean_ci")  # in other order
            wanted = of_whole[name][field]
            assert value == (pytest.approx(wanted, rel=1e-12) if is_summed else wanted), name
    np.testing.assert_array_equal(itl_p99(cut), itl_p99(whole))
    pace = Pace(first=0.2, gap=0.02)
    for name in ("fluidity", "qoe", "idle_latency"):
        (metric,) = (m for m in smoothness.pace_metrics(lambda _: pace) if m.name == name)
        # A running maximum adds and takes away what tells requests apart: off by rounding.
        np.testing.assert_allclose(metric.values(cut), metric.values(whole), rtol=1e-12, atol=1e-12)


def test_what_is_said_of_the_client_is_that_of_the_whole(
    whole_and_cut: tuple[RunData, RunData],
) -> None:
    """Load, shared reads, bounds of the latencies and the checks."""
    whole, cut = whole_and_cut
    assert instrument.load(cut, 1) == instrument.load(whole, 1)
    assert instrument.shared(cut) == instrument.shared(whole) > 0
    assert instrument.errors(cut, 1e-4, 2e-4) == instrument.errors(whole, 1e-4, 2e-4)
    assert checks(cut, Validity()) == checks(whole, Validity())
    for slos in (SLOS, {"default": Slo(itl=0.02, at="p50")}):
        assert attainment(cut, slos) == attainment(whole, slos)


def test_charts_of_pieces_are_those_of_the_whole(
    whole_and_cut: tuple[RunData, RunData],
) -> None:
    of_cut, of_whole = (charts(make_result(data), data) for data in whole_and_cut)
    assert [chart.key for chart in of_cut] == [chart.key for chart in of_whole]
    for one, other in zip(of_cut, of_whole, strict=True):
        assert one.table == other.table, one.key
        assert (one.reading, one.note) == (other.reading, other.note)


def test_dots_of_a_long_run_are_of_some_requests_and_of_the_longest_gaps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which the chart says; the longest gap of all is among them."""
    records = [record(i, chunks=((0.1, 1), (0.2, 1), (0.3 + 0.001 * i, 1))) for i in range(300)]
    data = run(*records)
    monkeypatch.setattr(base, "MOST_POINTS", 100)
    found = per_token(itl, data)
    assert found.step == 9
    assert set((found.points.request % 9).tolist()) == {0}
    assert len(found.longest) == base.NUM_LONGEST
    assert found.longest.values_s.max() == itl(data)[-1]
    chart = {chart.key: chart for chart in charts(make_result(data), data)}["time-itl"]
    assert "one request in 9" in chart.note
    assert "in request 299" in chart.reading


def test_a_column_for_which_the_disk_has_no_room_lies_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A file that was only promised its room would end the process when it is filled."""
    monkeypatch.setattr(columns, "LONG_BYTES", 0)

    def is_full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", is_full)
    found = columns.room(3, np.float64)
    found[:] = 1.0
    assert found.base is None  # no map of a file
