"""Is synthetic traffic like the real one? Two workloads, number by number. Pure."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from benchsuite.request import Session
from benchsuite.workloads.description import Columns, Description, Spread

FloatArray = NDArray[np.float64]


class Side(NamedTuple):
    """One of the two."""

    found: Description
    columns: Columns
    classes: tuple[str, ...]  # of each session's first request, in order


class Likeness(Struct, frozen=True):
    """One number of both, or, where it lies between the two, their distance."""

    name: str
    unit: str  # "" where it has none
    one: float | None = None  # None: not known
    other: float | None = None
    distance: float | None = None


def side(found: Description, columns: Columns, sessions: Sequence[Session]) -> Side:
    classes = tuple(session.requests[0].slo_class for session in sessions)
    return Side(found, columns, classes)


def likeness(one: Side, other: Side) -> list[Likeness]:
    """Times, then lengths, then classes, then prefixes; what neither has is left out."""
    first, second = one.found, other.found
    found = [
        Likeness("rate", "sessions/s", first.rate, second.rate),
        Likeness("CV of the gaps", "", first.gap_cv, second.gap_cv),
        Likeness("autocorrelation of the gaps", "", *(_lagged(each) for each in (one, other))),
        *(
            Likeness(
                f"Fano factor at {window}", "", first.fano.get(window), second.fano.get(window)
            )
            for window in dict.fromkeys((*first.fano, *second.fano))
        ),
    ]
    starts_s = (one.columns.starts_s, other.columns.starts_s)
    found += _distances("gaps", "s", *map(np.diff, starts_s))
    for name in ("prompt_tokens", "output_tokens"):
        found += _lengths(name.replace("_", " "), getattr(first, name), getattr(second, name))
        pair = (getattr(each.columns, name) for each in (one, other))
        found += _distances(name.replace("_", " "), "tokens", *pair)
    found.append(Likeness("Spearman, prompt and output", "", first.correlation, second.correlation))
    if len({*one.classes, *other.classes}) > 1:
        between = _transitions(one.classes, other.classes)
        found.append(Likeness("transitions between classes", "", distance=between))
    for hits, others in zip(first.prefix_hits, second.prefix_hits, strict=False):
        size = "endless" if hits.cache_tokens is None else f"{hits.cache_tokens} tokens"
        found.append(Likeness(f"prefix hits, {size}", "", hits.share, others.share))
    return [each for each in found if (each.one, each.other, each.distance) != (None, None, None)]


def _lengths(name: str, one: Spread, other: Spread) -> list[Likeness]:
    return [
        Likeness(f"{name}, mean", "tokens", one.mean, other.mean),
        *(
            Likeness(f"{name}, {point}", "tokens", one.at.get(point), other.at.get(point))
            for point in ("p50", "p99")
        ),
    ]


def _distances(name: str, unit: str, one: FloatArray, other: FloatArray) -> list[Likeness]:
    if not len(one) or not len(other):
        return []
    return [
        Likeness(f"{name}, KS", "", distance=kolmogorov_smirnov(one, other)),
        Likeness(f"{name}, Wasserstein", unit, distance=wasserstein(one, other)),
    ]


def _lagged(side: Side) -> float | None:
    """Correlation of each gap with the next one; None where gaps do not vary."""
    gaps_s = np.diff(side.columns.starts_s)
    if len(gaps_s) < 3 or not np.ptp(gaps_s[1:]) or not np.ptp(gaps_s[:-1]):
        return None
    return float(np.corrcoef(gaps_s[:-1], gaps_s[1:])[0, 1])


def kolmogorov_smirnov(one: NDArray[Any], other: NDArray[Any]) -> float:
    """The most that the two samples' distributions are apart, from 0 to 1."""
    below_one, below_other = _below(one, other, np.concatenate((one, other)))
    return float(np.abs(below_one - below_other).max())


def wasserstein(one: NDArray[Any], other: NDArray[Any]) -> float:
    """How far, on average, one sample's mass must be moved to be the other's; in their unit."""
    edges = np.sort(np.concatenate((one, other)).astype(np.float64))
    below_one, below_other = _below(one, other, edges[:-1])
    return float(np.abs(below_one - below_other) @ np.diff(edges))


def _below(
    one: NDArray[Any], other: NDArray[Any], at: NDArray[Any]
) -> tuple[FloatArray, FloatArray]:
    """The share of each sample that is at most `at`."""
    first, second = (
        np.searchsorted(np.sort(sample), at, side="right") / len(sample) for sample in (one, other)
    )
    return first, second


def _transitions(one: Sequence[str], other: Sequence[str]) -> float:
    """Half of the sum of differences between the shares of pairs of classes that follow each other:
    0 where they are the same, 1 where no pair occurs in both."""
    place = {name: index for index, name in enumerate(sorted({*one, *other}))}
    shares = []
    for classes in (one, other):
        at = np.array([place[name] for name in classes])
        pairs = np.bincount(at[:-1] * len(place) + at[1:], minlength=len(place) ** 2)
        shares.append(pairs / max(pairs.sum(), 1))
    return float(np.abs(shares[0] - shares[1]).sum() / 2)
