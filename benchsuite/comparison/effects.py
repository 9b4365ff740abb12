"""Effect: by how much runs of one side differ from those of another, with what is uncertain in it.

The unit of replication is the run. Requests of one run shared its queue, its caches, its
neighbours, so they are one observation, however many they are. Paired runs (made one after the
other, with the same seed) are judged by their differences, which leaves out what both shared;
others by Welch's test. All of it is on one additive scale, usually logarithms of values.
"""

import math
import statistics
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np

from benchsuite.comparison import student
from benchsuite.metrics.base import Interval
from benchsuite.records.table import FloatArray
from benchsuite.streams import rng

ENUMERATED: Final = 16  # pairs up to which every assignment of signs is looked at
DRAWS: Final = 1 << 15  # assignments drawn beyond that
POWER: Final = 0.8
MOST_RUNS: Final = 10_000
_ROUNDING: Final = 1e-9


class Effect(NamedTuple):
    """A difference (now less baseline) on an additive scale.

    `least_p` is the smallest probability that an exact test of as many runs could give. No p is
    less: under no difference each of the 2^n assignments of the labels was as likely.
    """

    estimate: float  # the median: one odd run does not move it
    centre: float  # the mean: of this the interval is
    error: float  # its standard error
    degrees: float
    least_p: float
    spread: float  # standard deviation of what is averaged: of pairs, or of a run on either side
    p_exact: float | None = None  # sign-flip test in the direction of the centre; of pairs alone

    def interval(self, confidence: float) -> Interval:
        """Two-sided, of Student's t."""
        half = student.quantile((1 + confidence) / 2, self.degrees) * self.error
        return self.centre - half, self.centre + half

    def p_above(self, bound: float = 0.0) -> float:
        """One-sided p of "it is at most `bound`": small where it is above."""
        return self._p(self.centre - bound)

    def p_below(self, bound: float = 0.0) -> float:
        """One-sided p of "it is at least `bound`": small where it is below."""
        return self._p(bound - self.centre)

    def p_outside(self, low: float, high: float) -> float:
        """p of "it is not within (low, high)", by two one-sided tests (TOST): small where the two
        sides are the same for practical purposes. Schuirmann, J. Pharmacokin. Biopharm. 1987."""
        return max(self.p_above(low), self.p_below(high))

    def _p(self, distance: float) -> float:
        if self.error == 0.0:
            return self.least_p if distance > 0 else 1.0
        return max(self.least_p, student.upper_tail(distance / self.error, self.degrees))


def paired(differences: Sequence[float]) -> Effect:
    """Of pairs of runs, [n >= 2]: the paired t test, beside the exact test of signs."""
    n, centre = len(differences), statistics.fmean(differences)
    spread = statistics.stdev(differences)
    if spread <= _ROUNDING * max(map(abs, differences)):
        spread = 0.0
    return Effect(
        estimate=statistics.median(differences),
        centre=centre,
        error=spread / math.sqrt(n),
        degrees=n - 1,
        least_p=0.5**n,
        spread=spread,
        p_exact=sign_flip([x if centre > 0 else -x for x in differences]),
    )


def unpaired(baseline: Sequence[float], now: Sequence[float]) -> Effect:
    """Of runs that are no pairs, [m >= 2] and [n >= 2]: Welch's t test; the sides may vary
    differently. The estimate is the difference of medians."""
    m, n = len(baseline), len(now)
    parts = statistics.variance(baseline) / m, statistics.variance(now) / n
    squared = sum(parts)
    if math.sqrt(squared) <= _ROUNDING * max(map(abs, (*baseline, *now))):
        squared, degrees = 0.0, float(m + n - 2)
    else:
        degrees = squared**2 / (parts[0] ** 2 / (m - 1) + parts[1] ** 2 / (n - 1))
    return Effect(
        estimate=statistics.median(now) - statistics.median(baseline),
        centre=statistics.fmean(now) - statistics.fmean(baseline),
        error=math.sqrt(squared),
        degrees=degrees,
        least_p=1 / math.comb(m + n, n),
        spread=math.sqrt(squared * 2 / (1 / m + 1 / n)),  # of a difference of one run a side
    )


def stored(baseline: Sequence[float], now: Sequence[float]) -> Effect:
    """Of runs of now against [m >= 2] runs of another day, which differ by the day as well: Welch's
    error widened by the spread of the stored runs, with their degrees of freedom."""
    found = unpaired(baseline, now)
    between = statistics.stdev(baseline)
    return found._replace(
        error=math.hypot(found.error, between),
        degrees=min(found.degrees, len(baseline) - 1.0),
        spread=math.hypot(found.spread, between),
    )


