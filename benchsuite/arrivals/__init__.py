"""When the next session starts: every choice of `arrivals: {type: ...}`."""

from benchsuite.arrivals.bursts import Bursts
from benchsuite.arrivals.closed_loop import ClosedLoop
from benchsuite.arrivals.constant import Constant
from benchsuite.arrivals.diurnal import Diurnal
from benchsuite.arrivals.gamma import Gamma
from benchsuite.arrivals.hawkes import Hawkes
from benchsuite.arrivals.mmpp import Mmpp
from benchsuite.arrivals.poisson import Poisson
from benchsuite.arrivals.ramp import Ramp
from benchsuite.arrivals.rate_series import RateSeries
from benchsuite.arrivals.timestamps import Timestamps
from benchsuite.arrivals.users import Users
from benchsuite.arrivals.weibull import Weibull

Arrivals = (
    Constant
    | Poisson
    | Gamma
    | Weibull
    | Mmpp
    | Hawkes
    | Ramp
    | RateSeries
    | Diurnal
    | Bursts
    | Timestamps
    | ClosedLoop
    | Users
)

__all__ = [
    "Arrivals",
    "Bursts",
    "ClosedLoop",
    "Constant",
    "Diurnal",
    "Gamma",
    "Hawkes",
    "Mmpp",
    "Poisson",
    "Ramp",
    "RateSeries",
    "Timestamps",
    "Users",
    "Weibull",
]
