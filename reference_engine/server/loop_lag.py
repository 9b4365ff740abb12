"""How late the event loop is: whatever holds it up holds up every stream at once."""

import asyncio
from collections.abc import Iterator
from typing import Final

from reference_engine.stats import Histogram, histogram_lines

_EVERY_S: Final = 0.01
_BOUNDS_S: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_NAME: Final = "reference_engine:event_loop_lag_seconds"


class LoopLag:
    """How much later than asked a timer came, asked a hundred times a second; since the start."""

    def __init__(self) -> None:
        self._lags_s = Histogram(_BOUNDS_S)
        self.max_s = 0.0

    async def watch(self) -> None:
        """Measure until cancelled."""
        time_s = asyncio.get_running_loop().time
        while True:
            due_s = time_s() + _EVERY_S
            await asyncio.sleep(_EVERY_S)
            lag_s = max(0.0, time_s() - due_s)
            self._lags_s.observe(lag_s)
            self.max_s = max(self.max_s, lag_s)

    def lines(self, label: str) -> Iterator[str]:
        """For /metrics."""
        yield from histogram_lines(_NAME, self._lags_s, label)
        yield f"# TYPE {_NAME}_max gauge"
        yield f"{_NAME}_max{{{label}}} {self.max_s!r}"
