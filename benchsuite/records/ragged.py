"""Ragged columns: row i holds values[start[i] : start[i + 1]]. Pure arithmetic on arrays."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchsuite.exchange import Kind
from benchsuite.records.columns import BoolArray, FloatArray, IntArray


class TokenTimes(NamedTuple):
    """When an answer's tokens came, [n] each; NaN where none did."""

    first_s: FloatArray  # of any kind
    first_output_s: FloatArray  # visible: content or tool call
    last_s: FloatArray


def token_times(
    start: IntArray, chunk_s: FloatArray, chunk_kind: NDArray[np.int8], most: int
) -> TokenTimes:
    """Of each row, with no more than about `most` chunks in hand at a time."""
    found = TokenTimes(*(np.full(len(start) - 1, np.nan) for _ in TokenTimes._fields))
    for low, high in spans(start, most):
        own = start[low : high + 1] - start[low]
        chunks = slice(int(start[low]), int(start[high]))
        at_s, is_output = chunk_s[chunks], chunk_kind[chunks] != Kind.REASONING
        found.first_s[low:high] = _at(own[:-1], np.diff(own) > 0, at_s)
        found.first_output_s[low:high] = _first_where(is_output, own, at_s)
        found.last_s[low:high] = _at(own[1:] - 1, np.diff(own) > 0, at_s)
    return found


def sums(start: IntArray, values: NDArray[np.integer[Any]]) -> IntArray:
    """Of each row, [n]; 0 where it is empty."""
    found = np.zeros(len(start) - 1, dtype=np.int64)
    has_any = np.diff(start) > 0
    if has_any.any():
        found[has_any] = np.add.reduceat(values, start[:-1][has_any], dtype=np.int64)
    return found


def spans(start: IntArray, most: int) -> Iterator[tuple[int, int]]:
    """(low, high): rows low to high - 1 hold no more than `most` values, or are one row."""
    low, num_rows = 0, len(start) - 1
    while low < num_rows:
        high = int(np.searchsorted(start, start[low] + most, side="right")) - 1
        high = max(high, low + 1)
        yield low, high
        low = high


def _first_where(chosen: BoolArray, start: IntArray, values: FloatArray) -> FloatArray:
    """First chosen value of each row; NaN where none is."""
    if not chosen.all():
        start, values = np.concatenate(([0], np.cumsum(chosen)))[start], values[chosen]
    return _at(start[:-1], np.diff(start) > 0, values)


def _at(index: IntArray, is_there: BoolArray, values: FloatArray) -> FloatArray:
    found = np.full(len(index), np.nan)
    found[is_there] = values[index[is_there]]
    return found
