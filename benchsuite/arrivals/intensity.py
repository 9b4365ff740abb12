"""Time change: events of a process with one event per unit of time are moved to where a cumulative
rate reaches them (Cinlar, "Introduction to Stochastic Processes", 1975).
"""

import numpy as np
from numpy.random import Generator

from benchsuite.arrivals.base import FloatArray


def unit_events(n: int, burstiness: float, rng: Generator) -> FloatArray:
    """Times of n events, one per unit of time on average, shape [n].

    Gaps are Gamma with shape `burstiness`: 1 is Poisson, below 1 comes in clumps.
    """
    return rng.gamma(burstiness, 1.0 / burstiness, n).cumsum()


def through_steps(unit: FloatArray, edges_s: FloatArray, rates: FloatArray) -> FloatArray:
    """When the cumulative rate reaches each of `unit`; those it never reaches are left out.

    `rates[i]` holds from `edges_s[i]` to `edges_s[i + 1]`: shapes [steps], [steps + 1].
    """
    cumulative = np.concatenate(([0.0], np.cumsum(rates * np.diff(edges_s))))
    due_s: FloatArray = np.interp(unit[unit < cumulative[-1]], cumulative, edges_s)
    return due_s
