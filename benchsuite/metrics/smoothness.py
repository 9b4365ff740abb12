"""How evenly an answer comes, seen by a reader: deadlines met, waiting while reading, stalls.

Medians of gaps can be gamed: a server that holds tokens back to hand them out evenly improves its
tail of `itl`, one that drops late requests its good rate. Neither raises `fluidity`, `qoe` or
`smooth_goodput`, which count from when the request was due and count every token's own deadline.
"""

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from benchsuite.metrics.base import Metric
from benchsuite.metrics.latency import arrival_gaps, ttft
from benchsuite.metrics.objectives import Pace, limits
from benchsuite.records.table import FloatArray, Int32Array, IntArray, Number, RunData

STALL_S: Final = 0.2  # a gap longer than this, and than
STALL_FACTOR: Final = 5.0  # times the median gap of the run, is a stall
FLUID_SHARE: Final = 0.9  # of a request's deadlines that a fluid token rate must meet
FLUID_REQUESTS: Final = 0.99  # share of the requests that must have it
FLUID_TOLERANCE: Final = 0.01  # of the rate
MIN_REQUESTS: Final = 100  # to speak of 99 % of them

Paces = Callable[[str], Pace | None]
"""SLO class -> its pace; None where it has none."""


class Measure(Protocol):
    """One value for each request, [n], that depends on it alone."""

    def __call__(self, data: RunData, pace: Pace) -> FloatArray: ...


class _Tokens(NamedTuple):
    """Output tokens of a run, those of one request after another; k tokens that came in one arrival
    share the gap before it."""

    gap_s: FloatArray  # [tokens]; before each; 0 for those of the first arrival
    after_first_s: FloatArray  # [tokens]; since the first token of its request
    position: Int32Array  # [tokens]; from 0
    start: IntArray  # [n]
    num: IntArray  # [n]

    def of(self, values: NDArray[Number]) -> NDArray[Number]:
        """`values` [n] of each token's request, [tokens]."""
        return np.repeat(values, self.num)


def _tokens(data: RunData) -> _Tokens:
    found = data.arrivals
    gap_s = data.once(arrival_gaps).copy()
    gap_s[found.is_first] = 0.0
    after_s = found.at_s - np.repeat(data.first_token_s, found.num)
    num = found.num
    if not (found.tokens == 1).all():
        whole = np.repeat(np.arange(len(gap_s)), found.tokens)
        first = np.cumsum(found.tokens) - found.tokens
        still = found.tokens[whole] - 1 - (np.arange(len(whole)) - first[whole])  # after it
        gap_s = gap_s[whole] / found.tokens[whole]
        after_s = after_s[whole] - still * gap_s
        num = data.num_stamped
    start = np.cumsum(num) - num
    position = (np.arange(len(gap_s)) - np.repeat(start, num)).astype(np.int32)
    return _Tokens(gap_s, after_s, position, start, num)


# What needs no target


def longest_stall(data: RunData) -> FloatArray:
    """Longest time between two successive arrivals of one answer, from its first token on.
    Undefined for an answer of one arrival."""

    def longest_s(data: RunData) -> FloatArray:
        return _reduced(np.fmax, data.once(arrival_gaps), data.arrivals.num, np.nan)

    return data.by_request(longest_s)


def stalls(data: RunData) -> FloatArray:
    """How many times an answer stood still: gaps between its arrivals that are longer than 200 ms
    and than 5 times the median gap of the run. Undefined for an answer of one arrival."""
    known_s = data.gathered(partial(RunData.once, analysis=arrival_gaps))
    if not len(known_s):
        return np.full(len(data), np.nan)
    limit_s = max(STALL_S, STALL_FACTOR * float(np.median(known_s, overwrite_input=True)))

    def longer(data: RunData) -> FloatArray:
        is_longer = (data.once(arrival_gaps) > limit_s).astype(np.float64)
        found = _reduced(np.add, is_longer, data.arrivals.num, 0.0)
        found[data.arrivals.num < 2] = np.nan
        return found

    return data.by_request(longer)


