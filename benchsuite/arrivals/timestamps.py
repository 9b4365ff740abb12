"""The workload's own times."""

from typing import Final

import numpy as np
from numpy.random import Generator

from benchsuite.arrivals.base import FloatArray
from benchsuite.errors import ScenarioError
from benchsuite.spec import Positive, Seconds, Spec

_STEPS_S: Final = (60.0, 30.0, 10.0, 5.0, 3.0, 2.0, 1.0, 0.5, 0.1, 0.01, 0.001)
_SLACK_S: Final = 0.005  # Mooncake's clock of 3 s also says 113.999 s
_SHARED: Final = 0.05  # of the sessions that share their time with another: more is a clock's doing


class Timestamps(Spec, frozen=True, tag="timestamps"):
    """Replay the workload's recorded times, `speed` times as fast (2 = half the time).

    A trace whose clock had coarse steps brings its sessions in bunches that no user made. `quantum`
    is such a step, in the trace's time: each session is moved to a time drawn evenly from the step
    that it was recorded in, the order stays, and the result says so.
    """

    speed: Positive = 1.0
    quantum: Seconds = 0.0

    def due_times(self, n: int, rng: Generator, recorded_s: FloatArray | None) -> FloatArray:
        """Shape [n], or fewer: no more than were recorded. With a quantum `recorded_s` must hold
        all that will ever be recorded, since those of one step share it."""
        if recorded_s is None:
            raise ScenarioError(
                "arrivals: timestamps needs a workload with recorded times, such as a trace; "
                "for this workload choose constant, poisson, gamma, ramp or closed_loop"
            )
        return self._spread(recorded_s, rng)[:n] / self.speed

    def _spread(self, recorded_s: FloatArray, rng: Generator) -> FloatArray:
        if not self.quantum or not len(recorded_s):
            return recorded_s
        slack_s = min(_SLACK_S, self.quantum / 100)
        step = np.floor((recorded_s - recorded_s[0] + slack_s) / self.quantum)
        inside = rng.random(len(step))
        spread = (step + inside[np.lexsort((inside, step))]) * self.quantum
        found: FloatArray = recorded_s[0] + spread
        return found

    def notes(self, recorded_s: FloatArray) -> tuple[str, ...]:
        """What a result must say about the trace's clock."""
        if self.quantum:
            return (
                f"recorded times were spread evenly within steps of {self.quantum:g} s (seeded): "
                "times below that are ours, not the trace's",
            )
        step_s = quantum_s(recorded_s)
        if step_s is None:
            return ()
        return (
            f"recorded times come in steps of {step_s:g} s: bunches within a step are the trace's "
            f"clock, not its users (arrivals.quantum: {step_s:g} spreads them)",
        )


def quantum_s(recorded_s: FloatArray) -> float | None:
    """The step of the clock that recorded these times; None where few share their time."""
    if len(recorded_s) < 2 or np.mean(np.diff(recorded_s) == 0) < _SHARED:
        return None
    for step_s in _STEPS_S:
        since_s = recorded_s - recorded_s[0]
        off_s = np.abs(since_s - np.round(since_s / step_s) * step_s)
        if np.all(off_s <= min(_SLACK_S, step_s / 100)):
            return step_s
    return None
