"""A day: the rate goes up and down like a cosine, inverted to the last bit that matters."""

from typing import Final

import numpy as np
from numpy.random import Generator

from benchsuite.arrivals.base import FloatArray
from benchsuite.arrivals.intensity import unit_events
from benchsuite.spec import LongerThan0, PerSecond, Positive, Seconds, Share, Spec

DAY_S: Final = 86_400.0
_HALVINGS: Final = 60  # of an interval of two periods: far below a nanosecond


class Diurnal(Spec, frozen=True, tag="diurnal"):
    """A rate that goes up and down once a `period`: rate * (1 + amplitude * cos).

    `rate` is the mean over a period, `peak` when the rate is highest (unset: half a period after
    the start, so that a run begins at the lowest). `burstiness` as in `gamma`: 1 is independent
    users, below 1 comes in clumps.
    """

    rate: PerSecond
    amplitude: Share = 0.8
    period: LongerThan0 = DAY_S
    peak: Seconds | None = None
    burstiness: Positive = 1.0

    def due_times(self, n: int, rng: Generator, recorded_s: FloatArray | None) -> FloatArray:
        """By bisection of the cumulative rate, which never falls."""
        expected = unit_events(n, self.burstiness, rng) / self.rate
        swing_s = self.amplitude * self.period / np.pi  # the most that the cosine moves a session
        low, high = np.maximum(expected - swing_s, 0.0), expected + swing_s
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            is_early = self._mean_time(middle) < expected
            low, high = np.where(is_early, middle, low), np.where(is_early, high, middle)
        return np.maximum.accumulate(high)

    def _mean_time(self, at_s: FloatArray) -> FloatArray:
        """The time after which a constant rate would have brought as many sessions."""
        peak_s = self.period / 2 if self.peak is None else self.peak
        turns = 2 * np.pi / self.period
        wave = np.sin(turns * (at_s - peak_s)) - np.sin(-turns * peak_s)
        found: FloatArray = at_s + self.amplitude / turns * wave
        return found
