"""What was read beside the requests while they ran: a server's own counters, GPU power.

One row a reading: `at_s` (seconds from run start), `source` (who says so: `server`, `gpu0`),
`name` (of the quantity, with its unit), `value`. Written as an Arrow IPC stream while the run is
on, so that a killed run keeps what was read, and as `telemetry.parquet` afterwards.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchsuite.records import arrow
from benchsuite.records.table import FloatArray

FILE_NAME: Final = "telemetry.parquet"
SPOOL_SUFFIX: Final = ".telemetry"
SCHEMA: Final = pa.schema(
    [
        ("at_s", pa.float64()),
        ("source", pa.string()),
        ("name", pa.string()),
        ("value", pa.float64()),
    ]
)


class Sample(NamedTuple):
    """One reading."""

    at_s: float  # in the spool on the machine's monotonic clock, in the file from run start
    source: str
    name: str
    value: float


class TelemetryWriter:
    """Appends samples to a spool file; each `put` reaches the disk whole or not at all.

    A disk that refuses ends the readings and nothing else: that it is full is said by whoever
    writes what was measured, with what to do about it.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self._stream = pa.ipc.new_stream(self._file, SCHEMA)
        self._has_failed = False

    def put(self, samples: Iterable[Sample]) -> None:
        columns = list(zip(*samples, strict=True))
        if columns and not self._has_failed:
            arrays = [
                arrow.array(column, field.type)
                for column, field in zip(columns, SCHEMA, strict=True)
            ]
            try:
                self._stream.write_batch(pa.RecordBatch.from_arrays(arrays, schema=SCHEMA))
            except OSError:
                self._has_failed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._stream.close()
        except OSError:
            self._has_failed = True
        finally:
            self._file.close()


def read_spool(path: Path) -> Iterator[pa.RecordBatch]:
    """What a spool file holds, up to where its writer was killed."""
    with path.open("rb") as file:
        try:
            yield from pa.ipc.open_stream(file)
        except (pa.ArrowInvalid, OSError):
            return  # cut off in the middle of a batch, or before the first


def keep(spool: Path, path: Path, start_s: float) -> int:
    """Spool files of a folder as one `telemetry.parquet`, times from `start_s` on; how many
    readings there are. Writes nothing where there are none."""
    batches = [batch for one in sorted(spool.glob(f"*{SPOOL_SUFFIX}")) for batch in read_spool(one)]
    table = pa.Table.from_batches(batches, SCHEMA)
    if not len(table):
        return 0
    at_s = arrow.numbers(table["at_s"]) - start_s
    order = np.argsort(at_s, kind="stable").tolist()
    columns = [table[name].to_pylist() for name in SCHEMA.names[1:]]
    values = [at_s[order].tolist(), *([column[i] for i in order] for column in columns)]
    arrays = [arrow.array(one, field.type) for one, field in zip(values, SCHEMA, strict=True)]
    table = pa.Table.from_arrays(arrays, schema=SCHEMA)
    draft = path.with_name(f".{path.name}.tmp")
    pq.write_table(table, draft, compression="zstd")
    os.replace(draft, path)
    return len(table)


def read(path: Path) -> dict[str, FloatArray]:
    """`source.name` -> readings [k, 2]: seconds from run start, value. Empty where there is no
    such file."""
    if not path.exists():
        return {}
    with pq.ParquetFile(path) as file:
        table = file.read()
    at_s, values = arrow.numbers(table["at_s"]), arrow.numbers(table["value"])
    keys = np.char.add(np.char.add(_texts(table, "source"), "."), _texts(table, "name"))
    return {
        str(key): np.column_stack((at_s[keys == key], values[keys == key]))
        for key in np.unique(keys)
    }


def _texts(table: pa.Table, name: str) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    return np.asarray(table[name].to_pylist(), dtype=str)
