"""A table's columns as arrays, rows in the order in which they were due; long ones lie in files."""

import mmap
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray

from benchsuite.records import arrow

LONG_BYTES: Final = 1 << 27  # a column over chunks that is longer lies in a file
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


class Columns:
    """The columns of a table, its rows by origin and then by id."""

    def __init__(self, table: pa.Table, column: Callable[[str], pa.ChunkedArray]) -> None:
        self._table, self._column = table, column
        self._order: IntArray = np.arange(len(table))
        due_s = self.floats("due_s")
        origin_s = np.where(np.isnan(due_s), self.floats("sent_s"), due_s)
        self._order = np.lexsort((self.integers("request_id"), origin_s))
        self._is_sorted = bool((self._order == np.arange(len(table))).all())

    def floats(self, name: str) -> FloatArray:
        """NaN for null."""
        return arrow.numbers(self._table[name], np.nan).astype(np.float64)[self._order]

    def integers(self, name: str) -> IntArray:
        """-1 for null."""
        return arrow.numbers(self._table[name], -1).astype(np.int64)[self._order]

    def texts(self, name: str) -> tuple[str, ...]:
        """ "" for null. Equal texts are one object: there are few, and many requests."""
        same: dict[str, str] = {}
        texts = [same.setdefault(text or "", text or "") for text in self._table[name].to_pylist()]
        return tuple(texts[row] for row in self._order.tolist())

    def rows(self, name: str) -> list[list[Any]]:
        """Lists of structs, as Python's own; empty where there is no such column."""
        if name not in self._table.column_names or not any(
            len(chunk.values) for chunk in self._table[name].chunks
        ):
            return [[]] * len(self._table)
        rows = self._table[name].to_pylist()
        return [rows[row] or [] for row in self._order.tolist()]

    def has_any(self, name: str) -> bool:
        """Whether any row has a value."""
        return bool(self._table[name].null_count < len(self._table))

    def lists(self, name: str) -> tuple[IntArray, NDArray[Any]]:
        """(start, values): row i holds values[start[i] : start[i + 1]]."""
        pieces = [arrow.lists(piece) for piece in self._column(name).chunks]
        length = np.concatenate([[0][:0], *(np.diff(start) for start, _ in pieces)]).astype(
            np.int64
        )
        ends = np.cumsum(length[self._order])
        begin = np.empty_like(length)  # of each row as it lies in the table
        begin[self._order] = ends - length[self._order]
        kind = pieces[0][1].dtype if pieces else np.float64
        values = room(int(length.sum()), kind)
        row = 0
        for start, found in pieces:
            num = len(start) - 1
            place = begin[row : row + num] - start[:-1]
            found = found[start[0] : start[-1]]
            if self._is_sorted and num:
                values[begin[row] : begin[row] + len(found)] = found
            else:
                values[np.arange(start[0], start[-1]) + np.repeat(place, np.diff(start))] = found
            row += num
        release(values)
        pieces.clear()
        pa.default_memory_pool().release_unused()  # it keeps a column's room for the next one
        return np.concatenate(([0], ends)), values


def room(num: int, kind: DTypeLike) -> NDArray[Any]:
    """An array, in a file without a name where it is long and the disk has room for it."""
    num_bytes = num * np.dtype(kind).itemsize
    if num_bytes > LONG_BYTES:
        with suppress(OSError), tempfile.TemporaryFile(prefix="benchsuite-") as file:
            if sys.platform == "linux":  # else a full disk is met when it is written: by SIGBUS
                os.posix_fallocate(file.fileno(), 0, num_bytes)
            return np.memmap(file, kind, "w+", shape=(num,)).view(np.ndarray)
    return np.empty(num, kind)


def release(values: NDArray[Any]) -> None:
    """Memory in which a long column was looked at goes back to the system. The column stays in its
    file, and is read from there when it is looked at again."""
    owner: Any = values
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)
