"""What runs beside what: requests in their prefill and in their decode at once, and how much longer
token gaps are while somebody else's prompt is being worked on.

From outside a prefill is seen from when a request was sent to its first token, queue included.
"""

from typing import Final, NamedTuple

import numpy as np

from benchsuite.metrics.base import Interval
from benchsuite.metrics.latency import arrival_gaps
from benchsuite.metrics.statistics import MIN_SESSIONS, percentile_interval, resampled
from benchsuite.records.table import BoolArray, FloatArray, IntArray, RunData

STRATA: Final = 8  # levels of decode concurrency within which gaps are compared
BLOCKS: Final = 200  # pieces of the window that are resampled: one prefill lengthens many gaps
TOLERANCE: Final = 0.1  # of a median gap; a prefill that ends sooner after a token is over
MIN_GAPS: Final = 100  # of each kind


class Counts(NamedTuple):
    """How many requests were in a phase: `num[i]` from `at_s[i]` on."""

    at_s: FloatArray  # ascending
    num: IntArray


def in_prefill(data: RunData) -> Counts:
    """Requests between sent and first token (or their end, where none came)."""
    return _counts(data.sent_s, np.fmin(data.first_token_s, data.finished_s))


def in_decode(data: RunData) -> Counts:
    """Requests between their first and their last token."""
    return _counts(data.first_token_s, data.last_token_s)


def _counts(from_s: FloatArray, until_s: FloatArray) -> Counts:
    known = np.isfinite(from_s) & np.isfinite(until_s)
    at_s = np.concatenate((from_s[known], until_s[known]))
    change = np.repeat([1, -1], np.count_nonzero(known))
    order = np.lexsort((change, at_s))  # one that ends makes room for one that begins
    return Counts(at_s[order], np.cumsum(change[order]))


def means_between(counts: Counts, edges_s: FloatArray) -> FloatArray:
    """The mean number between each two neighbours of ascending `edges_s` [k + 1], [k]. Exact: it
    is the integral of the steps, so that short phases count for as long as they lasted."""
    if not len(counts.num):
        return np.zeros(len(edges_s) - 1)
    held = np.concatenate(([0.0], np.cumsum(counts.num[:-1] * np.diff(counts.at_s))))
    found: FloatArray = np.diff(np.interp(edges_s, counts.at_s, held)) / np.diff(edges_s)
    return found


def _at(counts: Counts, at_s: FloatArray) -> IntArray:
    """How many there were just after each moment."""
    index = np.searchsorted(counts.at_s, at_s, side="right") - 1
    if not len(counts.num):
        return np.zeros(len(at_s), dtype=np.int64)
    found: IntArray = np.where(index >= 0, counts.num[index], 0)
    return found


def _mean(counts: Counts, start_s: float, end_s: float) -> float:
    """Over the time from `start_s` to `end_s`."""
    if end_s <= start_s:
        return np.nan
    edges = np.concatenate(([start_s], counts.at_s.clip(start_s, end_s), [end_s]))
    num = np.concatenate(([0], counts.num))
    return float((np.diff(edges) * num).sum() / (end_s - start_s))


def prefill_concurrency(data: RunData) -> FloatArray:
    """Requests between sent and their first token, averaged over the time of the window. Waiting in
    the server's queue is in it. Source: AIPerf, effective prefill concurrency."""
    return np.array([_mean(data.once(in_prefill), *data.window_s)])


def decode_concurrency(data: RunData) -> FloatArray:
    """Requests between their first and their last token, averaged over the time of the window.
    Source: AIPerf, effective generation concurrency."""
    return np.array([_mean(data.once(in_decode), *data.window_s)])


class Interference(NamedTuple):
    """What others' prefills add to token gaps."""

    extra_s: float  # to a gap with a prefill in flight
    extra_ci: Interval | None
    share: float  # of all time between tokens
    share_ci: Interval | None
    exposed: float  # share of the gaps


class _Gaps(NamedTuple):
    """Gaps between arrivals of one answer that lie in the window, by when they began: added up
    over pieces of time in which nothing changed, so that many gaps cost one search each."""

    num: IntArray  # [pieces]
    sum_s: FloatArray  # [pieces]; of their lengths
    block: IntArray  # [pieces]; part of the window, from 0
    num_decoding: IntArray  # [pieces]
    is_exposed: BoolArray  # [pieces]; somebody else's prefill was in flight


def _began(data: RunData) -> tuple[FloatArray, FloatArray]:
    """Gaps that began in the window: when, and how long each is, both [gaps]."""
    found = data.arrivals
    start_s, (window_start_s, window_end_s) = found.at_s[:-1], data.window_s
    inside = ~found.is_first[1:]
    inside &= start_s >= window_start_s
    inside &= start_s < window_end_s
    return start_s[inside], data.once(arrival_gaps)[1:][inside]


def _others(data: RunData) -> Counts:
    """Prefills that are not over when a gap begins. Its own is by then; whoever gets a first token
    within the tolerance got it in the step that this gap begins with."""
    length_s = data.gathered(lambda piece: _began(piece)[1])
    median_s = float(np.median(length_s, overwrite_input=True)) if len(length_s) else 0.0
    ended_s = np.fmin(data.first_token_s, data.finished_s) - TOLERANCE * median_s
    return _counts(data.sent_s, ended_s)


