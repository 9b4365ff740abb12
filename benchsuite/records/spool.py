"""The spool: exchanges as they ended, appended to an Arrow IPC stream that survives `kill -9`.

A batch is on its way to the disk half a second after its requests ended; a torn last batch is
skipped by the reader. The raw response bytes are kept, so nothing is parsed while load is being
sent, and recovery after a crash is the same road as a normal end: read the spool, decode.
"""

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
from msgspec import Struct

from benchsuite.exchange import Exchange, Reads, joined
from benchsuite.records import arrow

BATCH_EXCHANGES: Final = 64
BATCH_S: Final = 0.5
SYNC_S: Final = 5.0


class Asked(Struct, frozen=True, kw_only=True):
    """What the driver knows of a request besides what happened on the wire."""

    request_id: int
    session_id: int
    turn: int
    worker: int
    slo_class: str
    priority: int | None = None
    tenant: str | None = None
    model: str | None = None  # None: the endpoint's
    due_s: float | None  # loop clock
    prompt_tokens_asked: int
    prompt_tokens: int
    output_tokens_asked: int
    must_reach_asked: bool
    expected: str | None
    grader: str | None
    batch: str | None = None  # questions of the prompt, as JSON; None: it is one
    num_questions: int = 1  # in the prompt
    num_samples: int = 1  # answers to each question that were asked for at once
    bytes_sent: int = 0  # of the body
    num_images: int = 0  # frames of videos included
    num_items: int = 1  # answers asked for at once: samples, or one for each prompt of a batch
    group: int | None = None
    tools: str | None = None  # that the model could call, as JSON; None: it had none
    tool_results: str | None = None  # that this request brought, as JSON; None: none


_SCHEMA: Final = pa.schema(
    [
        ("request_id", pa.int64()),
        ("session_id", pa.int64()),
        ("turn", pa.int32()),
        ("worker", pa.int32()),
        ("slo_class", pa.string()),
        ("priority", pa.int64()),
        ("tenant", pa.string()),
        ("model", pa.string()),
        ("due_s", pa.float64()),
        ("prompt_tokens_asked", pa.int64()),
        ("prompt_tokens", pa.int64()),
        ("output_tokens_asked", pa.int64()),
        ("must_reach_asked", pa.bool_()),
        ("expected", pa.string()),
        ("grader", pa.string()),
        ("batch", pa.string()),
        ("num_questions", pa.int32()),
        ("num_samples", pa.int32()),
        ("bytes_sent", pa.int64()),
        ("num_images", pa.int32()),
        ("num_items", pa.int32()),
        ("group", pa.int64()),
        ("tools", pa.string()),
        ("tool_results", pa.string()),
        ("stamp_source", pa.string()),
        ("framing", pa.string()),
        ("connect_s", pa.float64()),
        ("sent_s", pa.float64()),
        ("finished_s", pa.float64()),
        ("http_status", pa.int32()),
        ("error_class", pa.string()),
        ("error", pa.string()),
        ("read_s", pa.list_(pa.float64())),
        ("lag_s", pa.list_(pa.float64())),
        ("read_end", pa.list_(pa.int64())),  # offset in `raw` where each read ends
        ("raw", pa.large_binary()),
    ]
)
_FACTS: Final = b"benchsuite.facts"


