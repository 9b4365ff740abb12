"""Lists of numbers go into a column and come back."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from benchsuite.records import ragged


@given(st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=5), max_size=5))
def test_rows_come_back(rows: list[list[int]]) -> None:
    """Empty ones too; what Arrow says of them is what went in, whatever held the numbers."""
    kept = ragged.column([rows[0], *map(np.array, rows[1:])] if rows else [], np.int32)
    assert kept.equals(pa.array(rows, pa.list_(pa.int32())))
    assert [row.tolist() for row in ragged.rows(kept)] == rows
