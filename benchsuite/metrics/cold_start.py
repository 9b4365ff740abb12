"""Cold starts: first tokens that came late because nobody had asked for a while.

A request is rested if nothing was in flight when it was sent, and nothing had been for a second; it
is cold if its first token took three times the warm median and half a second more.
"""

from typing import Final, NamedTuple

import numpy as np

from benchsuite.metrics.latency import ttft_sent
from benchsuite.records.table import BoolArray, FloatArray, RunData

RESTED_S: Final = 1.0  # nothing in flight for so long
FACTOR: Final = 3.0  # times the warm median
EXTRA_S: Final = 0.5  # and so much more
MIN_WARM: Final = 6  # requests for a median of the warm ones


class Cold(NamedTuple):
    """The cold starts of a run."""

    is_cold: BoolArray  # [n]
    idle_s: FloatArray  # [n]; how long nothing had been in flight when it was sent; NaN: something
    penalty_s: float  # median cold ttft - median warm ttft
    utility: float  # time between cold starts that was of use / time of cold starts


def cold_starts(data: RunData) -> Cold:
    """Of all requests that ended well, the warm-up's too: the first of a run may be cold."""
    first_s, idle_s = ttft_sent(data), idle_before(data)
    rested = idle_s >= RESTED_S
    warm_s = first_s[data.ok & ~rested & np.isfinite(first_s)]
    is_cold = np.zeros(len(data), dtype=np.bool_)
    if len(warm_s) < MIN_WARM:
        return Cold(is_cold, idle_s, np.nan, np.nan)
    usual_s = float(np.median(warm_s))
    is_cold = data.ok & rested & (first_s > FACTOR * usual_s) & (first_s > usual_s + EXTRA_S)
    penalty_s = float(np.median(first_s[is_cold])) - usual_s if is_cold.any() else 0.0
    return Cold(is_cold, idle_s, penalty_s, _utility(data, is_cold, first_s - usual_s))


def utility_ratio(useful_s: float, cold_s: float) -> float:
    """Useful life of an instance / what starting it took."""
    return useful_s / cold_s if cold_s > 0 else np.nan


def _utility(data: RunData, is_cold: BoolArray, extra_s: FloatArray) -> float:
    """From each cold first token to the last answer before the next cold start."""
    starts = np.flatnonzero(is_cold)
    if not len(starts):
        return np.nan
    useful_s = 0.0
    for start, end in zip(starts, [*starts[1:], len(data)], strict=True):
        useful_s += float(np.nanmax(data.finished_s[start:end]) - data.first_token_s[start])
    return utility_ratio(useful_s, float(extra_s[is_cold].sum()))


def idle_before(data: RunData) -> FloatArray:
    """How long nothing had been in flight when each request was sent, [n]; NaN where something
    was. Before the first it is infinite."""
    order = np.argsort(data.sent_s, kind="stable")
    sent_s, finished_s = data.sent_s[order], data.finished_s[order]
    ended_s = np.fmax.accumulate(np.where(np.isnan(finished_s), -np.inf, finished_s))
    before_s = np.concatenate(([-np.inf], ended_s[:-1]))[: len(sent_s)]
    idle_s = np.full(len(data), np.nan)
    free = before_s <= sent_s
    idle_s[order[free]] = (sent_s - before_s)[free]
    return idle_s


def lacks_rest(data: RunData) -> str | None:
    """Rested and warm requests are needed."""
    idle_s = idle_before(data)
    num = int(np.count_nonzero(idle_s >= RESTED_S))
    if num < 2:
        return f"no pause of {RESTED_S:g} s without a request in flight"
    warm = int(np.count_nonzero(data.ok & ~(idle_s >= RESTED_S)))
    return f"{warm} warm requests; it takes {MIN_WARM}" if warm < MIN_WARM else None


def cold_start_count(data: RunData) -> FloatArray:
    """Requests that were sent after nothing had been in flight for a second, and whose first token
    took more than 3 times the median of those that were not, and half a second more. The whole run
    counts. Source: Serverless Cold Starts, arXiv:2410.06145."""
    return np.array([float(np.count_nonzero(data.once(cold_starts).is_cold))])


def cold_start_penalty(data: RunData) -> FloatArray:
    """Median first token of the cold starts less that of the warm requests; zero where none was
    cold. Source: Serverless Cold Starts, arXiv:2410.06145."""
    return np.array([data.once(cold_starts).penalty_s])


def cold_start_utility(data: RunData) -> FloatArray:
    """Time from a cold start's first token to the last answer before the next cold start, over the
    time that the cold starts took more than a warm request: how long an instance was of use for
    what starting it cost. Source: Serverless Cold Starts, arXiv:2410.06145, pod utility ratio."""
    return np.array([data.once(cold_starts).utility])


def cold_start_idle(data: RunData) -> FloatArray:
    """The shortest idle time after which a request was cold: where the server lets go is between it
    and the longest after which one was warm. Undefined where none was cold."""
    found = data.once(cold_starts)
    idle_s = found.idle_s[found.is_cold & np.isfinite(found.idle_s)]
    return np.array([float(idle_s.min()) if len(idle_s) else np.nan])
