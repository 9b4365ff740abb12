"""How far another machine's clock is from ours, from questions and answers. Pure.

A clock read between our two readings was read at one of the moments in between, whatever the
network did: the offset is known to half a round trip. The shortest round trip says most
(Mills, "Internet time synchronization: the network time protocol", 1991).
"""

from collections.abc import Iterable
from typing import NamedTuple


class Probe(NamedTuple):
    """One question: our clock before, theirs, our clock after."""

    asked_s: float
    there_s: float
    answered_s: float

    @property
    def round_trip_s(self) -> float:
        return self.answered_s - self.asked_s


class Offset(NamedTuple):
    """Their clock minus ours; the truth lies within `offset_s` -+ `uncertainty_s`."""

    offset_s: float
    uncertainty_s: float


def offset(probes: Iterable[Probe]) -> Offset:
    """From the probe with the shortest round trip."""
    best = min(probes, key=lambda probe: probe.round_trip_s)
    half_s = best.round_trip_s / 2
    return Offset(best.there_s - (best.asked_s + half_s), half_s)
