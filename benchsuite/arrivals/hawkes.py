"""Arrivals that cause arrivals: a Hawkes process with exponential memory, one class or several.

lambda_k(t) = mu_k + sum over earlier arrivals (s, j) of n_kj * beta * exp(-beta * (t - s)), with
beta = 1 / memory. Simulated exactly, without thinning (Dassios and Zhao, "Exact simulation of
Hawkes process with exponentially decaying intensity", 2013): the next arrival is the earlier one of
what nothing caused and of what earlier arrivals caused.
"""

import math
from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Final

import numpy as np
from msgspec import Meta
from numpy.random import Generator

from benchsuite.arrivals.base import FloatArray
from benchsuite.spec import LongerThan0, PerSecond, Positive, Spec

_DRAWN: Final = 1024  # arrivals whose random numbers are drawn at a time

Expected = Annotated[float, Meta(ge=0)]


class HawkesClass(Spec, frozen=True):
    """`weight`: of its arrivals that nothing caused, beside other classes'. `after[name]`: how many
    more of this class one arrival of class `name` causes on average."""

    weight: Positive = 1.0
    after: dict[str, Expected] = {}


class Hawkes(Spec, frozen=True, tag="hawkes"):
    """Arrivals that cause arrivals (agents, retries, scripts): bursts that feed on themselves.

    The mean rate is `rate`. Each arrival causes `branching` more on average, after exponential
    times with mean `memory`. Or with `classes`, parts of a `mix` workload by name: which class
    comes next depends on which came before, and when. The process begins at its mean rate.
    """

    rate: PerSecond
    memory: LongerThan0
    branching: Annotated[float, Meta(ge=0, lt=1)] | None = None
    classes: dict[str, HawkesClass] = {}

    def __post_init__(self) -> None:
        if (self.branching is None) != bool(self.classes):
            raise ValueError("give branching, or classes with their `after`: one of them")
        for name, one in self.classes.items():
            if unknown := sorted(one.after.keys() - self.classes.keys()):
                known = ", ".join(self.classes)
                raise ValueError(f"classes.{name}.after: {unknown[0]!r} is no class ({known})")
        radius = float(np.abs(np.linalg.eigvals(self.offspring())).max())
        if radius >= 1:
            raise ValueError(
                f"classes: arrivals cause {radius:.3g} times as many, so there is no end of them; "
                "lower `after` until that is below 1"
            )

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.classes)

    def offspring(self) -> FloatArray:
        """Of class k that one arrival of class j causes, shape [k, j]."""
        if self.branching is not None:
            return np.array([[self.branching]])
        names = self.class_names
        return np.array(
            [[one.after.get(name, 0.0) for name in names] for one in self.classes.values()]
        )

    def base_rates(self) -> FloatArray:
        """Arrivals per second that nothing caused, shape [classes]; `rate` with what they cause."""
        weights = np.array([one.weight for one in self.classes.values()] or [1.0])
        means = np.linalg.solve(np.eye(len(weights)) - self.offspring(), weights)
        base: FloatArray = weights * (self.rate / means.sum())
        return base

    def due_times(self, n: int, rng: Generator, recorded_s: FloatArray | None) -> FloatArray:
        return np.fromiter((at_s for at_s, _ in islice(self.arrivals(rng), n)), np.float64, n)

    def marks(self, rng: Generator) -> Iterator[str]:
        """The class of each arrival, without end: for a generator in the same state, of the very
        arrivals whose times `due_times` gives."""
        names = self.class_names
        return (names[kind] for _, kind in self.arrivals(rng))

    def arrivals(self, rng: Generator) -> Iterator[tuple[float, int]]:
        """(seconds, class), without end."""
        beta, base = 1.0 / self.memory, self.base_rates()
        jumps = self.offspring() * beta  # what an arrival of class j adds to lambda_k
        means = np.linalg.solve(np.eye(len(base)) - self.offspring(), base)
        excited = jumps @ means / beta  # the mean of what earlier arrivals add
        columns = [column.tolist() for column in jumps.T]
        base_rate, base_list, now_s = float(base.sum()), base.tolist(), 0.0
        state: list[float] = excited.tolist()
        while True:
            drawn = rng.random((_DRAWN, 3))
            for spontaneous, caused, which in zip(*drawn.T.tolist(), strict=True):
                gap_s = -math.log1p(-spontaneous) / base_rate
                total = sum(state)
                left = 1.0 + beta * math.log1p(-caused) / total if total > 0 else 0.0
                if left > 0:
                    gap_s = min(gap_s, -math.log(left) / beta)
                now_s += gap_s
                faded = math.exp(-beta * gap_s)
                state = [one * faded for one in state]
                kind = _pick(base_list, state, which)
                state = [one + jump for one, jump in zip(state, columns[kind], strict=True)]
                yield now_s, kind


def _pick(base: list[float], excited: list[float], share: float) -> int:
    """The class whose part of the intensity holds `share` of the whole."""
    rates = [one + more for one, more in zip(base, excited, strict=True)]
    left = share * sum(rates)
    for kind, rate in enumerate(rates):
        left -= rate
        if left < 0:
            return kind
    return len(rates) - 1
