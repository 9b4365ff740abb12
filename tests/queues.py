"""Single-server queues with known waiting times, simulated: M/M/1 and M/D/1, service of mean 1 s.

The analytic side: Kleinrock, "Queueing Systems" vol. 1 (M/M/1); Erlang 1909 as given by Tijms,
"A First Course in Stochastic Models", 9.6 (M/D/1 waiting time).
"""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from benchsuite.records.table import FloatArray


class Run(NamedTuple):
    arrived_s: FloatArray  # [n]
    left_s: FloatArray  # [n]


def simulate(rate: float, n: int, rng: Generator, *, is_constant: bool) -> Run:
    """n customers of a queue that begins empty; all service times are 1 s, or exponential."""
    arrived_s = rng.exponential(1 / rate, n).cumsum()
    service_s = np.ones(n) if is_constant else rng.exponential(1.0, n)
    done_s = service_s.cumsum()
    return Run(arrived_s, done_s + np.maximum.accumulate(arrived_s - done_s + service_s))


def within_mm1(rate: float, limit_s: float) -> float:
    """Share of customers who are out within `limit_s`: 1 - exp(-(1 - rate) * limit)."""
    return 1 - math.exp(-(1 - rate) * limit_s)


def within_md1(rate: float, limit_s: float) -> float:
    """(1 - rate) * sum over k <= t of (rate (k - t))^k / k! * exp(-rate (k - t)), t = limit - 1.

    The terms alternate and are far larger than their sum, so they are summed exactly.
    """
    wait, lam = Fraction(limit_s) - 1, Fraction(rate)
    total = Fraction(0)
    for k in range(math.floor(wait) + 1):
        x = lam * (k - wait)
        total += x**k / math.factorial(k) * Fraction(math.exp(-float(x)))
    return float((1 - lam) * total)


def highest_rate(within: Callable[[float, float], float], limit_s: float, target: float) -> float:
    """The rate at which `target` of the customers are out within `limit_s`."""
    low, high = 1e-3, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle, limit_s) >= target else (low, middle)
    return low
