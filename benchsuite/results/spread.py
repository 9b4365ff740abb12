"""Spread: how the values of an error are spread, in seconds."""

from typing import Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from benchsuite.records.table import FloatArray


class Spread(Struct, frozen=True, kw_only=True):
    """How an error of the instrument is spread, in seconds."""

    n: int
    p50: float | None = None
    p99: float | None = None
    max: float | None = None

    @classmethod
    def of(cls, values_s: FloatArray | NDArray[np.float32]) -> Self:
        """Of the values that are not NaN."""
        return cls.of_known(values_s[~np.isnan(values_s)].astype(np.float64, copy=False))

    @classmethod
    def of_known(cls, known_s: FloatArray) -> Self:
        """Of values without NaN, which are put in another order."""
        if not len(known_s):
            return cls(n=0)
        p50_s, p99_s = np.quantile(known_s, [0.5, 0.99], overwrite_input=True)
        return cls(n=len(known_s), p50=float(p50_s), p99=float(p99_s), max=float(known_s.max()))
