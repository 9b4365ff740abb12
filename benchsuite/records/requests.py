"""`requests.parquet`: exchanges become records, records become columns.

The file depends on the records alone: the same exchanges give the same bytes.
"""

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchsuite.errors import RunError
from benchsuite.exchange import STAGES, Exchange, Response, http_status, joined
from benchsuite.records import arrow, tool_events
from benchsuite.records.grades import GRADES, Grade
from benchsuite.records.record import Record, Status
from benchsuite.records.spool import Asked

FILE_NAME: Final = "requests.parquet"
SCHEMA_VERSION: Final = "1.1"
ROW_GROUP: Final = 500  # requests, held in memory while they are written
_ROWS_READ: Final = 20_000  # requests of which a column over chunks is read at once
_VERSION_KEY: Final = b"benchsuite.schema_version"
_ERROR_CHARS: Final = 500

_TYPES: Final[dict[str, pa.DataType]] = {
    "request_id": pa.int64(),
    "session_id": pa.int64(),
    "turn": pa.int32(),
    "worker": pa.int32(),
    "slo_class": pa.string(),
    "priority": pa.int64(),
    "tenant": pa.string(),
    "model": pa.string(),
    "due_s": pa.float64(),
    "sent_s": pa.float64(),
    "connect_s": pa.float64(),
    "finished_s": pa.float64(),
    "chunk_s": pa.list_(pa.float64()),
    "chunk_tokens": pa.list_(pa.int32()),
    "chunk_kind": pa.list_(pa.int8()),
    "chunk_read": pa.list_(pa.int32()),
    "chunk_lag_s": pa.list_(pa.float32()),
    "stamp_source": pa.string(),
    "prompt_tokens_asked": pa.int64(),
    "prompt_tokens": pa.int64(),
    "server_prompt_tokens": pa.int64(),
    "cached_tokens": pa.int64(),
    "output_tokens_asked": pa.int64(),
    "must_reach_asked": pa.bool_(),
    "output_tokens": pa.int64(),
    "reasoning_tokens": pa.int64(),
    "tokens_from": pa.string(),
    "finish_reason": pa.string(),
    "status": pa.string(),
    "http_status": pa.int32(),
    "error_class": pa.string(),
    "error": pa.string(),
    "correct": pa.bool_(),
    "bytes_received": pa.int64(),
    "output_text": pa.string(),
    "reasoning_text": pa.string(),
    "bytes_sent": pa.int64(),
    "num_images": pa.int32(),
    "image_tokens": pa.int64(),
    "audio_tokens": pa.int64(),
    "tool_calls": tool_events.CALLS,
    "tool_results": tool_events.RESULTS,
    "group": pa.int64(),
    "answer": pa.string(),
    "num_items": pa.int32(),
    "num_samples": pa.int32(),
    "grades": GRADES,
    "has_tail": pa.bool_(),
    **{f"server_{stage}_s": pa.float64() for stage in STAGES},
}
OVER_CHUNKS: Final = frozenset(
    name
    for name, kind in _TYPES.items()
    if pa.types.is_list(kind) and not pa.types.is_struct(kind.value_type)
)
SCHEMA: Final = pa.schema(
    [(name, _TYPES[name]) for name in Record.__struct_fields__],
    metadata={_VERSION_KEY: SCHEMA_VERSION.encode()},
)


def record_of(
    asked: Asked,
    exchange: Exchange,
    response: Response,
    *,
    start_s: float,
    grades: tuple[Grade, ...] = (),
    keep_text: bool,
) -> Record:
    """One request's record; times from the loop's clock become seconds from the run's start."""
    usage, chunks = response.usage, response.columns
    read = np.array(chunks.read, dtype=np.int32)
    alone = grades[0] if len(grades) == 1 and asked.batch is None else None
    return Record(
        request_id=asked.request_id,
        session_id=asked.session_id,
        turn=asked.turn,
        worker=asked.worker,
        slo_class=asked.slo_class,
        priority=asked.priority,
        tenant=asked.tenant,
        model=asked.model,
        due_s=_since(start_s, asked.due_s),
        sent_s=_since(start_s, exchange.sent_s),
        connect_s=exchange.connect_s,
        finished_s=_since(start_s, exchange.finished_s),
        chunk_s=np.asarray(exchange.read_s, dtype=np.float64)[read] - start_s,
        chunk_tokens=chunks.tokens,
        chunk_kind=np.frombuffer(chunks.kind, dtype=np.int8),
        chunk_read=read,
        chunk_lag_s=np.asarray(exchange.lag_s)[read] if len(exchange.lag_s) else (),
        stamp_source=exchange.stamp_source,
        prompt_tokens_asked=asked.prompt_tokens_asked,
        prompt_tokens=asked.prompt_tokens,
        server_prompt_tokens=usage.prompt_tokens if usage else None,
        cached_tokens=usage.cached_tokens if usage else None,
        output_tokens_asked=asked.output_tokens_asked * asked.num_items,
        must_reach_asked=asked.must_reach_asked,
        output_tokens=response.output_tokens,
        reasoning_tokens=usage.reasoning_tokens if usage else None,
        tokens_from=response.tokens_from,
        finish_reason=response.finish_reason,
        status=_status(response.error_class),
        http_status=http_status(exchange),
        error_class=response.error_class,
        error=response.error[:_ERROR_CHARS] if response.error else None,
        correct=alone.correct if alone else None,
        bytes_received=len(joined(exchange.reads).raw),
        output_text=response.text if keep_text else None,
        reasoning_text=response.reasoning if keep_text else None,
        bytes_sent=asked.bytes_sent,
        num_images=asked.num_images,
        image_tokens=usage.image_tokens if usage else None,
        audio_tokens=usage.audio_tokens if usage else None,
        tool_calls=tool_events.judged(response, asked.tools),
        tool_results=tool_events.brought(asked.tool_results, start_s, keep_text=keep_text),
        group=asked.group,
        answer=alone.answer if alone else None,
        num_items=asked.num_items * asked.num_questions,
        num_samples=asked.num_samples,
        grades=() if alone else grades,
        has_tail=_has_tail(exchange, read),
        **{f"server_{stage}_s": response.server_s.get(stage) for stage in STAGES},
    )