class SpoolWriter:
    """Appends from its own thread; `put` costs a queue operation and never blocks."""

    def __init__(self, path: Path, facts: dict[str, Any], on_failure: Callable[[], object]) -> None:
        """`facts`: what a reader needs besides the rows; stands at the head of the file.
        `on_failure` is called, from the writer's thread, when the disk refuses."""
        self._on_failure = on_failure
        self._queue: queue.SimpleQueue[tuple[Asked, Exchange] | None] = queue.SimpleQueue()
        self._file = path.open("xb", buffering=0)
        schema = _SCHEMA.with_metadata({_FACTS: msgspec.json.encode(facts)})
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        self._stream = pa.ipc.new_stream(self._file, schema, options=options)
        self.failure: OSError | None = None  # the disk refused; nothing after it was written
        self.num_written = 0
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._thread.start()

    def put(self, asked: Asked, exchange: Exchange) -> None:
        self._queue.put((asked, exchange))

    def close(self) -> None:
        """Write what is left and end the stream."""
        self._queue.put(None)
        self._thread.join()
        try:
            if self.failure is None:
                self._stream.close()
                os.fsync(self._file.fileno())
        except OSError as error:
            self.failure = error
        finally:
            self._file.close()

    def _run(self) -> None:
        synced_s = time.monotonic()
        is_open = True
        while is_open:
            batch, is_open = self._next_batch()
            if not batch or self.failure is not None:
                continue
            try:
                self._stream.write_batch(_to_batch(batch))
                self.num_written += len(batch)
                if time.monotonic() - synced_s > SYNC_S:
                    os.fsync(self._file.fileno())
                    synced_s = time.monotonic()
            except OSError as error:
                self.failure = error
                self._on_failure()

    def _next_batch(self) -> tuple[list[tuple[Asked, Exchange]], bool]:
        """Up to a full batch, or what came within half a second; and whether more may come."""
        batch: list[tuple[Asked, Exchange]] = []
        deadline_s = time.monotonic() + BATCH_S
        while len(batch) < BATCH_EXCHANGES:
            try:
                item = self._queue.get(timeout=max(0.0, deadline_s - time.monotonic()))
            except queue.Empty:
                break
            if item is None:
                return batch, False
            batch.append(item)
        return batch, True


def _to_batch(rows: list[tuple[Asked, Exchange]]) -> pa.RecordBatch:
    asked, exchanges = [row[0] for row in rows], [row[1] for row in rows]
    reads = [joined(exchange.reads) for exchange in exchanges]
    values: dict[str, list[Any]] = {
        **{name: [getattr(row, name) for row in asked] for name in Asked.__struct_fields__},
        **{name: [getattr(row, name) for row in exchanges] for name in _FROM_EXCHANGE},
        "read_end": [row.ends for row in reads],
        "raw": [row.raw for row in reads],
    }
    columns = [
        arrow.column(values[field.name], field.type.value_type.to_pandas_dtype())
        if pa.types.is_list(field.type)
        else arrow.array(values[field.name], field.type)
        for field in _SCHEMA
    ]
    return pa.RecordBatch.from_arrays(columns, schema=_SCHEMA)


_FROM_EXCHANGE: Final = (
    "stamp_source",
    "framing",
    "connect_s",
    "sent_s",
    "finished_s",
    "http_status",
    "error_class",
    "error",
    "read_s",
    "lag_s",
)


def read_facts(path: Path) -> dict[str, Any]:
    """The facts at the head of a spool file. Raises OSError or pa.ArrowInvalid if it has none."""
    with path.open("rb") as file:
        schema = pa.ipc.open_stream(file).schema
        facts: dict[str, Any] = msgspec.json.decode(schema.metadata[_FACTS])
        return facts


def read_spool(path: Path) -> Iterator[tuple[Asked, Exchange]]:
    """Every whole row; stops without a word where the file was torn."""
    with path.open("rb") as file:
        stream = pa.ipc.open_stream(file)
        while True:
            try:
                batch = stream.read_next_batch()
            except (StopIteration, pa.ArrowInvalid, OSError):
                return
            yield from _from_batch(batch)


def _from_batch(batch: pa.RecordBatch) -> Iterator[tuple[Asked, Exchange]]:
    columns: dict[str, list[Any]] = {
        name: arrow.rows(batch[name])
        if pa.types.is_list(batch[name].type)
        else batch[name].to_pylist()
        for name in _SCHEMA.names
    }
    for i, (raw, ends) in enumerate(zip(columns["raw"], columns["read_end"], strict=True)):
        asked = Asked(**{name: columns[name][i] for name in Asked.__struct_fields__})
        exchange = Exchange(
            request_id=asked.request_id,
            reads=Reads(raw, ends),
            num_items=asked.num_items,
            **{name: columns[name][i] for name in _FROM_EXCHANGE},
        )
        yield asked, exchange
