"""A rate that changes over time: piecewise linear, inverted exactly.

Events of a unit-rate process at u are moved to the time t where the cumulative rate
L(t) = integral of rate from 0 to t equals u (Cinlar, "Introduction to Stochastic Processes", 1975).
"""

from typing import Annotated, Literal

import numpy as np
from msgspec import Meta
from numpy.random import Generator

from benchsuite.arrivals.base import FloatArray
from benchsuite.spec import Seconds, Spec


class RatePoint(Spec, frozen=True):
    """`rate` per second at time `at`; between two points the rate is a straight line."""

    at: Seconds
    rate: Annotated[float, Meta(ge=0)]


class Ramp(Spec, frozen=True, tag="ramp"):
    """A rate that follows straight lines between `points`, and ends at the last one.

    The first point is at 0. Two points at one time are a step. `spacing` is `poisson`
    (independent users) or `even` (as regular as the rate allows, the first session at 0).
    """

    points: Annotated[tuple[RatePoint, ...], Meta(min_length=2)]
    spacing: Literal["poisson", "even"] = "poisson"

    def __post_init__(self) -> None:
        at = [point.at for point in self.points]
        if at[0] != 0:
            raise ValueError("the first point must be at 0")
        if sorted(at) != at:
            raise ValueError("points must be in order of time")
        if self._cumulative()[-1] <= 0:
            raise ValueError("the rate is zero all the time")

    def due_times(self, n: int, rng: Generator, recorded_s: FloatArray | None) -> FloatArray:
        """Shape [n], or fewer: only those due before the last point."""
        unit = rng.exponential(1.0, n).cumsum() if self.spacing == "poisson" else np.arange(n) * 1.0
        return self._inverse(unit[unit < self._cumulative()[-1]])

    def _cumulative(self) -> FloatArray:
        """Sessions expected until each point, shape [points]."""
        at = np.array([point.at for point in self.points])
        rate = np.array([point.rate for point in self.points])
        return np.concatenate(([0.0], np.cumsum(np.diff(at) * (rate[1:] + rate[:-1]) / 2)))

    def _inverse(self, unit: FloatArray) -> FloatArray:
        """The times at which the cumulative rate reaches `unit`, each below its last value.

        In a segment of length d from rate r to rate q, y sessions are due after a share f of it:
        r*f + (q - r)*f^2/2 = y/d, so f = 2*(y/d) / (r + sqrt(r^2 + 2*(q - r)*(y/d))).
        This form of the root does not cancel, and holds for q = r too.
        """
        at = np.array([point.at for point in self.points])
        rate = np.array([point.rate for point in self.points])
        cumulative = self._cumulative()
        segment = np.searchsorted(cumulative, unit, side="right") - 1
        length = at[segment + 1] - at[segment]  # > 0: the cumulative rate grows in this segment
        begin, end = rate[segment], rate[segment + 1]
        mean_rate = (unit - cumulative[segment]) / length
        root = np.sqrt(np.maximum(begin**2 + 2 * (end - begin) * mean_rate, 0.0))
        divisor = begin + root
        share = np.divide(2 * mean_rate, divisor, out=np.zeros_like(unit), where=divisor > 0)
        due_s: FloatArray = at[segment] + np.minimum(share, 1.0) * length
        return due_s
