"""Student's t distribution: its tail and its quantile, for any positive number of degrees.

Forty lines over the incomplete beta function spare the base install scipy, which would be twice as
large as everything else together; tests hold them against scipy's.
"""

import math
from functools import lru_cache
from typing import Final

_TINY: Final = 1e-300
_CLOSE: Final = 1e-15
_STEPS: Final = 10_000


def upper_tail(t: float, degrees: float) -> float:
    """P(T >= t). 0 at infinity."""
    if math.isinf(t):
        return 0.0 if t > 0 else 1.0
    if abs(t) < 1:  # where degrees / (degrees + t * t) would round to 1
        tail = 0.5 - 0.5 * incomplete_beta(t * t / (degrees + t * t), 0.5, degrees / 2)
    else:
        tail = 0.5 * incomplete_beta(degrees / (degrees + t * t), degrees / 2, 0.5)
    return tail if t >= 0 else 1.0 - tail


@lru_cache(1024)  # a family, and every look at it, asks for few of them again and again
def quantile(p: float, degrees: float) -> float:
    """The t below which the share `p` lies, 0 < p < 1; by bisection, to rounding."""
    if p < 0.5:
        return -quantile(1 - p, degrees)
    low, high = 0.0, 1.0
    while upper_tail(high, degrees) > 1 - p:
        low, high = high, 2 * high
    while (middle := (low + high) / 2) not in (low, high):
        if upper_tail(middle, degrees) > 1 - p:
            low = middle
        else:
            high = middle
    return middle


def incomplete_beta(x: float, a: float, b: float) -> float:
    """The regularised I_x(a, b). Lentz's evaluation of its continued fraction (DLMF 8.17.22)."""
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    if x > (a + 1) / (a + b + 2):  # where the fraction of the complement closes faster
        return 1.0 - incomplete_beta(1 - x, b, a)
    log_front = (
        math.lgamma(a + b)
        - math.lgamma(a)
        - math.lgamma(b)
        + a * math.log(x)
        + b * math.log1p(-x)
        - math.log(a)
    )
    ratio, c, d = 1.0, 1.0, 0.0
    for step in range(_STEPS):
        m = step // 2
        if step == 0:
            term = 1.0
        elif step % 2 == 0:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        else:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1.0 / ((1.0 + term * d) or _TINY)
        c = (1.0 + term / c) or _TINY
        ratio *= c * d
        if abs(1.0 - c * d) < _CLOSE and step:
            return math.exp(log_front) * (ratio - 1.0)
    raise ArithmeticError(f"I_{x}({a}, {b}) does not close")
