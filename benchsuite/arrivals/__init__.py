"""When the next session starts: every choice of `arrivals: {type: ...}`."""

from benchsuite.arrivals.closed_loop import ClosedLoop
from benchsuite.arrivals.constant import Constant
from benchsuite.arrivals.gamma import Gamma
from benchsuite.arrivals.poisson import Poisson
from benchsuite.arrivals.ramp import Ramp
from benchsuite.arrivals.timestamps import Timestamps

Arrivals = Constant | Poisson | Gamma | Ramp | Timestamps | ClosedLoop

__all__ = ["Arrivals", "ClosedLoop", "Constant", "Gamma", "Poisson", "Ramp", "Timestamps"]
