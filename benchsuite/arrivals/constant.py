"""Equal gaps."""

import numpy as np
from numpy.random import Generator

from benchsuite.arrivals.base import FloatArray
from benchsuite.spec import PerSecond, Spec


class Constant(Spec, frozen=True, tag="constant"):
    """Equal gaps of 1 / `rate` seconds; the first session is due at 0."""

    rate: PerSecond

    def due_times(self, n: int, rng: Generator, recorded_s: FloatArray | None) -> FloatArray:
        return np.arange(n) / self.rate
