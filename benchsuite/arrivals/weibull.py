"""Gaps with a Weibull distribution, which ServeGen (arXiv:2505.09999) finds in some clients."""

import math
from typing import Annotated

from msgspec import Meta
from numpy.random import Generator

from benchsuite.arrivals.base import FloatArray
from benchsuite.spec import PerSecond, Spec


class Weibull(Spec, frozen=True, tag="weibull"):
    """Bursty arrivals: gaps drawn from a Weibull distribution, whose tail is longer than Gamma's.

    `shape` 1 is Poisson, below 1 comes in clumps, above 1 is more regular. The mean rate is `rate`
    for every shape.
    """

    rate: PerSecond
    shape: Annotated[float, Meta(ge=0.05)] = 1.0

    def due_times(self, n: int, rng: Generator, recorded_s: FloatArray | None) -> FloatArray:
        scale_s = 1.0 / (self.rate * math.gamma(1.0 + 1.0 / self.shape))
        return rng.weibull(self.shape, n).cumsum() * scale_s
