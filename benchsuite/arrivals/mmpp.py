"""Markov-modulated Poisson process: calm and busy times take turns at random (Fischer and
Meier-Hellstern, "The Markov-modulated Poisson process (MMPP) cookbook", 1993).
"""

from typing import Annotated, Final

import numpy as np
from msgspec import Meta
from numpy.random import Generator

from benchsuite.arrivals.base import FloatArray
from benchsuite.arrivals.intensity import through_steps, unit_events
from benchsuite.spec import LongerThan0, PerSecond, Spec

_VISITS: Final = 64  # drawn at a time


class MmppState(Spec, frozen=True):
    """Independent users at `rate` for a time whose mean is `stay`."""

    rate: Annotated[float, Meta(ge=0)]
    stay: LongerThan0


class Mmpp(Spec, frozen=True, tag="mmpp"):
    """Calm and busy times that take turns at random: Poisson at the rate of the present state.

    A state is left after an exponential time with mean `stay`, for any other with equal chance. The
    first is drawn by the share of time that each state takes. With `rate`, the states' rates are
    scaled so that this is their mean over time.
    """

    states: Annotated[tuple[MmppState, ...], Meta(min_length=2)]
    rate: PerSecond | None = None

    def __post_init__(self) -> None:
        if not any(state.rate for state in self.states):
            raise ValueError("states: the rate is zero all the time")

    def due_times(self, n: int, rng: Generator, recorded_s: FloatArray | None) -> FloatArray:
        moves, users = rng.spawn(2)
        unit = unit_events(n, 1.0, users)
        edges_s, rates = self._path(moves, float(unit[-1]) if n else 0.0)
        return through_steps(unit, edges_s, rates)

    def _path(self, moves: Generator, until: float) -> tuple[FloatArray, FloatArray]:
        """States visited until more than `until` sessions are expected: edges, rates."""
        stays_s = np.array([state.stay for state in self.states])
        rates = np.array([state.rate for state in self.states])
        mean_rate = float(rates @ stays_s / stays_s.sum())  # every state is visited equally often
        if self.rate is not None:
            rates = rates * (self.rate / mean_rate)
        num = len(self.states)
        first = int(moves.choice(num, p=stays_s / stays_s.sum()))
        visited, lasted_s = np.empty(0, dtype=np.int64), np.empty(0)
        while not (rates[visited] * lasted_s).sum() > until:
            steps = moves.integers(1, num, _VISITS)  # to another state
            if not len(visited):
                steps[0] = first
            came_from = int(visited[-1]) if len(visited) else 0
            new = (came_from + np.cumsum(steps)) % num
            visited = np.concatenate((visited, new))
            lasted_s = np.concatenate((lasted_s, moves.exponential(stays_s[new])))
        return np.concatenate(([0.0], np.cumsum(lasted_s))), rates[visited]
