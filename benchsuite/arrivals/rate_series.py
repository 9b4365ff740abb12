"""A rate that was measured, or is expected, step by step: from the file or from the scenario."""

import math
from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta
from numpy.random import Generator

from benchsuite.arrivals.base import FloatArray
from benchsuite.arrivals.intensity import through_steps, unit_events
from benchsuite.errors import ScenarioError, TraceError
from benchsuite.spec import DataPath, LongerThan0, PerSecond, Positive, Spec

NotNegative = Annotated[float, Meta(ge=0)]


class RateSeries(Spec, frozen=True, tag="rate_series"):
    """A rate that holds for `step` seconds, then the next: `rates`, or one a line in the file.

    A line of the file is a rate, or `at,rate` with the seconds from its beginning (then `step` is
    how long the last one holds). It ends with the last step, or begins again (`repeat`). With
    `rate`, all are scaled so that this is their mean. `burstiness` as in `gamma`: 1 is independent
    users within a step, below 1 comes in clumps.
    """

    step: LongerThan0
    rates: tuple[NotNegative, ...] = ()
    path: DataPath | None = None
    rate: PerSecond | None = None
    repeat: bool = False
    burstiness: Positive = 1.0

    def __post_init__(self) -> None:
        if (self.path is None) != bool(self.rates):
            raise ValueError("give rates or path: one of them")
        if self.path is None and not any(self.rates):
            raise ValueError("rates: the rate is zero all the time")

    def due_times(self, n: int, rng: Generator, recorded_s: FloatArray | None) -> FloatArray:
        """Shape [n], or fewer where it does not repeat."""
        edges_s, rates = self._steps()
        per_round = float(rates @ np.diff(edges_s))
        if self.rate is not None:
            scale = self.rate * edges_s[-1] / per_round
            rates, per_round = rates * scale, per_round * scale
        unit = unit_events(n, self.burstiness, rng)
        if not self.repeat:
            return through_steps(unit, edges_s, rates)
        rounds = np.floor(unit / per_round)
        inside = np.clip(unit - rounds * per_round, 0.0, np.nextafter(per_round, 0.0))
        due_s = rounds * edges_s[-1] + through_steps(inside, edges_s, rates)
        return np.maximum.accumulate(due_s)  # two neighbours may have changed places by rounding

    def _steps(self) -> tuple[FloatArray, FloatArray]:
        """Edges from 0 on, and the rate between them: [steps + 1], [steps]."""
        if self.path is None:
            edges_s = np.arange(len(self.rates) + 1, dtype=np.float64) * self.step
            return edges_s, np.array(self.rates, dtype=np.float64)
        at_s, rates = _read(self.path, self.step)
        if not rates.any():
            raise ScenarioError(f"{self.path}: expected a rate above 0 in one of its lines")
        return np.append(at_s, at_s[-1] + self.step), rates


def _read(path: str, step_s: float) -> tuple[FloatArray, FloatArray]:
    """(beginnings, rates), the first beginning at 0. Raises TraceError with the line."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: cannot be read: {error}") from error
    at_s: list[float] = []
    rates: list[float] = []
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.startswith("#"):
            *at, rate = (_number(path, number, text) for text in line.split(","))
            if len(at) > 1:
                raise TraceError(path, number, f"expected a rate, or at,rate, found {line!r}")
            at_s.append(at[0] if at else len(rates) * step_s)
            rates.append(rate)
            if len(at_s) > 1 and at_s[-1] <= at_s[-2]:
                raise TraceError(
                    path, number, f"expected a time after {at_s[-2]:g}, found {line!r}"
                )
    if not rates:
        raise ScenarioError(f"{path}: expected a rate in each line, found none")
    return np.array(at_s) - at_s[0], np.array(rates)


def _number(path: str, line: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise TraceError(path, line, f"expected a number of at least 0, found {text.strip()!r}")
    return value
