"""Lists of numbers, one a row, as an Arrow column and back, without an object for each number."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray

from benchsuite.exchange import Numbers


def column(rows: Sequence[Numbers], dtype: DTypeLike) -> pa.ListArray:
    """The rows as one column of lists; none of them is null."""
    start = np.zeros(len(rows) + 1, dtype=np.int32)
    np.cumsum([len(row) for row in rows], out=start[1:])
    values = [np.asarray(row, dtype) for row in rows]
    return pa.ListArray.from_arrays(start, np.concatenate([np.empty(0, dtype), *values]))


def rows(column: pa.ListArray) -> list[NDArray[Any]]:
    """The lists of a column without nulls; they share its memory."""
    values = column.values.to_numpy()
    return [values[start:stop] for start, stop in pairwise(column.offsets.to_pylist())]
