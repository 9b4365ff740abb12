"""A long run is looked at in pieces, its columns in files; the numbers are those of the whole."""

import errno
import os
from typing import Any

import numpy as np
import pytest
from msgspec import to_builtins

from benchsuite.metrics import smoothness, summarise
from benchsuite.metrics.latency import itl_p99
from benchsuite.metrics.objectives import Pace
from benchsuite.records import columns, table
from benchsuite.records.record import Record
from benchsuite.records.table import RunData
from tests.runs import record, run


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
    monkeypatch.setattr(table, "PIECE_CHUNKS", 100)
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
    assert to_builtins(summarise(cut, {})) == to_builtins(summarise(whole, {}))
    np.testing.assert_array_equal(itl_p99(cut), itl_p99(whole))
    pace = Pace(first=0.2, gap=0.02)
    for name in ("fluidity", "qoe", "idle_latency"):
        (metric,) = (m for m in smoothness.pace_metrics(lambda _: pace) if m.name == name)
        # A running maximum adds and takes away what tells requests apart: off by rounding.
        np.testing.assert_allclose(metric.values(cut), metric.values(whole), rtol=1e-12, atol=1e-12)


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
