"""Service-level objectives: limits per class, and the share of requests that met them."""

from msgspec import Struct

from benchsuite.metrics.base import Interval


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
    good_rate: float | None  # met / length of the window, requests/s
    slos: dict[str, Target] = {}
