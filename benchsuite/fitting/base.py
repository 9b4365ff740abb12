"""What a fit is: a family of arrival processes, its likeliest member for given events, and how well
that one explains them. All families see the same: the gaps after the first event, so that their
likelihoods can be compared.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from scipy.special import kolmogorov

from benchsuite.arrivals import Arrivals
from benchsuite.arrivals.base import FloatArray, IntArray

LEVELS: Final = np.arange(1, 20) / 20  # nominal coverages that calibration is judged at


@dataclass(frozen=True)
class Events:
    """What happened when: seconds from the first event, strictly ascending, and the classes."""

    at_s: FloatArray  # [n]; at_s[0] is 0
    kind: IntArray  # [n]; index into names
    names: tuple[str, ...]

    @property
    def gaps_s(self) -> FloatArray:
        """[n - 1], all above 0"""
        return np.diff(self.at_s)

    @property
    def rate(self) -> float:
        return float((len(self.at_s) - 1) / self.at_s[-1])


class Fit(NamedTuple):
    """The likeliest member of a family.

    `residuals`: for each gap the probability that the model gave, before it, to one at most as
    long; even between 0 and 1, and independent, where the model is right.
    """

    family: str
    arrivals: Arrivals  # ready for a scenario
    parameters: dict[str, float]  # for people
    num_parameters: int
    log_likelihood: float  # of all gaps (and classes, where the family has them), natural logarithm
    residuals: FloatArray  # [n - 1]
    notes: tuple[str, ...] = ()

    @property
    def aic(self) -> float:
        """Akaike's criterion: 2 parameters - 2 log-likelihood. The least is the best."""
        return 2 * self.num_parameters - 2 * self.log_likelihood

    @property
    def ks(self) -> float:
        """Kolmogorov-Smirnov: the most that the residuals' distribution is off an even one."""
        ordered = np.sort(self.residuals)
        num = len(ordered)
        above = np.arange(1, num + 1) / num - ordered
        return float(max(above.max(), (1 / num - above).max()))

    @property
    def ks_p(self) -> float:
        """Probability of such a distance, or a larger one, were the model right (asymptotic, and
        too kind, since the parameters were fitted to the same gaps)."""
        return float(kolmogorov(self.ks * np.sqrt(len(self.residuals))))

    @property
    def pce(self) -> float:
        """Probability calibration error: |share of gaps below the model's quantile - its level|,
        mean over levels from 5 to 95 %. 0 is perfect, 0.5 the worst."""
        found = [np.mean(self.residuals <= level) for level in LEVELS]
        return float(np.mean(np.abs(np.array(found) - LEVELS)))


class Family(NamedTuple):
    name: str  # the tag of its arrivals
    fit: Callable[[Events], Fit]
