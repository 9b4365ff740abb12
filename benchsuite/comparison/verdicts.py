"""Verdict: better, worse, equivalent or inconclusive, for each metric of a declared family.

A metric is worse (or better) only if three things hold together: the interval of the effect
excludes no change; the one-sided p, held for the whole family, is at most 1 - confidence; and the
effect is larger than the smallest one that matters. Of pairs, the family is held by one exact test
of all metrics together (`effects.jointly`); of runs that are no pairs, by Holm. It is equivalent if
two one-sided tests place it within that smallest effect. All else is inconclusive, and the verdict
says how many runs would settle it. Values are one per run.
"""

import math
import statistics
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from benchsuite.comparison.effects import (
    Effect,
    holm,
    jointly,
    paired,
    runs_needed,
    stored,
    unpaired,
)
from benchsuite.metrics.base import Better, Interval

Word = Literal["better", "worse", "equivalent", "inconclusive"]
Scale = Literal["ratio", "difference"]

TOO_FEW: Final = "one run a side does not tell how far runs differ"
MISSING: Final = "{} values are missing, or their pair's other half is"
ZEROS: Final = "a value of 0 has no logarithm: differences are relative to the mean of all runs"


class Samples(Struct, frozen=True, kw_only=True):
    """The values of one metric, a run each; None where a run has none.

    Pairs stand at the same place on both sides. On the scale `ratio` an effect is relative (0.1: 10
    % more); on `difference` it is in the metric's own unit, for what lies in [0, 1].
    """

    metric: str
    title: str
    unit: str
    better: Better
    baseline: tuple[float | None, ...]
    now: tuple[float | None, ...]
    is_paired: bool = True
    is_stored: bool = False  # the baseline is of another day; not paired
    scale: Scale = "ratio"
    min_effect: float = 0.05  # the smallest that matters, on that scale


class Verdict(Struct, frozen=True, kw_only=True):
    """What is said of one metric. Effects are now less baseline: above 0 is more."""

    metric: str
    title: str
    unit: str
    better: Better
    word: Word
    scale: Scale
    is_paired: bool
    min_effect: float
    confidence: float
    baseline: float | None  # median over its runs
    now: float | None
    num_baseline: int  # runs that have a value; where paired, pairs that do
    num_now: int
    effect: float | None = None
    interval: Interval | None = None
    p: float | None = None  # of Student's or Welch's t, one-sided in the direction of the effect
    p_exact: float | None = None  # that of the sign-flip test of the pairs
    p_adjusted: float | None = None  # for the family: of pairs p_exact jointly, else p by Holm
    runs_needed: int | None = None  # a side, where it is inconclusive
    notes: tuple[str, ...] = ()


class _Judged(NamedTuple):
    """The samples with their effect, if there are enough runs for one."""

    samples: Samples
    baseline: list[float]
    now: list[float]
    differences: tuple[float, ...]  # a pair each, 0 where it is not whole; of pairs alone
    effect: Effect | None
    is_log: bool
    notes: tuple[str, ...]

    @property
    def is_up(self) -> bool:
        return self.effect is not None and self.effect.centre > 0

    @property
    def is_worse(self) -> bool:
        """Which way the effect is, be it chance or not."""
        return self.is_up != (self.samples.better == "higher")

    def p(self, *, is_up: bool) -> float:
        """One-sided, that it is more (or less); 1 where there is no effect."""
        if self.effect is None:
            return 1.0
        return self.effect.p_above() if is_up else self.effect.p_below()

    def told(self, effect: float) -> float:
        """An effect as it is read: relative, or in the metric's unit."""
        return math.expm1(effect) if self.is_log else effect


def verdicts(
    family: Sequence[Samples], *, confidence: float = 0.95, alpha: float | None = None
) -> tuple[Verdict, ...]:
    """One verdict each, as a family: the chance that any metric of an unchanged system is called
    worse is at most 1 - confidence, and so is that of better, whatever is said of the others.

    `alpha` is what one look may spend of that where the data are looked at more than once. Metrics
    of which neither direction is good are never better or worse. Pairs stand at the same place in
    all metrics that have them. Pure.
    """
    spent = 1 - confidence if alpha is None else alpha
    judged = [_judge(samples) for samples in family]
    counted = [one for one in judged if one.samples.better != "neither"]
    worse, better = (iter(_adjusted(counted, is_worse)) for is_worse in (True, False))
    level = spent / max(1, len(counted))
    found = []
    for one in judged:
        p_adjusted = None
        if one.samples.better != "neither":
            p_worse, p_better = next(worse), next(better)
            p_adjusted = p_worse if one.is_worse else p_better
        found.append(_verdict(one, p_adjusted, confidence, spent, level))
    return tuple(found)


