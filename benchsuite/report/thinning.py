"""Which points of a long series to draw so that the page stays small and no extreme is lost.

Pure functions of numpy arrays. Every point they keep is a measured one; none is averaged away.
"""

import numpy as np

from benchsuite.records.table import FloatArray, IntArray


def ecdf(values: FloatArray, limit: int = 2_000) -> tuple[FloatArray, FloatArray]:
    """Points (x, share of values <= x) of the empirical distribution; at most `limit` of them.

    Of n values that are not NaN, the largest quarter of `limit` are all kept, another quarter is
    spaced geometrically from there down, so that the tail keeps its shape, and half evenly.
    """
    return ecdf_of(np.sort(values[~np.isnan(values)]), limit)


def ecdf_of(x: FloatArray, limit: int = 2_000) -> tuple[FloatArray, FloatArray]:
    """`ecdf` of values without NaN that are in order already."""
    n = len(x)
    if n <= limit:
        ranks = np.arange(1, n + 1)
    else:
        largest = np.arange(n - limit // 4 + 1, n + 1)
        below = n + 1 - np.geomspace(limit // 4, n, limit // 4)
        even = np.linspace(1, n, limit // 2)
        ranks = np.unique(np.concatenate([largest, below, even]).round().astype(np.int64))
    return x[ranks - 1], ranks / max(n, 1)


def keep_longest(values: FloatArray, limit: int, num_longest: int) -> IntArray:
    """Ascending indices of at most `limit` values: the longest, and an even pick of the rest.

    NaN is never kept. With `limit` values or fewer, all others are.
    """
    known = np.flatnonzero(~np.isnan(values))
    if len(known) <= limit:
        return known
    length, num = values[known], num_longest
    shortest_of_longest = np.partition(length, -num)[-num]
    is_kept = length > shortest_of_longest
    ties = np.flatnonzero(length == shortest_of_longest)
    is_kept[ties[: num - np.count_nonzero(is_kept)]] = True
    rest = np.flatnonzero(~is_kept)
    is_kept[rest[np.linspace(0, len(rest) - 1, limit - num).round().astype(np.int64)]] = True
    kept: IntArray = known[is_kept]
    return kept


def keep_turns(x: FloatArray, y: FloatArray, buckets: int = 500) -> IntArray:
    """Indices of the first, lowest, highest and last point in each of `buckets` slices of x.

    `x` ascends. At most 4 * buckets points are kept, enough to draw the same line at that width
    (M4: Jugel et al., PVLDB 7(10), 2014).
    """
    if len(x) <= 4 * buckets:
        return np.arange(len(x))
    edges = np.linspace(x[0], x[-1], buckets + 1)[1:-1]
    bounds = np.unique(np.concatenate([[0], np.searchsorted(x, edges), [len(x)]]))
    kept: set[int] = set()
    for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        part = y[start:end]
        kept |= {start, start + int(part.argmin()), start + int(part.argmax()), end - 1}
    return np.array(sorted(kept), dtype=np.int64)


def running_count(up_s: FloatArray, down_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Times at which a count changes, and the count from then on: +1 at `up_s`, -1 at `down_s`.

    NaN times are left out. At equal times ups come first, so the count never dips by accident.
    """
    up_s, down_s = up_s[~np.isnan(up_s)], down_s[~np.isnan(down_s)]
    at_s = np.concatenate([up_s, down_s])
    change = np.concatenate([np.ones(len(up_s)), -np.ones(len(down_s))])
    order = np.lexsort((-change, at_s))
    return at_s[order], np.cumsum(change[order])
