"""Bursty gaps with one number for the burstiness; BurstGPT (arXiv:2401.17644) models traffic so."""

from numpy.random import Generator

from benchsuite.arrivals.base import FloatArray
from benchsuite.spec import PerSecond, Positive, Spec


class Gamma(Spec, frozen=True, tag="gamma"):
    """Bursty arrivals: gaps drawn from a Gamma distribution.

    `burstiness` is the shape k: k = 1 is Poisson, k < 1 comes in clumps, k -> infinity is constant.
    The mean rate is `rate` for every k; the gaps' coefficient of variation is 1 / sqrt(k).
    """

    rate: PerSecond
    burstiness: Positive = 1.0

    def due_times(self, n: int, rng: Generator, recorded_s: FloatArray | None) -> FloatArray:
        return rng.gamma(self.burstiness, 1.0 / (self.rate * self.burstiness), n).cumsum()