def sign_flip(differences: Sequence[float], *, two_sided: bool = False) -> float:
    """Exact p of "no difference" against "above 0" (or "other than 0").

    If both sides are the same, each difference is as likely with either sign: the p is the share of
    all assignments of signs whose sum is as large. Beyond ENUMERATED pairs, of DRAWS seeded ones,
    with the one that was seen counted among them. Fisher, The Design of Experiments, 1935, § 21.
    """
    values = np.asarray(differences, dtype=np.float64)
    sums, seen = _signs(len(values)) @ values, float(values.sum())
    if two_sided:
        sums, seen = np.abs(sums), abs(seen)
    least = seen - _ROUNDING * float(np.abs(values).sum())
    return float(np.mean(sums >= least))


@lru_cache(2)  # every metric, and every look, asks for those of as many pairs
def _signs(n: int) -> FloatArray:
    """Assignments of signs, [assignment, pair]; the first leaves each difference as it was."""
    if n <= ENUMERATED:
        is_flipped = np.arange(1 << n)[:, None] >> np.arange(n) & 1
    else:
        drawn = rng(0, "sign_flip", n).integers(0, 2, (DRAWS - 1, n))
        is_flipped = np.concatenate((np.zeros((1, n), dtype=np.int64), drawn))
    signs: FloatArray = 1.0 - 2.0 * is_flipped.astype(np.float64)
    return signs


def jointly(differences: FloatArray) -> list[float]:
    """p of "it is not above 0" for each metric of a family, made to hold for the family.

    `differences`, [pair, metric], is 0 where a metric lacks a pair. All metrics of a pair change
    sign together, so that whatever moves them together is kept. A metric's p is the share of the
    assignments of signs under which it, or any metric whose sum in units of its root sum of squares
    is less than its own, has as large a one; and no p is less than one before it. A sum in these
    units grows with Student's t, as the squares are the same under every assignment. Never less
    than `sign_flip` of that metric.

    Assumed is that of the metrics that nothing changed, the two runs of each pair could as well
    have been made the other way round, whatever the other pairs and metrics are; not any shape, nor
    how metrics depend on each other. Then the chance that any of their p falls to alpha or below is
    at most alpha, at any number of pairs: the largest of their statistics is compared to at least
    the largest of them all, which is one exact test. The step-down test by the largest statistic of
    Westfall and Young, Resampling-Based Multiple Testing, 1993; in finite samples, and whatever
    changed in the other metrics: Romano and Wolf, JASA 2005, section 2.
    """
    if differences.size == 0:
        return [1.0] * differences.shape[1]
    scale = np.sqrt((differences**2).sum(axis=0))
    units = differences / np.where(scale > 0, scale, 1.0)
    sums, slack = _signs(len(units)) @ units, _ROUNDING * np.abs(units).sum(axis=0)
    seen = units.sum(axis=0)
    rising = np.argsort(seen, kind="stable")
    largest = np.maximum.accumulate(sums[:, rising], axis=1)
    shares = np.mean(largest >= (seen - slack)[rising], axis=0)
    adjusted = np.empty_like(shares)
    adjusted[rising[::-1]] = np.maximum.accumulate(shares[::-1])
    return [float(p) for p in adjusted]


def holm(p: Sequence[float]) -> list[float]:
    """Each p made to hold for the whole family: among true hypotheses, the chance that any falls
    below alpha is at most alpha, however they depend on each other. Holm, Scand. J. Stat. 1979."""
    adjusted = [0.0] * len(p)
    highest = 0.0
    for rank, at in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        highest = max(highest, min(1.0, (len(p) - rank) * p[at]))
        adjusted[at] = highest
    return adjusted


def runs_needed(effect: Effect, size: float, alpha: float) -> int | None:
    """Runs a side with which a true effect of `size` is found with POWER, at the spread seen, by a
    one-sided test of level `alpha`. None where it takes more than MOST_RUNS, or `size` is 0.

    Of a family of m metrics, alpha / m is what `holm` asks of the one that stands out most;
    `jointly` asks about as much where metrics are independent, and less where they move together.
    """
    if size <= 0:
        return None
    is_paired = effect.p_exact is not None
    noise = effect.spread / size
    normal = statistics.NormalDist()
    enough = ((normal.inv_cdf(1 - alpha) + normal.inv_cdf(POWER)) * noise) ** 2  # at least
    n = max(2, math.ceil(min(enough, MOST_RUNS)))
    while n < MOST_RUNS and not _is_enough(n, is_paired, noise, alpha):
        n += 1
    return n if n < MOST_RUNS else None


def _is_enough(n: int, is_paired: bool, noise: float, alpha: float) -> bool:
    least_p = 0.5**n if is_paired else 1 / math.comb(2 * n, n)
    degrees = n - 1 if is_paired else 2 * (n - 1)
    wanted = student.quantile(1 - alpha, degrees) + student.quantile(POWER, degrees)
    return least_p <= alpha and math.sqrt(n) >= wanted * noise
