"""Pool: all values of a metric that count, in order, with whose they are.

Values of tokens are as many as a run has. They are looked at in parts that fit in memory; one copy
of them is put in order, so that quantiles are exact.
"""

import math
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from benchsuite.metrics.base import Metric
from benchsuite.metrics.statistics import Parts
from benchsuite.records.table import FloatArray, Int32Array, IntArray, RunData


class Sample(NamedTuple):
    """Values that count, and whose they are."""

    values: FloatArray
    session: IntArray | Int32Array  # of each value, from 0


class Pool(NamedTuple):
    """All values of a run that count."""

    ordered: FloatArray  # ascending
    parts: Parts  # as they came
    counts: IntArray  # of each session, [num_sessions]
    sums: FloatArray  # likewise
    mean: float  # NaN where there is none

    @property
    def std(self) -> float | None:
        """None of fewer than two values."""
        if len(self.ordered) < 2:
            return None
        squares = sum(float(np.square(part - self.mean).sum()) for part, _ in self.parts())
        return math.sqrt(squares / (len(self.ordered) - 1))


def pool(metric: Metric, data: RunData) -> Pool:
    """Of a metric that is not of shape `run`: the values that `summarise` draws from."""
    parts: Parts = partial(_samples, metric, data)
    if metric.shape in ("request", "session") or data.is_one_piece:
        whole = sample(metric, data)
        parts, most = (lambda: iter([whole])), len(whole.values)
    else:
        most = len(data.chunk_s) if metric.shape == "chunk" else int(data.num_stamped.sum())
    ordered, num, total = np.empty(most), 0, 0.0  # takes memory as it is filled
    counts, sums = np.zeros(data.num_sessions, dtype=np.int64), np.zeros(data.num_sessions)
    for values, session in parts():
        ordered[num : num + len(values)] = values
        num += len(values)
        total += float(values.sum())
        counts += np.bincount(session, minlength=len(counts))
        sums += np.bincount(session, values, minlength=len(counts))
    ordered = ordered[:num]
    ordered.sort()
    return Pool(ordered, parts, counts, sums, total / num if num else math.nan)


def sample(metric: Metric, data: RunData) -> Sample:
    """The values of `pool` as they came, all at once."""
    return _chosen(metric, data, data.session)


def _samples(metric: Metric, data: RunData) -> Iterator[Sample]:
    session, first = data.session.astype(np.int32), 0
    for piece in data.pieces():
        yield _chosen(metric, piece, session[first : first + len(piece)])
        first += len(piece)


def _chosen(metric: Metric, data: RunData, session: IntArray | Int32Array) -> Sample:
    """`session`: of each request, [n]."""
    values = metric.values(data)
    counted = data.in_window & (data.ok if metric.over == "ok" else ~np.isnan(data.sent_s))
    if metric.shape == "request":
        chosen = np.flatnonzero(counted & ~np.isnan(values))
        return Sample(values[chosen], session[chosen])
    if metric.shape == "session":
        num_outside = np.bincount(session[~counted], minlength=data.num_sessions)
        chosen = np.flatnonzero((num_outside == 0) & ~np.isnan(values))
        return Sample(values[chosen], chosen)
    spread = data.per_chunk if metric.shape == "chunk" else data.per_token
    is_known = ~np.isnan(values)
    if not counted.all():
        is_known &= spread(counted)
    return Sample(values[is_known], spread(session.astype(np.int32))[is_known])
