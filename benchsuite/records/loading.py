"""A table of records, one row per request, as the columns of a run."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchsuite.records import grades
from benchsuite.records.columns import Columns, FloatArray, IntArray, release, room
from benchsuite.records.ragged import spans, token_times
from benchsuite.records.table import PIECE_CHUNKS, RunData, ToolUse

_INTEGERS = (
    "request_id",
    "session_id",
    "turn",
    "worker",
    "prompt_tokens_asked",
    "cached_tokens",
    "output_tokens_asked",
    "output_tokens",
    "reasoning_tokens",
)
_FLOATS = ("priority", "due_s", "sent_s", "finished_s", "connect_s")
_TEXTS = (
    "slo_class",
    "tenant",
    "model",
    "status",
    "error_class",
    "error",
    "finish_reason",
    "tokens_from",
    "stamp_source",
)


def run_data(
    table: pa.Table,
    *,
    window_s: tuple[float, float],
    num_planned: int,
    planned_due_s: FloatArray,
    partial: str | None = None,
    column: Callable[[str], pa.ChunkedArray] | None = None,
) -> RunData:
    """The columns of `table`: one row per request, one column per field of Record.

    `column` reads those over chunks, by name, where `table` leaves them out."""
    columns = Columns(table, column or table.column)
    chunk_start, chunk_s = columns.lists("chunk_s")
    chunk_s = chunk_s.astype(np.float64, copy=False)
    chunk_kind = columns.lists("chunk_kind")[1].astype(np.int8, copy=False)
    times = token_times(chunk_start, chunk_s, chunk_kind, PIECE_CHUNKS)
    release(chunk_s)
    prompt_tokens = columns.integers("server_prompt_tokens")
    prompt_tokens = np.where(prompt_tokens < 0, columns.integers("prompt_tokens"), prompt_tokens)
    as_they_are: dict[str, Any] = {
        **{name: columns.integers(name) for name in _INTEGERS},
        **{name: columns.floats(name) for name in _FLOATS},
        **{name: columns.texts(name) for name in _TEXTS},
    }
    return RunData(
        **as_they_are,
        first_token_s=times.first_s,
        first_output_s=times.first_output_s,
        last_token_s=times.last_s,
        prompt_tokens=prompt_tokens,
        must_reach_asked=columns.integers("must_reach_asked") > 0,
        correct=columns.integers("correct"),
        chunk_start=chunk_start,
        chunk_s=chunk_s,
        chunk_tokens=columns.lists("chunk_tokens")[1].astype(np.int32, copy=False),
        chunk_kind=chunk_kind,
        chunk_read=columns.lists("chunk_read")[1].astype(np.int32, copy=False),
        chunk_lag_s=_lags(chunk_start, *columns.lists("chunk_lag_s")),
        tools=_tool_use(columns),
        item_grades=grades.columns(columns.rows("grades")),
        group=columns.integers("group") if "group" in table.column_names else None,
        window_s=window_s,
        images=columns.integers("num_images") if "num_images" in table.column_names else None,
        answer=columns.texts("answer") if "answer" in table.column_names else None,
        items=columns.integers("num_items") if "num_items" in table.column_names else None,
        num_planned=num_planned,
        planned_due_s=planned_due_s,
        partial=partial,
    )


def _tool_use(columns: Columns) -> ToolUse | None:
    """What `tool_calls` and `tool_results` hold; None where both are empty."""
    calls, results = columns.rows("tool_calls"), columns.rows("tool_results")
    if not (any(calls) or any(results)):
        return None
    outputs, reasoning = columns.texts("output_text"), columns.texts("reasoning_text")
    text = tuple(map("{}\n{}".format, reasoning, outputs))
    n = np.arange(len(calls))
    flat_calls = [call for row in calls for call in row]
    flat_results = [result for row in results for result in row]
    return ToolUse(
        call_request=np.repeat(n, list(map(len, calls))),
        call_name=tuple(call["name"] for call in flat_calls),
        call_wrong=np.array([call["problem"] is not None for call in flat_calls], dtype=np.bool_),
        result_request=np.repeat(n, list(map(len, results))),
        result_failed=np.array(list(map(_has_failed, flat_results)), dtype=np.bool_),
        answer=columns.texts("answer"),
        text=text if columns.has_any("output_text") else None,
    )


def _has_failed(result: dict[str, Any]) -> bool:
    is_empty = result["output_tokens"] == 0
    return bool(result["problem"] is not None or result["exit_code"] or is_empty)


def _lags(chunk_start: IntArray, start: IntArray, values: NDArray[Any]) -> NDArray[np.float32]:
    """One lag per chunk; NaN for all chunks of a request that has none."""
    if np.array_equal(start, chunk_start):
        return values.astype(np.float32, copy=False)
    if not len(values):
        return np.broadcast_to(np.float32(np.nan), int(chunk_start[-1]))  # takes no memory
    lag_s = room(int(chunk_start[-1]), np.float32)
    for low, high in spans(chunk_start, PIECE_CHUNKS):
        num_chunks = np.diff(chunk_start[low : high + 1])
        has_lag = np.repeat(np.diff(start[low : high + 1]) > 0, num_chunks)
        piece = lag_s[chunk_start[low] : chunk_start[high]]
        piece[~has_lag] = np.nan
        piece[has_lag] = values[start[low] : start[high]]
    release(lag_s)
    return lag_s
