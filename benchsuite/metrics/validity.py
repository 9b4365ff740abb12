"""Whether a run may be believed: checks of the instrument and the load, each one sentence."""

from msgspec import Struct


class Check(Struct, frozen=True, kw_only=True):
    """One question put to a run. A failed hard check makes it invalid, a soft one warns."""

    name: str
    ok: bool
    hard: bool
    value: float | None  # None: there was nothing to measure
    limit: float | None
    unit: str
    sentence: str  # with the number and the limit, for people
