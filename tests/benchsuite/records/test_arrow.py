"""Numbers in Arrow columns and back."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsuite.records import arrow

KINDS = {
    pa.int64(): st.integers(-(2**53), 2**53),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.int8(): st.integers(-128, 127),
    pa.float64(): st.floats(allow_nan=False),
    pa.bool_(): st.booleans(),
}
columns = st.sampled_from(sorted(KINDS, key=str)).flatmap(
    lambda kind: st.tuples(st.just(kind), st.lists(st.none() | KINDS[kind], max_size=40))
)


@given(columns, st.integers(0, 40), st.integers(0, 40), st.sampled_from([-1, np.nan]))
def test_nulls_become_what_is_asked(column, start, stop, missing):
    """Every kind of number, any slice, in chunks or whole."""
    kind, values = column
    whole = pa.array(values, kind)
    expected = [float(missing if one is None else one) for one in values]
    assert arrow.numbers(whole, missing) == pytest.approx(expected, nan_ok=True)
    part = whole[start:stop]
    assert arrow.numbers(part, missing) == pytest.approx(expected[start:stop], nan_ok=True)
    chunked = pa.chunked_array([whole, part], kind)
    both = expected + expected[start:stop]
    assert arrow.numbers(chunked, missing) == pytest.approx(both, nan_ok=True)


@given(columns, st.lists(st.none() | st.text(max_size=9), max_size=9))
def test_columns_are_those_that_pyarrow_makes(column, texts):
    """Numbers, truth values, texts and bytes, nulls among them."""
    kind, values = column
    assert arrow.array(values, kind).equals(pa.array(values, kind))
    assert arrow.array(texts, pa.string()).equals(pa.array(texts, pa.string()))
    raw = [None if text is None else text.encode() for text in texts]
    assert arrow.array(raw, pa.large_binary()).equals(pa.array(raw, pa.large_binary()))


def test_empty_lists():
    """Of structs too, which have no numbers."""
    kind = pa.list_(pa.struct([("a", pa.string())]))
    assert arrow.nothing(2, kind).equals(pa.array([[], []], kind))


@given(st.lists(st.lists(st.integers(0, 99), max_size=4), max_size=8), st.integers(0, 8))
def test_lists_come_back(rows, start):
    """Row by row, from a slice too."""
    whole = arrow.column(rows, np.int64)
    assert [row.tolist() for row in arrow.rows(whole)] == rows
    assert [row.tolist() for row in arrow.rows(whole[start:])] == rows[start:]


def test_columns_are_read_without_pandas(tmp_path):
    """Where pandas is installed pyarrow would load it, which takes longer than a short run."""
    script = """
import sys
import numpy as np, pyarrow as pa
from benchsuite.records import arrow
arrow.numbers(arrow.array([1, None], pa.int64()), np.nan)
arrow.rows(arrow.column([[1.0]], np.float64))
arrow.array(["a", None], pa.string()).to_pylist()
assert not {"pandas", "pyarrow.compute"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", script], check=True)
