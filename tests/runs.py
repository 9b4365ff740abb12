"""Runs made of records written by hand, for tests of what is computed from them."""

from typing import Any

import numpy as np
import pyarrow as pa
from msgspec import structs, to_builtins

from benchsuite.endpoints.base import Kind
from benchsuite.records.loading import run_data
from benchsuite.records.record import Record
from benchsuite.records.requests import SCHEMA
from benchsuite.records.table import RunData


def record(request_id: int = 0, **changes: Any) -> Record:
    """A good request: due and sent at `request_id` s, 4 tokens at 0.2, 0.3, 0.4, 0.5 s after due.

    `chunks=((after_due_s, tokens), ...)` replaces the tokens; whatever follows from them does too.
    """
    due_s = changes.pop("due_s", float(request_id))
    origin_s = changes.get("sent_s", due_s) if due_s is None else due_s
    chunks = changes.pop("chunks", ((0.2, 1), (0.3, 1), (0.4, 1), (0.5, 1)))
    at_s = tuple((origin_s or 0.0) + after_s for after_s, _ in chunks)
    output_tokens = sum(tokens for _, tokens in chunks)
    plain = Record(
        request_id=request_id,
        session_id=changes.get("session_id", request_id),
        turn=0,
        worker=0,
        slo_class="default",
        due_s=due_s,
        sent_s=origin_s,
        connect_s=0.0,
        finished_s=at_s[-1] if at_s else origin_s,
        chunk_s=at_s,
        chunk_tokens=tuple(tokens for _, tokens in chunks),
        chunk_kind=(int(Kind.CONTENT),) * len(chunks),
        chunk_read=tuple(range(len(chunks))),
        chunk_lag_s=(),
        stamp_source="user",
        prompt_tokens_asked=10,
        prompt_tokens=10,
        server_prompt_tokens=None,
        cached_tokens=None,
        output_tokens_asked=output_tokens,
        must_reach_asked=False,
        output_tokens=output_tokens,
        reasoning_tokens=None,
        tokens_from="usage",
        finish_reason="stop",
        status="ok",
        http_status=200,
        error_class=None,
        error=None,
        correct=None,
        bytes_received=100,
        output_text=None,
    )
    return structs.replace(plain, **changes)


def failed(request_id: int = 0, **changes: Any) -> Record:
    """A request that got a refusal and no token."""
    usual: dict[str, Any] = {"status": "error", "error_class": "http_500", "error": "HTTP 500"}
    return record(request_id, **{"chunks": (), "finish_reason": None, **usual, **changes})


def never_sent(request_id: int = 0, **changes: Any) -> Record:
    """A turn that was given up since an earlier one failed."""
    usual: dict[str, Any] = {
        "due_s": None, "sent_s": None, "finished_s": None,
        "status": "cancelled", "error_class": "previous_turn", "error": "turn 0 failed",
    }  # fmt: skip
    return failed(request_id, **{**usual, **changes})


def table(*records: Record) -> pa.Table:
    """What `requests.parquet` would hold."""
    columns = {name: [getattr(each, name) for each in records] for name in SCHEMA.names}
    for name in ("tool_calls", "tool_results", "grades"):
        columns[name] = [to_builtins(each) for each in columns[name]]
    return pa.Table.from_pydict(columns, schema=SCHEMA)


def run(*records: Record, **changes: Any) -> RunData:
    """A run of these records; the window is from 0 to 1,000 s unless it is said."""
    due_s = [each.due_s for each in records if each.due_s is not None and each.turn == 0]
    usual: dict[str, Any] = {
        "window_s": (0.0, 1000.0),
        "num_planned": len(records),
        "planned_due_s": np.array(due_s),
    }
    return run_data(table(*records), **{**usual, **changes})
