"""Fixed concurrency: the next session starts when one has finished."""

from numpy.random import Generator

from benchsuite.arrivals.base import FloatArray
from benchsuite.spec import Count, Spec


class ClosedLoop(Spec, frozen=True, tag="closed_loop"):
    """`concurrency` sessions in flight at all times; each starts when a slot is free.

    Nothing is ever due, so a slow server is asked less: read its latencies with that in mind.
    """

    concurrency: Count

    def due_times(self, n: int, rng: Generator, recorded_s: FloatArray | None) -> None:
        """None: there are no due times."""
