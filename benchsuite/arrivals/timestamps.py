"""The workload's own times."""

from numpy.random import Generator

from benchsuite.arrivals.base import FloatArray
from benchsuite.errors import ScenarioError
from benchsuite.spec import Positive, Spec


class Timestamps(Spec, frozen=True, tag="timestamps"):
    """Replay the workload's recorded times, `speed` times as fast (2 = half the time)."""

    speed: Positive = 1.0

    def due_times(self, n: int, rng: Generator, recorded_s: FloatArray | None) -> FloatArray:
        """Shape [n], or fewer: no more than were recorded."""
        if recorded_s is None:
            raise ScenarioError(
                "arrivals: timestamps needs a workload with recorded times, such as a trace; "
                "for this workload choose constant, poisson, gamma, ramp or closed_loop"
            )
        return recorded_s[:n] / self.speed