def _gaps(data: RunData) -> _Gaps:
    others, decoding = data.once(_others), data.once(in_decode)
    blocks_s = np.linspace(*data.window_s, BLOCKS, endpoint=False)
    edge_s = np.unique(np.concatenate((others.at_s, decoding.at_s, blocks_s)))
    num, sum_s = np.zeros(len(edge_s), dtype=np.int64), np.zeros(len(edge_s))
    for part in data.pieces():
        start_s, length_s = _began(part)
        piece = np.searchsorted(edge_s, start_s, side="right") - 1
        num += np.bincount(piece, minlength=len(edge_s))
        sum_s += np.bincount(piece, length_s, minlength=len(edge_s))
    return _Gaps(
        num,
        sum_s,
        np.searchsorted(blocks_s, edge_s, side="right").clip(min=1) - 1,
        _at(decoding, edge_s),
        _at(others, edge_s) > 0,
    )


def beside_prefill(data: RunData, *, is_beside: bool) -> FloatArray:
    """Gaps between arrivals of one answer that began in the window, in seconds: those during which
    somebody else's prefill was in flight when they began, or the others."""
    others = data.once(_others)

    def chosen_s(piece: RunData) -> FloatArray:
        start_s, length_s = _began(piece)
        chosen: FloatArray = length_s[(_at(others, start_s) > 0) == is_beside]
        return chosen

    return data.gathered(chosen_s)


def lacks_contrast(data: RunData) -> str | None:
    """Both kinds of gaps are needed."""
    gaps = data.once(_gaps)
    num = int(gaps.num[gaps.is_exposed].sum())
    for kind, count in (("with", num), ("without", int(gaps.num.sum()) - num)):
        if count < MIN_GAPS:
            return f"{count} gaps {kind} a prefill in flight; it takes {MIN_GAPS}"
    return None


def interference(data: RunData) -> Interference:
    """Mean gap with a prefill in flight less mean gap without, among gaps with about as many
    requests decoding; over all strata weighted by the former. Whether one is in flight is looked at
    when the gap begins, which no gap can help by being long."""
    gaps = data.once(_gaps)
    stratum = _strata(gaps.num_decoding, gaps.num)
    cell = (gaps.block * STRATA + stratum) * 2 + gaps.is_exposed
    num, sums = (
        np.bincount(cell, weights, minlength=BLOCKS * STRATA * 2).reshape(BLOCKS, -1)
        for weights in (gaps.num, gaps.sum_s)
    )
    both = np.concatenate((num, sums), axis=1)
    rows: FloatArray = both[both.any(axis=1)].astype(np.float64, copy=False)
    extra_s, share = _extra(rows.sum(axis=0, keepdims=True))
    exposed = float(gaps.num[gaps.is_exposed].sum() / gaps.num.sum())
    if len(rows) < MIN_SESSIONS:
        return Interference(float(extra_s[0]), None, float(share[0]), None, exposed)
    drawn_s, drawn_share = _extra(resampled(rows))
    return Interference(
        float(extra_s[0]),
        percentile_interval(drawn_s),
        float(share[0]),
        percentile_interval(drawn_share),
        exposed,
    )


def _strata(num_decoding: IntArray, num_gaps: IntArray) -> IntArray:
    """Equally many gaps in each, as far as equal counts allow."""
    ends = np.cumsum(np.bincount(num_decoding, num_gaps)).astype(np.int64)  # gaps at up to a level
    rank = np.linspace(0, 1, STRATA + 1)[1:-1] * (ends[-1] - 1)
    low, high = (np.searchsorted(ends, r, side="right") for r in (np.floor(rank), np.ceil(rank)))
    edges = np.unique(low + (high - low) * (rank - np.floor(rank)))  # quantiles, interpolated
    return np.searchsorted(edges, num_decoding, side="left")


def _extra(totals: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(seconds for each exposed gap, share of all time between tokens), of rows of totals."""
    num, sums = np.split(totals.reshape(len(totals), 2, STRATA, 2), 2, axis=1)
    num, sums = num[:, 0], sums[:, 0]
    clean, exposed = num[..., 0], num[..., 1]
    both = (clean > 0) & (exposed > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        step = np.where(both, sums[..., 1] / exposed - sums[..., 0] / clean, 0.0)
        weight = np.where(both, exposed, 0.0)
        extra_s = (step * weight).sum(axis=1) / weight.sum(axis=1)
        share = extra_s * exposed.sum(axis=1) / sums.sum(axis=(1, 2))
    return extra_s, share


def prefill_interference(data: RunData) -> FloatArray:
    """How much longer a gap between tokens is if somebody else's prefill (with its queue) was in
    flight when it began, among gaps with about as many requests decoding. Interval: bootstrap over
    pieces of the window, as one prefill lengthens many gaps. Source: ours; the effect is that of
    Sarathi-Serve, OSDI'24, and DistServe, OSDI'24."""
    return np.array([data.once(interference).extra_s])


def prefill_interference_interval(data: RunData) -> Interval | None:
    return data.once(interference).extra_ci


def prefill_interference_share(data: RunData) -> FloatArray:
    """Share of all time between tokens that is owed to others' prefills: `prefill_interference` of
    each gap with one in flight / the sum of all gaps. What a server that prefills elsewhere would
    at best win. Interval: as there. Source: ours."""
    return np.array([data.once(interference).share])


def prefill_interference_share_interval(data: RunData) -> Interval | None:
    return data.once(interference).share_ci
