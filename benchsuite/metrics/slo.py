"""Service-level objectives: limits per class, and the share of requests that met them.

Three words are kept apart. Attainment: share of requests that met every SLO. Good rate: such
requests per second at one load. Goodput: the highest rate whose attainment is at least x.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from msgspec import Struct, structs

from benchsuite.metrics import latency
from benchsuite.metrics.base import Interval, Metric
from benchsuite.metrics.statistics import wilson
from benchsuite.records.table import BoolArray, FloatArray, IntArray, RunData
from benchsuite.spec import Seconds, Spec

DEFAULT_CLASS: Final = "default"


class Slo(Spec, frozen=True):
    """Limits for one class of requests; each is met by a value at or below it. Unset: no limit.

    A request that did not end well misses every limit. `tpot` and `itl_p99` do not exist for an
    answer of one token (or one arrival), so it cannot miss them; an answer without any token, or
    without a visible one, misses the others that it leaves undefined.
    """

    ttft: Seconds | None = None
    ttfo: Seconds | None = None
    tpot: Seconds | None = None
    itl_p99: Seconds | None = None  # 99th percentile of the request's own token gaps
    e2e_latency: Seconds | None = None
    normalised_latency: Seconds | None = None

    @property
    def limits(self) -> dict[str, float]:
        """The limits that are set, by name."""
        return {name: limit for name, limit in structs.asdict(self).items() if limit is not None}


Slos = Mapping[str, Slo]
"""SLO class -> limits. A class that is not named has those of `default`, if that is named."""

_OBSERVED: Final = {
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

    limit: float  # met when the value is <= limit
    met: int
    share: float | None  # met / num of the class; None if no request counted
    interval: Interval | None  # Wilson, 95 %


class Attainment(Struct, frozen=True, kw_only=True):
    """One class of requests: how many met every SLO. Failures are misses."""

    num: int  # sent, or due and never sent, in the measurement window
    met: int  # of these, met every SLO
    share: float | None  # met / num; None if num is 0
    interval: Interval | None  # Wilson, 95 %
    good_rate: float | None  # that met every SLO and ended in the window / its length, requests/s
    slos: dict[str, Target] = {}


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
    judged = _judge(data, slos)
    is_single = len(judged.classes) == 1
    found = {}
    for name, counted in judged.classes.items():
        num = int(np.count_nonzero(counted)) + (judged.num_unrecorded if is_single else 0)
        every = _num_good(judged.met[name], counted)
        rate = _num_good(judged.met[name], _ended_inside(data)) / _length_s(data)
        found[name] = Attainment(
            num=num,
            met=every,
            share=every / num if num else None,
            interval=wilson(every, num),
            good_rate=None if np.isnan(rate) else rate,
            slos={
                slo: _target(limit, judged.met[name][slo] & counted, num)
                for slo, limit in _limits(slos, name).items()
            },
        )
    return found


def slo_metrics(slos: Slos) -> tuple[Metric, ...]:
    """The metrics that exist only where limits are set, bound to them; over all classes."""

    def attained(data: RunData) -> FloatArray:
        """Share of requests that met every SLO of their class. The denominator is all requests
        sent in the measurement window, or due in it and never sent: failures, timeouts and
        cancelled requests are misses. Interval: Wilson's."""
        met, num = _total(data, slos)
        return np.array([met / num if num else np.nan])

    def attained_interval(data: RunData) -> Interval | None:
        return wilson(*_total(data, slos))

    def good_rate(data: RunData) -> FloatArray:
        """Requests that met every SLO of their class and ended inside the measurement window /
        length of the window, at this one load: that part of `request_rate`. Others call this
        goodput; here goodput is the highest rate whose attainment is at least x. Interval:
        Wilson's, with the number of requests that ended in the window held fixed."""
        good, _ = _total_ended(data, slos)
        return np.array([good / _length_s(data)])

    def good_rate_interval(data: RunData) -> Interval | None:
        good, ended = _total_ended(data, slos)
        interval, length_s = wilson(good, ended), _length_s(data)
        return interval and (interval[0] * ended / length_s, interval[1] * ended / length_s)

    return (
        Metric(
            "attainment", "SLO attainment", "share", "higher", "run", attained,
            interval=attained_interval,
        ),
        Metric(
            "good_rate", "Good rate", "requests/s", "higher", "run", good_rate,
            interval=good_rate_interval,
        ),
    )  # fmt: skip


def _length_s(data: RunData) -> float:
    start_s, end_s = data.window_s
    return end_s - start_s if end_s > start_s else np.nan


def _total(data: RunData, slos: Slos) -> tuple[int, int]:
    """(met, num) over all classes that have limits."""
    judged = _judge(data, slos)
    met = sum(_num_good(judged.met[name], counted) for name, counted in judged.classes.items())
    num = sum(int(np.count_nonzero(counted)) for counted in judged.classes.values())
    return met, num + judged.num_unrecorded


def _total_ended(data: RunData, slos: Slos) -> tuple[int, int]:
    """(good, all) requests of classes with limits that ended in the window, well or not."""
    judged, ended = _judge(data, slos), _ended_inside(data)
    good = sum(_num_good(met, ended) for met in judged.met.values())
    has_limits = np.isin(np.array(data.slo_class, dtype=str), list(judged.classes))
    return good, int(np.count_nonzero(ended & has_limits))


def _ended_inside(data: RunData) -> BoolArray:
    start_s, end_s = data.window_s
    return (data.finished_s >= start_s) & (data.finished_s < end_s)


def _limits(slos: Slos, name: str) -> dict[str, float]:
    slo = slos.get(name, slos.get(DEFAULT_CLASS))
    return {} if slo is None else slo.limits


def _judge(data: RunData, slos: Slos) -> _Judged:
    counts = counted_requests(data)
    of_class = np.array(data.slo_class)
    names = sorted(name for name in set(data.slo_class) if _limits(slos, name))
    classes = {name: counts & (of_class == name) for name in names}
    wanted = {slo for name in names for slo in _limits(slos, name)}
    observed = {slo: _OBSERVED[slo](data) for slo in wanted}
    met = {
        name: {
            slo: data.ok & (of_class == name) & _within(observed[slo], limit, slo)
            for slo, limit in _limits(slos, name).items()
        }
        for name in names
    }
    return _Judged(classes, met, num_unrecorded(data) if classes else 0)


def _within(values: FloatArray, limit: float, slo: str) -> BoolArray:
    met: BoolArray = values <= limit
    return met | np.isnan(values) if slo in _CANNOT_MISS else met


def _num_good(met: Mapping[str, BoolArray], chosen: BoolArray) -> int:
    """How many of the chosen requests met every SLO."""
    return int(np.count_nonzero(np.logical_and.reduce([chosen, *met.values()])))


def _target(limit: float, met: BoolArray, num: int) -> Target:
    num_met = int(np.count_nonzero(met))
    share = num_met / num if num else None
    return Target(limit=limit, met=num_met, share=share, interval=wilson(num_met, num))


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
