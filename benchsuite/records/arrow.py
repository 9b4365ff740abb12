"""Values as Arrow columns and back, by Arrow's buffers; no object for each number of a list.

Not by `pa.array`, `to_numpy` or `pyarrow.compute`: they load pandas wherever it is installed, which
takes longer than a short run and, while one goes on, holds up the loop that reads its tokens.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray

from benchsuite.exchange import Numbers


def array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Numbers, truth values, texts or bytes; None becomes null."""
    is_there = np.array([value is not None for value in values], dtype=np.bool_)
    validity = None if is_there.all() else _packed(is_there)
    if pa.types.is_boolean(kind):
        buffers = [_packed(np.array([value is True for value in values], dtype=np.bool_))]
    elif pa.types.is_string(kind) or pa.types.is_large_binary(kind):
        pieces = [value.encode() if isinstance(value, str) else value or b"" for value in values]
        offset = np.zeros(len(pieces) + 1, np.int32 if pa.types.is_string(kind) else np.int64)
        np.cumsum(list(map(len, pieces)), out=offset[1:])
        buffers = [pa.py_buffer(offset), pa.py_buffer(b"".join(pieces))]
    else:
        numbers = [0 if value is None else value for value in values]
        buffers = [pa.py_buffer(np.array(numbers, kind.to_pandas_dtype()))]
    return pa.Array.from_buffers(kind, len(values), [validity, *buffers])


def nothing(num_rows: int, kind: pa.ListType) -> pa.Array:
    """A column of empty lists."""
    offset = pa.py_buffer(np.zeros(num_rows + 1, np.int32))
    values = pa.nulls(0, kind.value_type)
    return pa.Array.from_buffers(kind, num_rows, [None, offset], children=[values])


def column(rows: Sequence[Numbers], dtype: DTypeLike) -> pa.ListArray:
    """The rows as one column of lists; none of them is null."""
    start = np.zeros(len(rows) + 1, dtype=np.int32)
    np.cumsum([len(row) for row in rows], out=start[1:])
    flat = np.concatenate([np.empty(0, dtype), *(np.asarray(row, dtype) for row in rows)])
    kind = pa.from_numpy_dtype(flat.dtype)
    values = pa.Array.from_buffers(kind, len(flat), [None, pa.py_buffer(flat)])
    return pa.Array.from_buffers(
        pa.list_(kind), len(rows), [None, pa.py_buffer(start)], children=[values]
    )


def rows(column: pa.ListArray) -> list[NDArray[Any]]:
    """The lists of a column without nulls; they share its memory."""
    start, values = lists(column)
    return [values[i:j] for i, j in pairwise(start.tolist())]


def lists(column: pa.ListArray | pa.ChunkedArray) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """(start, values) of a column of lists: row i holds values[start[i] : start[i + 1]]."""
    array = _whole(column)
    if len(array) == 0:
        return np.zeros(1, np.int32), np.empty(0, array.type.value_type.to_pandas_dtype())
    start = np.frombuffer(array.buffers()[1], np.int32)[array.offset :][: len(array) + 1]
    return start, numbers(array.values)


def numbers(column: pa.Array | pa.ChunkedArray, missing: float = 0) -> NDArray[Any]:
    """A column of numbers or truth values, with `missing` in place of nulls."""
    array = _whole(column)
    validity, data = array.buffers()
    here = slice(array.offset, array.offset + len(array))
    if data is None:  # nothing but nulls
        values: NDArray[Any] = np.zeros(len(array), array.type.to_pandas_dtype())
    elif pa.types.is_boolean(array.type):
        values = _bits(data)[here]
    else:
        values = np.frombuffer(data, array.type.to_pandas_dtype())[here]
    if validity is None or array.null_count == 0:
        return values
    kind = np.result_type(values.dtype, np.min_scalar_type(missing))
    return np.where(_bits(validity)[here], values, np.asarray(missing, kind))


def _packed(bits: NDArray[np.bool_]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(bits, bitorder="little"))


def _bits(buffer: pa.Buffer) -> NDArray[np.bool_]:
    return np.unpackbits(np.frombuffer(buffer, np.uint8), bitorder="little").view(np.bool_)


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
