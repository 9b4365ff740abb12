"""A table of records, one row per request, as the columns of a run."""

from collections.abc import Callable, Collection, Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from benchsuite.exchange import STAGES
from benchsuite.records import grades
from benchsuite.records.columns import Columns, FloatArray, release
from benchsuite.records.ragged import token_times
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
    column: Callable[[str], Iterable[pa.ListArray]] | None = None,
) -> RunData:
    """The columns of `table`: one row per request, one column per field of Record.

    `column` reads those over chunks in pieces, by name, where `table` leaves them out."""
    columns = Columns(table, column or (lambda name: table.column(name).chunks))
    chunk_start = columns.chunk_start()
    chunk_s, chunk_kind = (
        columns.chunks("chunk_s", np.float64),
        columns.chunks("chunk_kind", np.int8),
    )
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
        chunk_tokens=columns.chunks("chunk_tokens", np.int32),
        chunk_kind=chunk_kind,
        chunk_read=columns.chunks("chunk_read", np.int32),
        chunk_lag_s=columns.chunks("chunk_lag_s", np.float32, np.nan),
        tools=_tool_use(columns),
        item_grades=grades.columns(columns.rows("grades")),
        group=columns.integers("group") if "group" in table.column_names else None,
        window_s=window_s,
        images=columns.integers("num_images") if "num_images" in table.column_names else None,
        answer=columns.texts("answer") if "answer" in table.column_names else None,
        items=columns.integers("num_items") if "num_items" in table.column_names else None,
        samples_each=columns.integers("num_samples")
        if "num_samples" in table.column_names
        else None,
        tails=columns.integers("has_tail") > 0 if "has_tail" in table.column_names else None,
        stages_s=_stages_s(columns, table.column_names),
        num_planned=num_planned,
        planned_due_s=planned_due_s,
        partial=partial,
    )


def _stages_s(columns: Columns, names: Collection[str]) -> FloatArray | None:
    """[n, STAGES]; None where no server told any."""
    told = [f"server_{stage}_s" for stage in STAGES]
    if not any(name in names and columns.has_any(name) for name in told):
        return None
    return np.stack([columns.floats(name) for name in told], axis=1)


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
        result_started_s=np.array([result["started_s"] for result in flat_results]),
        result_ended_s=np.array([result["ended_s"] for result in flat_results]),
        result_failed=np.array(list(map(_has_failed, flat_results)), dtype=np.bool_),
        answer=columns.texts("answer"),
        text=text if columns.has_any("output_text") else None,
    )


def _has_failed(result: dict[str, Any]) -> bool:
    is_empty = result["output_tokens"] == 0
    return bool(result["problem"] is not None or result["exit_code"] or is_empty)