def jitter(data: RunData) -> FloatArray:
    """Mean difference, without its sign, between one gap and the next of an answer's arrivals.
    Undefined below three arrivals. Source: RFC 3550's interarrival jitter, unsmoothed."""
    return data.by_request(_jitter)


def _jitter(data: RunData) -> FloatArray:
    change_s = np.abs(np.diff(data.once(arrival_gaps), prepend=np.nan))
    change_s[np.isnan(change_s)] = 0.0  # a request's first two
    num = data.arrivals.num - 2
    found = np.full(len(data), np.nan)
    total_s = _reduced(np.add, change_s, data.arrivals.num, 0.0)
    np.divide(total_s, num, out=found, where=num > 0)
    return found


def fluid_token_rate(data: RunData) -> FloatArray:
    """The most tokens/s at which 99 % of the requests meet at least 90 % of their token deadlines,
    deadlines counted as in `fluidity` from the first token on. One long stall costs the many
    deadlines that pass within it. Found to 1 %. Source: Etalon, fluid token generation rate."""
    chosen = _fluid(data)
    if len(chosen) < MIN_REQUESTS:
        return np.array([np.nan])
    gap_s = _least_gap(data, chosen)
    return np.array([1.0 / gap_s if gap_s > 0 else np.nan])


def lacks_fluid(data: RunData) -> str | None:
    num = len(_fluid(data))
    return f"{num} answers of two tokens; it takes {MIN_REQUESTS}" if num < MIN_REQUESTS else None


def _fluid(data: RunData) -> IntArray:
    """Requests that speak of it."""
    return np.flatnonzero(data.in_window & data.ok & (data.by_request(_num_tokens) > 1))


def _least_gap(data: RunData, chosen: IntArray) -> float:
    """The smallest deadline that FLUID_REQUESTS of the chosen requests can keep, by bisection of
    its logarithm. A request that keeps one keeps every longer one, so most are settled early.

    No request misses its longest gap. One that keeps to 9 in 10 deadlines of d has a mean gap of at
    most 11/9 d: n tokens take at most d for each met and 2 d for each missed deadline.
    """
    num = data.by_request(_num_tokens)
    wanted = int(np.ceil(FLUID_REQUESTS * len(chosen)))
    longest_s = data.by_request(_longest_s)
    mean_s = data.by_request(_whole_s)[chosen] / (num[chosen] - 1)
    high_s = float(np.sort(longest_s[chosen])[wanted - 1])
    low_s = min(float(np.sort(mean_s)[wanted - 1]) * 9 / 11, high_s)
    num_kept = 0
    while high_s > low_s * (1 + FLUID_TOLERANCE) and low_s > 0:
        middle_s = float(np.sqrt(low_s * high_s))
        kept = _met(data, chosen, middle_s) >= FLUID_SHARE
        if num_kept + np.count_nonzero(kept) >= wanted:
            high_s, chosen = middle_s, chosen[kept]
        else:
            low_s, num_kept = middle_s, num_kept + int(np.count_nonzero(kept))
            chosen = chosen[~kept]
    return high_s


def _num_tokens(data: RunData) -> FloatArray:
    return data.once(_tokens).num.astype(np.float64)


def _longest_s(data: RunData) -> FloatArray:
    tokens = data.once(_tokens)
    return _reduced(np.maximum, tokens.gap_s, tokens.num, 0.0)


def _whole_s(data: RunData) -> FloatArray:
    tokens = data.once(_tokens)
    return _sums(tokens.gap_s, tokens)


def _met(data: RunData, chosen: IntArray, gap_s: float) -> FloatArray:
    """Share of the deadlines that each chosen request met, its first token's when it came."""
    found, first = [np.empty(0)], 0
    for piece in data.pieces():
        its = chosen[(chosen >= first) & (chosen < first + len(piece))] - first
        found.append(_deadlines(piece, its, np.zeros(len(its)), gap_s))
        first += len(piece)
    return np.concatenate(found)


class _ByPosition(NamedTuple):
    """Gaps before all second tokens, before all third ones and so on, longest answers first: the
    slack of all requests is carried on at once, token by token, over memory that lies in a row."""

    gap_s: FloatArray  # [tokens]
    start: IntArray  # [positions]; of each position in `gap_s`
    size: IntArray  # [positions]; requests that have a token there
    rank: IntArray  # [n]; of each request among them all, longest first


