"""What an arrival process is: a pure answer to "when are the first n sessions due?"."""

from typing import Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class ArrivalProcess(Protocol):
    """Draws all due times before the first byte is sent; knows nothing of what is sent."""

    def due_times(self, n: int, rng: Generator, recorded_s: FloatArray | None) -> FloatArray | None:
        """Seconds from run start, ascending, shape [n].

        Fewer than n only where the process itself ends (a ramp past its last point, a trace
        with fewer rows); None where nothing is ever due (a closed loop).
        A longer schedule begins like a shorter one: for generators in the same state
        `due_times(2 * n, ...)[:n]` equals `due_times(n, ...)`.
        `recorded_s`: when the workload says its sessions began, ascending; None if it does not say.
        """
        ...
