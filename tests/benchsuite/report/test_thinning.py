"""Thinning drops points and never an extreme."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsuite.report.thinning import ecdf, keep_longest, keep_turns, running_count

durations = st.lists(
    st.one_of(st.floats(0, 1e4), st.integers(0, 3).map(float), st.just(float("nan"))), max_size=80
).map(lambda values: np.array(values, dtype=np.float64))
limits = st.integers(4, 30)


@given(durations, limits)
def test_an_ecdf_is_true_at_every_point_kept(values: np.ndarray, limit: int) -> None:
    """Each point is a measured value with a share at or below it that some order of ties gives."""
    x, share = ecdf(values, limit)
    known = np.sort(values[~np.isnan(values)])
    assert len(x) == len(share) <= limit
    assert len(x) >= min(len(known), limit // 4)
    assert np.isin(x, known).all()
    assert (np.diff(share) > 0).all()
    assert (np.diff(x) >= 0).all()
    rank = np.round(share * len(known)).astype(int)
    assert (known[rank - 1] == x).all()


@given(durations.filter(lambda values: bool((~np.isnan(values)).any())), limits)
def test_an_ecdf_keeps_both_ends(values: np.ndarray, limit: int) -> None:
    """The shortest and the longest value are drawn, the longest at 100 %."""
    x, share = ecdf(values, limit)
    assert (x[0], x[-1]) == (np.nanmin(values), np.nanmax(values))
    assert share[-1] == 1


def test_an_ecdf_keeps_the_whole_end_of_a_long_tail() -> None:
    """Of 2.56 million values the 500 longest are all there, in 2,000 points."""
    values = np.random.default_rng(1).permutation(2_560_000).astype(np.float64)
    x, _ = ecdf(values)
    assert len(x) <= 2_000
    assert set(range(2_560_000 - 500, 2_560_000)) <= set(x.astype(int).tolist())


@given(durations, limits)
def test_dots_keep_the_longest(values: np.ndarray, limit: int) -> None:
    """No value that is dropped is longer than one of the longest half of those kept."""
    kept = keep_longest(values, limit, limit // 2)
    known = np.flatnonzero(~np.isnan(values))
    assert len(kept) == min(len(known), limit)
    assert (np.diff(kept) > 0).all()
    assert np.isin(kept, known).all()
    dropped = np.setdiff1d(known, kept)
    if len(dropped):
        longest = np.sort(values[kept])[-(limit // 2) :]
        assert values[dropped].max() <= longest.min()


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=400), st.integers(1, 20))
def test_a_step_line_keeps_its_peaks(levels: list[float], buckets: int) -> None:
    """First, last, lowest and highest level are drawn, and few besides."""
    y = np.array(levels)
    x = np.arange(len(y), dtype=np.float64)
    kept = keep_turns(x, y, buckets)
    assert len(kept) <= max(4 * buckets, 1)
    assert (kept[0], kept[-1]) == (0, len(y) - 1)
    assert (y[kept].min(), y[kept].max()) == (y.min(), y.max())


def test_a_step_line_of_nothing_is_empty() -> None:
    """No points in, no points out."""
    assert len(keep_turns(np.empty(0), np.empty(0))) == 0


@pytest.mark.parametrize(
    ("up_s", "down_s", "count"),
    [
        ([], [], []),
        ([1.0], [2.0], [1, 0]),
        ([1.0, 2.0], [2.0, 3.0], [1, 2, 1, 0]),  # at equal times ups come first
        ([1.0, np.nan], [np.nan, np.nan], [1]),  # what never ended is still counted
    ],
)
def test_a_running_count_follows_its_events(
    up_s: list[float], down_s: list[float], count: list[int]
) -> None:
    """+1 at each start, -1 at each end."""
    at_s, found = running_count(np.array(up_s), np.array(down_s))
    assert found.tolist() == count
    assert (np.diff(at_s) >= 0).all()