def _has_tail(exchange: Exchange, read: NDArray[np.int32]) -> bool:
    """Whether the read that brought the last token holds more events than chunks with tokens: its
    usage, say, which the kernel joined to it and stamped the whole when that came."""
    if not len(read):
        return False
    num_events: int = exchange.reads[read[-1]].count(b"data:")
    return bool(num_events > np.count_nonzero(read == read[-1]))


def _since(start_s: float, at_s: float | None) -> float | None:
    return None if at_s is None else at_s - start_s


def _status(error_class: str | None) -> Status:
    if error_class is None:
        return "ok"
    if error_class.startswith("timeout"):
        return "timeout"
    return "cancelled" if error_class in ("interrupted", "previous_turn", "cancelled") else "error"


def write(records: Iterable[Record], path: Path) -> int:
    """Write all of them, all or nothing; returns how many."""
    draft = path.with_name(f".{path.name}.tmp")
    total = 0
    with pq.ParquetWriter(
        draft, SCHEMA, compression="zstd", use_dictionary=_DICTIONARY, column_encoding=_SPLIT
    ) as writer:
        for batch in _batches(iter(records)):
            writer.write_batch(_columns(batch))
            total += len(batch)
    os.replace(draft, path)
    return total


_DICTIONARY: Final = [name for name, kind in _TYPES.items() if kind == pa.string()]
_SPLIT: Final = {"chunk_s.list.element": "BYTE_STREAM_SPLIT"}


def _batches(records: Iterator[Record]) -> Iterator[list[Record]]:
    while batch := list(islice(records, ROW_GROUP)):
        yield batch


def _columns(records: list[Record]) -> pa.RecordBatch:
    columns: list[Any] = []
    for name, kind in _TYPES.items():
        values = [getattr(record, name) for record in records]
        if pa.types.is_list(kind) and pa.types.is_struct(kind.value_type):
            columns.append(tool_events.column(values, kind))
        elif pa.types.is_list(kind):
            columns.append(arrow.column(values, kind.value_type.to_pandas_dtype()))
        else:
            columns.append(arrow.array(values, kind))
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def read(path: Path, *, chunks: bool = True) -> pa.Table:
    """All records as a table; columns that an older file lacks hold nothing.

    `chunks`: with the columns of lists of numbers, which `read_column` gives one at a time. Raises
    RunError if the file is missing, torn or of another schema.
    """
    names = [name for name in SCHEMA.names if chunks or name not in OVER_CHUNKS]
    try:
        with pq.ParquetFile(path) as file:  # `read_table` loads pandas, where there is one
            table = file.read(columns=[name for name in file.schema_arrow.names if name in names])
            metadata = file.schema_arrow.metadata or {}
    except (OSError, pa.ArrowInvalid) as error:
        raise RunError(f"{path}: cannot be read: {error}") from error
    found = metadata.get(_VERSION_KEY, b"").decode()
    if found.split(".")[0] != SCHEMA_VERSION.split(".")[0]:
        raise RunError(f"{path}: record schema {found or 'unknown'}, expected {SCHEMA_VERSION}")
    for name in set(names) - set(table.column_names):
        table = table.append_column(SCHEMA.field(name), pa.nulls(len(table), _TYPES[name]))
    return table.select(names)


def read_column(path: Path, name: str) -> Iterator[pa.ListArray]:
    """One of OVER_CHUNKS in pieces of rows, of a file that `read` has accepted."""
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS_READ, columns=[name], use_threads=False):
                yield batch.column(0)
    except (OSError, pa.ArrowInvalid) as error:
        raise RunError(f"{path}: cannot be read: {error}") from error