def _adjusted(counted: Sequence[_Judged], is_worse: bool) -> list[float]:
    """p of "not worse" (or "not better") of each, held for all of them."""
    upward = [is_worse != (one.samples.better == "higher") for one in counted]
    if not all(one.samples.is_paired for one in counted):
        return holm([one.p(is_up=up) for one, up in zip(counted, upward, strict=True)])
    signs = np.where(upward, 1.0, -1.0)
    differences = np.array([one.differences for one in counted], dtype=np.float64)
    return jointly(differences.T * signs) if counted else []


def _judge(samples: Samples) -> _Judged:
    baseline, now = _kept(samples)
    missing = len(samples.baseline) + len(samples.now) - len(baseline) - len(now)
    notes = [MISSING.format(missing)] if missing else []
    if min(len(baseline), len(now)) < 2:
        nothing = (0.0,) * len(samples.now)
        return _Judged(samples, baseline, now, nothing, None, False, (*notes, TOO_FEW))
    values = (*baseline, *now)
    is_log = samples.scale == "ratio" and min(values) > 0
    unit = 1.0
    if samples.scale == "ratio" and not is_log:
        unit = statistics.fmean(map(abs, values)) or 1.0
        notes += [ZEROS] if any(values) else []
    a, b = ([math.log(x) if is_log else x / unit for x in side] for side in (baseline, now))
    pairs = [y - x for x, y in zip(a, b, strict=False)]
    free = stored if samples.is_stored else unpaired
    effect = paired(pairs) if samples.is_paired else free(a, b)
    placed = _placed(samples, pairs) if samples.is_paired else ()
    return _Judged(samples, baseline, now, placed, effect, is_log, tuple(notes))


def _placed(samples: Samples, pairs: Sequence[float]) -> tuple[float, ...]:
    """Differences of the whole pairs at the places of all, so that metrics stand side by side."""
    left = iter(pairs)
    places = zip(samples.baseline, samples.now, strict=True)
    return tuple(0.0 if None in place else next(left) for place in places)


def _kept(samples: Samples) -> tuple[list[float], list[float]]:
    """The values that there are; of pairs, those that are whole."""
    if samples.is_paired:
        pairs = zip(samples.baseline, samples.now, strict=True)
        whole = [(a, b) for a, b in pairs if a is not None and b is not None]
        return [a for a, _ in whole], [b for _, b in whole]
    baseline, now = ([x for x in side if x is not None] for side in (samples.baseline, samples.now))
    return baseline, now


def _verdict(
    one: _Judged, p_adjusted: float | None, confidence: float, alpha: float, level: float
) -> Verdict:
    samples, effect = one.samples, one.effect
    found = Verdict(
        metric=samples.metric,
        title=samples.title,
        unit=samples.unit,
        better=samples.better,
        word="inconclusive",
        scale=samples.scale,
        is_paired=samples.is_paired,
        min_effect=samples.min_effect,
        confidence=confidence,
        baseline=statistics.median(one.baseline) if one.baseline else None,
        now=statistics.median(one.now) if one.now else None,
        num_baseline=len(one.baseline),
        num_now=len(one.now),
        notes=one.notes,
    )
    if effect is None:
        return found
    low, high = effect.interval(confidence)
    bound = math.log1p(samples.min_effect) if one.is_log else samples.min_effect
    is_large = min(effect.estimate, low) > 0 or max(effect.estimate, high) < 0
    is_large = is_large and abs(effect.estimate) > bound
    if p_adjusted is not None and p_adjusted <= alpha and is_large:
        word: Word = "worse" if one.is_worse else "better"
    else:
        word = "equivalent" if effect.p_outside(-bound, bound) <= alpha else "inconclusive"
    needed = None
    if word == "inconclusive" and not samples.is_stored:  # more runs do not make a day typical
        needed = runs_needed(effect, max(abs(effect.estimate), bound), level)
        more = 1 + min(len(one.baseline), len(one.now))  # these were not enough
        needed = None if needed is None else max(needed, more)
    return replace(
        found,
        word=word,
        effect=one.told(effect.estimate),
        interval=(one.told(low), one.told(high)),
        p=one.p(is_up=one.is_up),
        p_adjusted=p_adjusted,
        p_exact=effect.p_exact,
        runs_needed=needed,
    )
