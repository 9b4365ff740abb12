"""Exponential gaps: many independent users."""

from numpy.random import Generator

from benchsuite.arrivals.base import FloatArray
from benchsuite.spec import PerSecond, Spec


class Poisson(Spec, frozen=True, tag="poisson"):
    """Independent users: exponential gaps with mean 1 / `rate`."""

    rate: PerSecond

    def due_times(self, n: int, rng: Generator, recorded_s: FloatArray | None) -> FloatArray:
        return rng.exponential(1.0 / self.rate, n).cumsum()
