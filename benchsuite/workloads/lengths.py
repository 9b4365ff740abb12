"""Distributions of token counts: whole numbers of at least one, drawn one at a time.

Every draw takes exactly one random number, so moving a bound leaves the draws after it alone.
"""

import math
from bisect import bisect_right
from itertools import accumulate
from statistics import NormalDist
from typing import Annotated, Final, Protocol

from msgspec import Meta
from numpy.random import Generator

from benchsuite.spec import Count, Positive, Spec

_NORMAL: Final = NormalDist()
_TINY: Final = 1e-12  # the normal distribution has no quantile at 0, nor at 1
_P99_Z: Final = _NORMAL.inv_cdf(0.99)


class LengthDistribution(Protocol):
    def at(self, share: float) -> int:
        """The length below which `share` of all lie, in tokens, at least 1; 0 <= share < 1."""
        ...

    def draw(self, rng: Generator) -> int:
        """One length; takes one random number from `rng`."""
        ...


class _Drawn(Spec, frozen=True):
    def draw(self: LengthDistribution, rng: Generator) -> int:
        return self.at(rng.random())


def tied(rank_correlation: float, one: Generator, other: Generator) -> tuple[float, float]:
    """Two shares, each even between 0 and 1, tied by a Gaussian copula.

    Spearman's rho of the pair is `rank_correlation`: that of two normal numbers with correlation r
    is 6 / pi * asin(r / 2). Takes one random number from each generator.
    """
    first, second = one.random(), other.random()
    if not rank_correlation:
        return first, second
    r = 2 * math.sin(math.pi * rank_correlation / 6)
    own = _NORMAL.inv_cdf(min(max(second, _TINY), 1 - _TINY))
    tied = r * _NORMAL.inv_cdf(min(max(first, _TINY), 1 - _TINY)) + math.sqrt(1 - r * r) * own
    return first, min(_NORMAL.cdf(tied), 1 - _TINY)


class Fixed(_Drawn, frozen=True, tag="fixed"):
    """Always `value`."""

    value: Count

    def at(self, share: float) -> int:
        return self.value


class Uniform(_Drawn, frozen=True, tag="uniform"):
    """Every whole number from `low` to `high`, both included, equally often."""

    low: Count
    high: Count

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")

    def at(self, share: float) -> int:
        return self.low + int(share * (self.high - self.low + 1))


class LogNormal(_Drawn, frozen=True, tag="log_normal"):
    """Logarithms are normal: a median and a tail, given by `p99` or by `sigma` (one of them).

    sigma = ln(p99 / median) / z(0.99). Draws below `min` or above `max` do not occur: the
    distribution is truncated, not clipped, so no mass piles up at a bound; median and p99 are those
    before truncation.
    """

    median: Positive
    p99: Positive | None = None
    sigma: Positive | None = None
    min: Count = 1
    max: Count | None = None

    def __post_init__(self) -> None:
        if (self.p99 is None) == (self.sigma is None):
            raise ValueError("give p99 or sigma, one of them")
        if self.p99 is not None and self.p99 <= self.median:
            raise ValueError("p99 must be above the median")
        if self.max is not None and self.max < self.min:
            raise ValueError("max is below min")
        low, high = self._bounds()
        if not low < high:
            raise ValueError("nothing of the distribution lies between min and max")

    def at(self, share: float) -> int:
        low, high = self._bounds()
        share = min(max(low + share * (high - low), 1e-300), 1 - 1e-16)
        length = round(self.median * math.exp(self._sigma() * _NORMAL.inv_cdf(share)))
        return max(self.min, length if self.max is None else min(length, self.max))

    def _sigma(self) -> float:
        if self.sigma is not None:
            return self.sigma
        assert self.p99 is not None
        return math.log(self.p99 / self.median) / _P99_Z

    def _bounds(self) -> tuple[float, float]:
        """Cumulative probabilities between which a draw, rounded, is from `min` to `max`."""
        low = self._below(self.min - 0.5)
        return low, 1.0 if self.max is None else self._below(self.max + 0.5)

    def _below(self, length: float) -> float:
        return _NORMAL.cdf(math.log(length / self.median) / self._sigma())


class Empirical(_Drawn, frozen=True, tag="empirical"):
    """The `values` themselves, equally often or in proportion to `weights`."""

    values: Annotated[tuple[Count, ...], Meta(min_length=1)]
    weights: tuple[Positive, ...] | None = None

    def __post_init__(self) -> None:
        if self.weights is not None and len(self.weights) != len(self.values):
            raise ValueError(f"{len(self.values)} values but {len(self.weights)} weights")

    def at(self, share: float) -> int:
        if self.weights is None:
            return self.values[int(share * len(self.values))]
        steps = list(accumulate(self.weights))
        return self.values[min(bisect_right(steps, share * steps[-1]), len(steps) - 1)]


Lengths = Fixed | Uniform | LogNormal | Empirical
