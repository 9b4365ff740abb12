"""Exchanges become records, records become columns."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchsuite.exchange import NO_CHUNKS, Chunks, Exchange, Kind, Response
from benchsuite.records import requests
from benchsuite.records.loading import run_data
from benchsuite.records.record import Record
from benchsuite.records.spool import Asked

READS = (b"ab", b"c", b"def")


def record(
    columns: Chunks,
    lag_s: list[float],
    num_items: int = 1,
    reads: tuple[bytes, ...] = READS,
    server_s: Mapping[str, float] = MappingProxyType({}),
) -> Record:
    asked = Asked(
        request_id=0,
        session_id=0,
        turn=0,
        worker=0,
        slo_class="default",
        priority=-2,
        tenant="acme",
        due_s=None,
        prompt_tokens_asked=3,
        prompt_tokens=3,
        output_tokens_asked=4,
        must_reach_asked=False,
        expected=None,
        grader=None,
        num_items=num_items,
    )
    sent = Exchange(
        request_id=0,
        stamp_source="kernel",
        framing="none",
        sent_s=10.5,
        reads=list(reads),
        read_s=[11.0, 12.0, 14.0],
        lag_s=lag_s,
    )
    response = Response(columns, None, "chunks", "stop", None, None, server_s)
    return requests.record_of(asked, sent, response, start_s=10.0, keep_text=True)


@pytest.mark.parametrize("lag_s", [[], [0.25, 0.5, 0.75]])
def test_a_chunk_has_the_stamp_of_its_read(tmp_path: Path, lag_s: list[float]) -> None:
    """Chunks of one read share it; seconds count from the run's start."""
    kinds = bytes((Kind.REASONING, Kind.CONTENT, Kind.TOOL_CALL))
    chunks = Chunks([0, 2, 2], kinds, ["hm", "so", "f"], [1, 2, 1])
    path = tmp_path / requests.FILE_NAME
    silent = record(NO_CHUNKS, lag_s)
    assert requests.write([record(chunks, lag_s), silent], path) == 2
    first, second = requests.read(path).to_pylist()
    assert (first["priority"], first["tenant"], first["model"]) == (-2, "acme", None)
    assert first["chunk_s"] == [1.0, 4.0, 4.0]
    assert first["chunk_read"] == [0, 2, 2]
    assert first["chunk_lag_s"] == ([0.25, 0.75, 0.75] if lag_s else [])
    assert (first["chunk_kind"], first["chunk_tokens"]) == ([1, 0, 2], [1, 2, 1])
    assert (first["output_tokens"], first["bytes_received"], first["output_text"]) == (4, 6, "so")
    assert [second[name] for name in first if name.startswith("chunk_")] == [[]] * 5


@pytest.mark.parametrize(
    ("last", "has_tail"),
    [(b"data: 1\n\ndata: 2\n\n", False), (b"data: 1\n\ndata: 2\n\ndata: [DONE]\n\n", True)],
)
def test_a_last_read_that_brought_more_than_tokens_is_told(last: bytes, has_tail: bool) -> None:
    """Its time is that of what came last: of usage, or of the end."""
    chunks = Chunks([0, 2, 2], bytes(3), ["a", "b", "c"], [1, 1, 1])
    assert record(chunks, [], reads=(b"data: 0\n\n", b"", last)).has_tail == has_tail
    assert not record(NO_CHUNKS, [], reads=(last,) * 3).has_tail


def test_what_the_server_told_of_its_stages_is_kept(tmp_path: Path) -> None:
    """From the answer to the columns of a run; what was not told is not known."""
    path = tmp_path / requests.FILE_NAME
    told = record(NO_CHUNKS, [], server_s={"queue": 0.25, "prefill": 0.5})
    requests.write([told, record(NO_CHUNKS, [])], path)
    plan = {"window_s": (0.0, 1.0), "num_planned": 2, "planned_due_s": np.empty(0)}
    stages_s = run_data(requests.read(path), **plan).stages_s
    nan = np.nan
    np.testing.assert_array_equal(stages_s, [[0.25, nan, 0.5, nan, nan], [nan] * 5])
    requests.write([record(NO_CHUNKS, [])], path)
    assert run_data(requests.read(path), **plan).stages_s is None


def test_lengths_asked_for_are_of_all_items_together() -> None:
    """As the tokens are that came: what was demanded can be checked."""
    one = record(NO_CHUNKS, [])
    three = record(NO_CHUNKS, [], num_items=3)
    assert (one.num_items, one.output_tokens_asked) == (1, 4)
    assert (three.num_items, three.output_tokens_asked) == (3, 12)


def test_a_file_of_an_older_minor_schema_is_read(tmp_path: Path) -> None:
    """Columns that it lacks hold nothing."""
    path = tmp_path / requests.FILE_NAME
    requests.write([record(NO_CHUNKS, [])], path)
    pq.write_table(pq.read_table(path).drop_columns(["priority", "model"]), path)
    table = requests.read(path)
    assert table.schema.names == requests.SCHEMA.names
    assert table.select(["priority", "model", "tenant"]).to_pylist() == [
        {"priority": None, "model": None, "tenant": "acme"}
    ]
