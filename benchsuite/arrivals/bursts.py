"""Many at once, now and then, above a steady stream: a batch job, a push message, a cron table."""

from typing import Annotated

import numpy as np
from msgspec import Meta
from numpy.random import Generator

from benchsuite.arrivals.base import FloatArray
from benchsuite.spec import Count, LongerThan0, Seconds, Spec


class Bursts(Spec, frozen=True, tag="bursts"):
    """`size` sessions together every `every` seconds, above independent users at `rate`.

    The first burst comes after `every` seconds. Its sessions are due at once, or at times drawn
    evenly from the `within` seconds that follow.
    """

    size: Count
    every: LongerThan0
    within: Seconds = 0.0
    rate: Annotated[float, Meta(ge=0)] = 0.0

    def __post_init__(self) -> None:
        if self.within > self.every:
            raise ValueError("within: a burst must end before the next one begins")

    def due_times(self, n: int, rng: Generator, recorded_s: FloatArray | None) -> FloatArray:
        users, together = rng.spawn(2)
        num_bursts = -(-n // self.size)
        spread_s = np.sort(together.random((num_bursts, self.size)), axis=1) * self.within
        burst_s = ((1 + np.arange(num_bursts))[:, None] * self.every + spread_s).ravel()
        if not self.rate:
            return burst_s[:n]
        steady_s = users.exponential(1.0 / self.rate, n).cumsum()
        return np.sort(np.concatenate((burst_s, steady_s)))[:n]
