"""A table's columns as arrays, rows in the order in which they were due; long ones lie in files."""

import mmap
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray

from benchsuite.records import arrow

_KIND: Final = "chunk_kind"  # the smallest column over chunks
LONG_BYTES: Final = 1 << 27  # a column over chunks that is longer lies in a file
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


class Columns:
    """The columns of a table, its rows by origin and then by id."""

    def __init__(self, table: pa.Table, column: Callable[[str], Iterable[pa.ListArray]]) -> None:
        """`column`: those over chunks, in pieces of rows as they lie in the table."""
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

    def chunk_start(self) -> IntArray:
        """Where the chunks of each row begin, and where the last one's end, [n + 1]."""
        length = np.concatenate(
            [np.empty(0, np.int64), *(np.diff(arrow.lists(p)[0]) for p in self._column(_KIND))]
        )
        ends = np.cumsum(length[self._order])
        self._length, self._begin = length, np.empty_like(length)  # as rows lie in the table
        self._begin[self._order] = ends - length[self._order]
        return np.concatenate(([0], ends))

    def chunks(self, name: str, kind: DTypeLike, missing: float = 0) -> NDArray[Any]:
        """A column over chunks, once `chunk_start` is known; `missing` for those of a row that
        holds none. Read in pieces, into a file where it is long."""
        values, row, num_found = room(int(self._length.sum()), kind), 0, 0
        for piece in self._column(name):
            start, found = arrow.lists(piece)
            found = found[start[0] : start[-1]]
            rows = slice(row, row + len(start) - 1)
            num, length, begin = np.diff(start), self._length[rows], self._begin[rows]
            row, num_found = rows.stop, num_found + len(found)
            if self._is_sorted and len(num) and len(found) == length.sum():
                values[begin[0] : begin[0] + len(found)] = found
                continue
            values[_places(begin, num)] = found
            lacking = num < length
            values[_places(begin[lacking], length[lacking])] = missing
        release(values)
        if num_found or not len(values):
            return values
        return np.broadcast_to(np.asarray(missing, kind), len(values))  # which takes no memory


def _places(begin: IntArray, num: NDArray[np.integer[Any]]) -> IntArray:
    """begin[0], begin[0] + 1 and so on, num[0] of them, then those of begin[1]."""
    before = np.cumsum(num) - num
    found: IntArray = np.repeat(begin - before, num) + np.arange(int(num.sum()))
    return found


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
