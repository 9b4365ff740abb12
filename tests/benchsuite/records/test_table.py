"""RunData: rows become columns."""

import numpy as np
import pyarrow as pa
import pytest

from benchsuite.endpoints.base import Kind
from benchsuite.records.loading import run_data
from tests.runs import failed, never_sent, record, run, table


def test_rows_are_ordered_by_origin() -> None:
    """By due, by sent where nothing was due; those with neither come last."""
    data = run(
        never_sent(4), record(1, due_s=3.0), record(2, due_s=None, sent_s=2.0), record(3, due_s=1.0)
    )
    assert data.request_id.tolist() == [3, 2, 1, 4]
    np.testing.assert_array_equal(data.origin_s, [1.0, 2.0, 3.0, np.nan])


def test_missing_values_become_nan_minus_one_and_empty_text() -> None:
    data = run(failed(error_class=None, error=None))
    assert np.isnan(data.first_token_s[0])
    assert np.isnan(data.first_output_s[0])
    assert np.isnan(data.last_token_s[0])
    assert data.cached_tokens.tolist() == [-1]
    assert data.correct.tolist() == [-1]
    assert data.error == data.finish_reason == ("",)


def test_grades_are_one_and_zero() -> None:
    data = run(record(0, correct=True), record(1, correct=False))
    assert data.correct.tolist() == [1, 0]


def test_the_servers_prompt_count_wins_over_ours() -> None:
    data = run(record(0, server_prompt_tokens=17), record(1))
    assert data.prompt_tokens.tolist() == [17, 10]


def test_chunks_stay_with_their_request_whatever_the_order_of_rows() -> None:
    """Ragged columns follow the rows when these are sorted."""
    late = record(0, due_s=5.0, chunks=((0.1, 1), (0.2, 2)))
    early = record(1, due_s=1.0, chunks=((0.3, 3),))
    data = run(late, failed(2, due_s=3.0), early)
    assert data.chunk_start.tolist() == [0, 1, 1, 3]
    assert data.chunk_tokens.tolist() == [3, 1, 2]
    assert data.per_chunk(np.arange(3)).tolist() == [0, 2, 2]
    assert data.per_token(np.arange(3)).tolist() == [0, 0, 0, 2, 2, 2]


def test_first_output_passes_over_reasoning() -> None:
    kinds = (Kind.REASONING, Kind.REASONING, Kind.TOOL_CALL, Kind.CONTENT)
    data = run(
        record(0, due_s=0.0, chunk_kind=tuple(map(int, kinds))),
        record(1, chunk_kind=(int(Kind.REASONING),) * 4),
    )
    assert data.first_token_s[0] == pytest.approx(0.2)
    assert data.first_output_s[0] == pytest.approx(0.4)
    assert np.isnan(data.first_output_s[1])


def test_lag_is_nan_for_requests_without_kernel_stamps() -> None:
    data = run(
        record(0, due_s=0.0, chunks=((0.1, 1), (0.2, 1)), chunk_lag_s=(0.25, 0.5)),
        record(1, chunks=((0.1, 1),)),
    )
    np.testing.assert_array_equal(data.chunk_lag_s, [0.25, 0.5, np.nan])


def test_arrivals_join_chunks_of_one_read() -> None:
    """A read without tokens is no arrival, unless it is the first of its request."""
    data = run(
        record(
            0,
            chunks=((0.1, 0), (0.2, 1), (0.2, 2), (0.3, 0), (0.4, 1)),
            chunk_read=(0, 1, 1, 2, 3),
        )
    )
    assert data.arrivals.tokens.tolist() == [0, 3, 1]
    assert data.arrivals.is_first.tolist() == [True, False, False]
    np.testing.assert_allclose(data.arrivals.at_s, [0.1, 0.2, 0.4])


def test_window_is_closed_at_its_start_and_open_at_its_end() -> None:
    data = run(record(1), record(2), record(3), window_s=(1.0, 3.0))
    assert data.in_window.tolist() == [True, True, False]


def test_no_rows_give_empty_columns() -> None:
    """An interrupted run may have recorded nothing."""
    data = run()
    assert len(data) == 0
    assert len(data.chunk_s) == len(data.arrivals.at_s) == 0


def test_a_table_in_several_pieces_reads_as_one() -> None:
    """Parquet comes in row groups."""
    pieces = pa.concat_tables([table(record(1)), table(record(0), failed(2))])
    data = run_data(
        pieces.slice(0), window_s=(0.0, 9.0), num_planned=3, planned_due_s=np.arange(3.0)
    )
    assert data.request_id.tolist() == [0, 1, 2]
    assert data.chunk_start.tolist() == [0, 4, 8, 8]
    sliced = run_data(
        pieces.slice(1), window_s=(0.0, 9.0), num_planned=3, planned_due_s=np.arange(3.0)
    )
    assert sliced.chunk_start.tolist() == [0, 4, 4]
