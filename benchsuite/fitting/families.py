"""What a trace's arrivals are like: every family that `benchsuite fit` tries."""

from benchsuite.fitting import hawkes, mmpp, renewal
from benchsuite.fitting.base import Family

FAMILIES: tuple[Family, ...] = (
    Family("poisson", renewal.poisson),
    Family("gamma", renewal.gamma),
    Family("weibull", renewal.weibull),
    Family("mmpp", mmpp.fit),
    Family("hawkes", hawkes.fit),
)