def _by_position(data: RunData) -> _ByPosition:
    tokens = data.once(_tokens)
    order = np.argsort(-tokens.num, kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    size = np.bincount(tokens.position)
    start = np.cumsum(size) - size
    gap_s = np.empty(len(tokens.gap_s))
    gap_s[start[tokens.position] + tokens.of(rank)] = tokens.gap_s
    return _ByPosition(gap_s, start, size, rank)


def _deadlines(
    data: RunData, chosen: IntArray, first_late_s: FloatArray, gap_s: float
) -> FloatArray:
    """Share of the token deadlines that each chosen request met, [chosen].

    Token 1 is `first_late_s` after its deadline (before it where negative); every later one has
    `gap_s`, and what an early one left over. A token that comes too late counts as so many missed
    deadlines as passed while it was waited for, and leaves nothing over.
    """
    columns, num = data.once(_by_position), data.once(_tokens).num[chosen]
    order = np.argsort(columns.rank[chosen])
    rank, late_s = columns.rank[chosen][order], first_late_s[order]
    missed = np.where(late_s > 0, 1.0 + np.floor(late_s / gap_s), 0.0)
    num_late = (late_s > 0).astype(np.float64)
    slack_s = np.maximum(-late_s, 0.0)
    for start, size in zip(columns.start[1:], columns.size[1:], strict=True):
        active = int(np.searchsorted(rank, size))
        left_s = slack_s[:active]
        left_s += gap_s
        left_s -= columns.gap_s[start + rank[:active]]
        (late,) = (left_s < 0).nonzero()  # flatnonzero takes longer than the rest of it
        missed[late] += np.floor(1.0 - left_s[late] / gap_s)
        num_late[late] += 1.0
        left_s[late] = 0.0
    met = num[order] - num_late
    share = np.empty(len(chosen))
    share[order] = met / np.maximum(met + missed, 1.0)
    return share


# What is held against a pace


def fluidity(data: RunData, pace: Pace) -> FloatArray:
    """Share of an answer's token deadlines that were met, [n]; NaN without a token."""
    tokens = data.once(_tokens)
    chosen = np.flatnonzero(tokens.num > 0)
    late_s = (ttft(data) - limits(pace.first, data))[chosen]
    found = np.full(len(data), np.nan)
    found[chosen] = _deadlines(data, chosen, late_s, pace.gap)
    return found


def qoe(data: RunData, pace: Pace) -> FloatArray:
    """1 - delay / whole, over tokens as they are read, [n]; NaN without a token."""
    tokens = data.once(_tokens)
    paced_s = tokens.position * pace.gap
    read_s = _running_max(_from_due(data, tokens) - paced_s, tokens)
    late_s = np.maximum(read_s - tokens.of(limits(pace.first, data)), 0.0)
    whole_s = _sums(read_s + paced_s, tokens)
    found = np.full(len(data), np.nan)
    share = np.divide(_sums(late_s, tokens), whole_s, out=np.zeros(len(data)), where=whole_s > 0)
    return np.where(tokens.num > 0, 1.0 - share, found)


def idle_latency(data: RunData, pace: Pace) -> FloatArray:
    """The most that any token came after its reader wanted it, [n]; NaN without a token."""
    tokens = data.once(_tokens)
    late_s = _from_due(data, tokens) - tokens.of(limits(pace.first, data))
    late_s -= tokens.position * pace.gap
    return np.maximum(_reduced(np.maximum, late_s, tokens.num, np.nan), 0.0)


def _from_due(data: RunData, tokens: _Tokens) -> FloatArray:
    """When each token came, from when its request was due, [tokens]."""
    found: FloatArray = tokens.of(ttft(data)) + tokens.after_first_s
    return found


def _sums(values: FloatArray, tokens: _Tokens) -> FloatArray:
    return _reduced(np.add, values, tokens.num, 0.0)


def _reduced(by: np.ufunc, values: FloatArray, num: IntArray, of_none: float) -> FloatArray:
    """`by` over the values of each request, [n]: the first has `num[0]`, the next `num[1]`."""
    found, has_any = np.full(len(num), of_none), num > 0
    if has_any.any():
        found[has_any] = by.reduceat(values, (np.cumsum(num) - num)[has_any])
    return found


def _running_max(values: FloatArray, tokens: _Tokens) -> FloatArray:
    """The largest value so far of the same request, [tokens]."""
    if not len(values):
        return values
    apart = float(values.max() - values.min()) + 1.0
    shift = tokens.of(
        np.arange(len(tokens.num)) * apart
    )  # every value of a request lies above all of the one before
    found: FloatArray = np.maximum.accumulate(values + shift) - shift
    return found


_OVER_PACE: Final = {"fluidity": fluidity, "qoe": qoe, "idle_latency": idle_latency}


def against(name: str, data: RunData, pace: Pace) -> FloatArray:
    """One of these by name."""
    return _OVER_PACE[name](data, pace)


def pace_metrics(paces: Paces) -> tuple[Metric, ...]:
    """What is measured against the pace of each request's class."""

    def of_class(measure: Measure, data: RunData) -> FloatArray:
        found, classes = np.full(len(data), np.nan), np.array(data.slo_class, dtype=str)
        for name in sorted(set(data.slo_class)):
            if (pace := paces(name)) is not None:
                chosen = classes == name
                found[chosen] = data.by_request(partial(measure, pace=pace))[chosen]
        return found

    def fluid(data: RunData) -> FloatArray:
        """Share of the token deadlines of an answer that were met. Token 1 is due
        `pace.first` after the request was, each later one `pace.gap` after its predecessor; time
        that an early token leaves over is kept for later ones. A late token misses as many
        deadlines as pass while it is waited for: a stall costs as much as the slowness that takes
        as long. Source: Etalon, arXiv:2407.07000, fluidity-index."""
        return of_class(fluidity, data)

    def experience(data: RunData) -> FloatArray:
        """1 - (sum of delays) / (sum of reading times), over the tokens of an answer. A token is
        read when it has come and the reader, who reads one per `pace.gap`, has got to it; it is
        late by what that is after `pace.first` + i * `pace.gap`. Coming faster than it is read
        earns nothing. Source: Andes, arXiv:2404.16283, QoE."""
        return of_class(qoe, data)

    def idle(data: RunData) -> FloatArray:
        """The longest that a reader sat waiting: the most by which any token came after
        `pace.first` + i * `pace.gap` from when the request was due; zero if none did. Source:
        Smooth goodput, arXiv:2410.14257, idle latency."""
        return of_class(idle_latency, data)

    def smooth(data: RunData) -> FloatArray:
        """Tokens per second of the window that readers got in time: of each answer that ended well
        in it its tokens, less one for every `pace.gap` of its `idle_latency`, at least zero. A
        dropped request earns nothing and a held back token is late: it cannot be gamed by either.
        The weight of idling is ours. Source: Smooth goodput, arXiv:2410.14257."""
        start_s, end_s = data.window_s
        idle_tokens = of_class(lambda data, pace: idle_latency(data, pace) / pace.gap, data)
        good = np.maximum(data.by_request(_num_tokens) - idle_tokens, 0.0)
        ended = data.ok & (data.finished_s >= start_s) & (data.finished_s < end_s)
        length_s = end_s - start_s if end_s > start_s else np.nan
        return np.array([np.nansum(good[ended]) / length_s])

    def lacks(data: RunData) -> str | None:
        if any(paces(name) is not None for name in set(data.slo_class)):
            return None
        return "no pace: give slo.<class>.pace, or plain limits of ttft and tpot"

    return (
        Metric("fluidity", "Fluidity", "share", "higher", "request", fluid, lacks=lacks),
        Metric("qoe", "Reader's experience", "share", "higher", "request", experience, lacks=lacks),
        Metric("idle_latency", "Idle latency", "s", "lower", "request", idle, lacks=lacks),
        Metric("smooth_goodput", "Smooth goodput", "tokens/s", "higher", "run", smooth,
               lacks=lacks),
    )  # fmt: skip
