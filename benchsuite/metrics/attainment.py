"""Attainment: the share of the requests that met every SLO; who counts, and what is a miss.

Three words are kept apart. Attainment: share of requests that met every SLO. Good rate: such
requests per second at one load. Goodput: the highest rate whose attainment is at least x.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import numpy as np
from msgspec import Struct

from benchsuite.metrics import latency, smoothness
from benchsuite.metrics.base import Interval
from benchsuite.metrics.early_stopping import requests_needed
from benchsuite.metrics.objectives import SHARES, At, Line, Objective, Pace, limits
from benchsuite.metrics.slo import Slo, Slos, slo_of
from benchsuite.metrics.statistics import wilson
from benchsuite.records.table import BoolArray, FloatArray, IntArray, RunData

DEFAULT_TARGET: Final = 0.9  # of DistServe and most who followed it

_OBSERVED: Final[dict[str, Callable[[RunData], FloatArray]]] = {
    "ttft": latency.ttft,
    "ttfo": latency.ttfo,
    "tpot": latency.tpot,
    "itl_p99": latency.itl_p99,
    "e2e_latency": latency.e2e_latency,
    "normalised_latency": latency.normalised_latency,
}
_CANNOT_MISS: Final = frozenset({"tpot", "itl_p99"})  # undefined is met, if the request ended well


class Target(Struct, frozen=True, kw_only=True):
    """One SLO of a class, looked at alone."""

    limit: float | None  # None: it depends on the request, as `rule` says
    rule: str = ""  # in words, where it is not that each value be at most `limit` seconds
    at: At = "request"
    num: int = 0  # requests that count; of `itl` their tokens
    met: int
    share: float | None  # met / num; None if none counted
    interval: Interval | None  # Wilson, 95 %; of `itl` none, as tokens are not independent
    mean: float | None = None  # where the mean is what is limited
    is_met: bool | None = None  # whether the statistic keeps its limit; None: none is stated
    needed: int | None = None  # requests with as many misses that MLPerf's early stopping takes

    @property
    def is_shown(self) -> bool | None:
        """Whether the wanted share is shown with 99 % confidence (MLPerf's early stopping); None
        where no share is wanted, or none of single requests."""
        return None if self.needed is None else self.num >= self.needed

    @property
    def in_words(self) -> str:
        return self.rule or f"≤ {Line(base=self.limit or 0.0)}"


class Attainment(Struct, frozen=True, kw_only=True):
    """One class of requests: how many met every SLO. Failures are misses."""

    num: int  # sent, or due and never sent, in the measurement window
    met: int  # of these, met every SLO
    share: float | None  # met / num; None if num is 0
    interval: Interval | None  # Wilson, 95 %
    good_rate: float | None  # that met every SLO and ended in the window / its length, requests/s
    slos: dict[str, Target] = {}
    target: float | None = None  # least share wanted, where one is stated
    is_joint: bool = True  # the target is of all limits at once, or of each
    is_met: bool | None = None  # whether the class keeps what it states; None: it states no target
    scale: float | None = None  # smallest factor on all limits at which the target (or 90 %) is met
    preset: str | None = None


class _Judged(NamedTuple):
    """Who counts and who met what, over the requests of a run."""

    classes: dict[str, BoolArray]  # class -> which requests of it count in attainment, [n]
    met: dict[str, dict[str, BoolArray]]  # class -> SLO -> which of its requests met it, [n]
    num_unrecorded: int  # sessions due in the window of which no record exists


def attainment(data: RunData, slos: Slos) -> dict[str, Attainment]:
    """Per class of the requests that count: those sent, or due and never sent, in the window.

    A turn that was never sent because an earlier one failed counts where that one counts. Sessions
    that were due but left no record (the run was cut off) count as misses of the only class, where
    there is only one; with several, nobody knows whose they were, and only the total has them.
    """
    judged = judge(data, slos)
    num_lost = judged.num_unrecorded if len(judged.classes) == 1 else 0
    return {name: _attained(data, slos, judged, name, num_lost) for name in judged.classes}


def _attained(data: RunData, slos: Slos, judged: _Judged, name: str, num_lost: int) -> Attainment:
    counted, met, slo = judged.classes[name], judged.met[name], slo_of(slos, name)
    num = int(np.count_nonzero(counted)) + num_lost
    every = num_good(met, counted)
    rate = num_good(met, ended_inside(data)) / length_s(data)
    targets = {
        key: _target(objective, data, met.get(key), counted, num, slo)
        for key, objective in slo.objectives.items()
    }
    share = every / num if num else None
    is_together = slo.is_joint and all(each.at == "request" for each in targets.values())
    return Attainment(
        num=num,
        met=every,
        share=share,
        interval=wilson(every, num),
        good_rate=None if np.isnan(rate) else rate,
        slos=targets,
        target=slo.wanted,
        is_joint=is_together,
        is_met=_at_least(share, slo.wanted) if is_together else _all(targets),
        scale=finite(smallest(scales(data, slo, counted, num_lost), slo.wanted or DEFAULT_TARGET)),
        preset=slo.preset,
    )


def met_each(data: RunData, slos: Slos) -> BoolArray:
    """Of every request that counts, in order of origin: whether it met every SLO of its class.
    Sessions that were due and left no record stand at the end, as misses."""
    judged = judge(data, slos)
    counted, good = np.zeros((2, len(data)), dtype=np.bool_)
    for name, of_class in judged.classes.items():
        counted |= of_class
        good |= np.logical_and.reduce([of_class, *judged.met[name].values()])
    return np.concatenate((good[counted], np.zeros(judged.num_unrecorded, dtype=np.bool_)))


def _at_least(share: float | None, wanted: float | None) -> bool | None:
    return None if share is None or wanted is None else share >= wanted


def _all(targets: Mapping[str, Target]) -> bool | None:
    known = [each.is_met for each in targets.values()]
    return None if None in known else all(known)


def scales(data: RunData, slo: Slo, counted: BoolArray, num_lost: int) -> FloatArray:
    """For each request that counts the factor on its limits at which it would just meet them all;
    infinite for those that failed, [num]. Shares (`fluidity`, `qoe`) do not scale."""
    ratio = np.zeros(len(data))
    for objective in slo.objectives.values():
        if objective.metric in _OBSERVED and objective.at != "mean":
            values, limit_s = observed(objective.metric, data, None), limits(objective.limit, data)
            undefined = 0.0 if objective.metric in _CANNOT_MISS else np.inf
            values = np.where(np.isnan(values), undefined, values)
            one = np.divide(values, limit_s, out=np.full(len(data), np.inf), where=limit_s > 0)
            ratio = np.maximum(ratio, one)
    ratio[~data.ok] = np.inf
    return np.concatenate((ratio[counted], np.full(num_lost, np.inf)))


def smallest(ratios: FloatArray, wanted: float) -> float:
    """The smallest factor at which a share of `wanted` would meet their limits."""
    if not len(ratios):
        return math.inf
    return float(np.sort(ratios)[max(0, math.ceil(wanted * len(ratios) - 1e-9) - 1)])


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def length_s(data: RunData) -> float:
    start_s, end_s = data.window_s
    return end_s - start_s if end_s > start_s else np.nan


def ended_inside(data: RunData) -> BoolArray:
    start_s, end_s = data.window_s
    return (data.finished_s >= start_s) & (data.finished_s < end_s)


def judge(data: RunData, slos: Slos) -> _Judged:
    counts = data.once(counted_requests)
    of_class = np.array(data.slo_class, dtype=str)
    names = sorted(name for name in set(data.slo_class) if slo_of(slos, name).objectives)
    classes = {name: counts & (of_class == name) for name in names}
    met = {
        name: {
            key: data.ok & (of_class == name) & _within(objective, data, slo_of(slos, name))
            for key, objective in slo_of(slos, name).objectives.items()
            if objective.metric != "itl" and objective.at != "mean"
        }
        or {"ended well": data.ok & (of_class == name)}
        for name in names
    }
    return _Judged(classes, met, data.once(num_unrecorded) if classes else 0)


def observed(metric: str, data: RunData, pace: Pace | None) -> FloatArray:
    """What the requests did, [n]."""
    if metric in _OBSERVED:
        return data.once(_OBSERVED[metric])
    assert pace is not None, "Slo refuses limits over a pace without one"
    return smoothness.against(metric, data, pace)


def _within(objective: Objective, data: RunData, slo: Slo) -> BoolArray:
    values = observed(objective.metric, data, slo.reader)
    met = objective.met(values, limits(objective.limit, data))
    return met | np.isnan(values) if objective.metric in _CANNOT_MISS else met


def num_good(met: Mapping[str, BoolArray], chosen: BoolArray) -> int:
    """How many of the chosen requests met every SLO."""
    return int(np.count_nonzero(np.logical_and.reduce([chosen, *met.values()])))


def _target(
    objective: Objective,
    data: RunData,
    met: BoolArray | None,
    counted: BoolArray,
    num: int,
    slo: Slo,
) -> Target:
    """`met` is None where single requests are not judged: tokens, and means."""
    if objective.metric == "itl":
        return _token_target(objective, data, counted)
    is_mean = objective.at == "mean"
    if met is None:
        met = data.ok & _within(objective, data, slo)
    num_met = int(np.count_nonzero(met & counted))
    share = num_met / num if num else None
    mean = _mean(observed(objective.metric, data, slo.reader)[counted & data.ok])
    wanted = SHARES.get(objective.at, slo.wanted)
    limit = objective.limit
    return Target(
        limit=None if isinstance(limit, Line) else limit,
        rule=objective.rule,
        at=objective.at,
        num=num,
        met=num_met,
        share=share,
        interval=wilson(num_met, num),
        mean=mean if is_mean else None,
        is_met=_keeps(objective, mean) if is_mean else _at_least(share, wanted),
        needed=None if is_mean else _needed(num - num_met, num, wanted),
    )


def _needed(missed: int, num: int, wanted: float | None) -> int | None:
    """No number of requests shows that all of them keep a limit."""
    if wanted is None or not num or wanted >= 1:
        return None
    return requests_needed(missed, wanted)


def _mean(values: FloatArray) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _keeps(objective: Objective, mean: float | None) -> bool | None:
    """Whether a mean keeps a limit that is the same for all; None where there is no such thing."""
    if mean is None or isinstance(objective.limit, Line):
        return None
    return bool(objective.met(np.array([mean]), np.array([objective.limit]))[0])


def _token_target(objective: Objective, data: RunData, counted: BoolArray) -> Target:
    """Over the token gaps of requests that count and ended well."""
    assert not isinstance(objective.limit, Line), "itl is a plain duration"
    limit = np.array(objective.limit)
    met = num = first = 0
    for piece in data.pieces():
        its = piece.ok & counted[first : first + len(piece)]
        first += len(piece)
        gap_s = latency.itl(piece)
        gap_s = gap_s[piece.per_token(its) & ~np.isnan(gap_s)]
        met += int(np.count_nonzero(objective.met(gap_s, limit)))
        num += len(gap_s)
    share = met / num if num else None
    return Target(
        limit=objective.limit,
        rule=objective.rule,
        at=objective.at,
        num=num,
        met=met,
        share=share,
        interval=None,
        is_met=_at_least(share, SHARES[objective.at]),
    )


def counted_requests(data: RunData) -> BoolArray:
    """Requests in the denominator of attainment, [n]: in the window by their origin, or, where they
    have none since an earlier turn of their session failed, by the last origin of that session; or
    else, as where a closed loop got no connection, by when they failed."""
    start_s, end_s = data.window_s
    origin_s = data.origin_s
    for known_s in (data.origin_s, data.finished_s):
        origin_s = np.where(np.isnan(origin_s), _last_of_session(data, known_s), origin_s)
    return (origin_s >= start_s) & (origin_s < end_s)


def _last_of_session(data: RunData, at_s: FloatArray) -> FloatArray:
    """The last known time of each request's session, [n]; NaN where none is."""
    _, session = np.unique(data.session_id, return_inverse=True)
    last_s = np.full(len(data), np.nan)
    np.fmax.at(last_s, session, at_s)  # fmax passes over NaN
    found: FloatArray = last_s[session]
    return found


def num_unrecorded(data: RunData) -> int:
    """Sessions that the schedule had due in the window of which there is no record."""
    start_s, end_s = data.window_s
    asked = (data.planned_due_s >= start_s) & (data.planned_due_s < end_s)
    first: IntArray = data.turn == 0
    recorded = first & (data.due_s >= start_s) & (data.due_s < end_s)
    return max(0, int(np.count_nonzero(asked)) - int(np.count_nonzero(recorded)))
