"""Distributions of times: how long a tool takes, how long somebody thinks.

Every draw takes exactly one random number, so moving a bound leaves the draws after it alone.
"""

import math
from statistics import NormalDist
from typing import Final

from numpy.random import Generator

from benchsuite.spec import Seconds, Spec

_NORMAL: Final = NormalDist()
_P99_Z: Final = _NORMAL.inv_cdf(0.99)


class FixedTime(Spec, frozen=True, tag="fixed"):
    """Always `value`."""

    value: Seconds  # the time

    def draw(self, rng: Generator) -> float:
        rng.random()
        return self.value


class UniformTime(Spec, frozen=True, tag="uniform"):
    """Evenly from `low` to `high`."""

    low: Seconds  # shortest
    high: Seconds  # longest

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")

    def draw(self, rng: Generator) -> float:
        return self.low + rng.random() * (self.high - self.low)


class ExponentialTime(Spec, frozen=True, tag="exponential"):
    """Without memory: mostly short, sometimes long."""

    mean: Seconds  # on average

    def draw(self, rng: Generator) -> float:
        return -self.mean * math.log1p(-rng.random())


class LogNormalTime(Spec, frozen=True, tag="log_normal"):
    """Logarithms are normal: a median and a long tail, as times of real tools have (TraceLab: 4 %
    of the calls take over a minute, and 85 % of the time)."""

    median: Seconds  # half are shorter
    p99: Seconds  # 99 % are shorter
    max: Seconds | None = None  # longer ones are cut to it

    def __post_init__(self) -> None:
        if not self.median:
            raise ValueError("median must be longer than 0")
        if self.p99 < self.median:
            raise ValueError("p99 is below the median")

    def draw(self, rng: Generator) -> float:
        share = min(max(rng.random(), 1e-300), 1 - 1e-16)
        sigma = math.log(self.p99 / self.median) / _P99_Z
        drawn = self.median * math.exp(sigma * _NORMAL.inv_cdf(share))
        return drawn if self.max is None else min(drawn, self.max)


Durations = FixedTime | UniformTime | ExponentialTime | LogNormalTime
