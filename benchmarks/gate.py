"""How often the gate raises false alarms, and how often it finds +10 % in TTFT, on simulated pairs.

    python benchmarks/gate.py [--sets 500] [--pairs 7] [--scale 1]

A set is the pairs of one gate: four metrics, the order of runs as `gate.order` deals it, judged by
the shipped `verdicts`: one exact test of the whole family, which swaps the sides of each pair for
all metrics at once and looks at the largest t (Westfall and Young, 1993). Beside it stand what it
replaced, paired t tests by Holm, and what `benchsuite compare` does with few pairs, Welch's tests
by Holm as if they were no pairs. All have the same runs. Rates with Wilson intervals, 95 %.
`--scale 5` makes the noise five times as large, where the smallest effect hides no alarm.
"""

import argparse
import math
from collections.abc import Callable
from typing import Final

import numpy as np
from msgspec.structs import replace
from numpy.random import Generator

from benchsuite.comparison.effects import holm
from benchsuite.comparison.verdicts import Samples, Verdict, verdicts
from benchsuite.gate.order import turns
from benchsuite.metrics.statistics import wilson
from benchsuite.records.table import FloatArray

# Standard deviation of a run's logarithm, and whether the regression moves it.
FAMILY: Final = {
    "ttft_p50": (0.03, True),
    "ttft_p99": (0.06, True),
    "tpot_p50": (0.02, False),
    "goodput": (0.04, False),
}
SCALES: Final = np.array([scale for scale, _ in FAMILY.values()])
MOVED: Final = np.array([is_moved for _, is_moved in FAMILY.values()])
SLOWER: Final = 1.10
ALPHA: Final = 0.05


def plain(rng: Generator, num: int) -> FloatArray:
    return rng.normal(size=(num, len(FAMILY)))


def heavy(rng: Generator, num: int) -> FloatArray:
    """Student's t with 3 degrees of freedom, of unit variance."""
    return rng.standard_t(3, (num, len(FAMILY))) / math.sqrt(3)


def neighbour(rng: Generator, num: int) -> FloatArray:
    """One run in six is hit as a whole, by 3.75 on average: 2.3 times the spread of `heavy`."""
    hit = (rng.random((num, 1)) < 1 / 6) * rng.exponential(3.75, (num, 1))
    return heavy(rng, num) + hit


def spells(rng: Generator, num: int) -> FloatArray:
    """Load that is there a quarter of the time, four runs on end on average: 1.7 times `plain`."""
    is_on, there = bool(rng.random() < 0.25), np.zeros((num, 1))
    for run in range(num):
        there[run] = is_on
        is_on = bool(rng.random() >= 0.25) if is_on else bool(rng.random() < 0.25 / 3)
    return plain(rng, num) + 3.2 * there


NOISES: Final[tuple[Callable[[Generator, int], FloatArray], ...]] = (
    plain,
    heavy,
    neighbour,
    spells,
)


def drawn(rng: Generator, noise: Callable[[Generator, int], FloatArray], pairs: int) -> FloatArray:
    """Logarithms of the runs, [side (before, now), pair, metric], without any effect."""
    order = turns(pairs, int(rng.integers(2**31)))
    found = np.empty((2, pairs, len(FAMILY)))
    for turn, values in zip(order, noise(rng, len(order)), strict=True):
        found[int(turn.side == "now"), turn.pair] = values
    return found


def family(sides: FloatArray) -> list[Samples]:
    """All of them better when lower: what goodput is to the gate is its sign alone."""
    values = np.exp(sides)
    return [
        Samples(
            metric=name,
            title=name,
            unit="s",
            better="lower",
            baseline=tuple(values[0, :, at].tolist()),
            now=tuple(values[1, :, at].tolist()),
        )
        for at, name in enumerate(FAMILY)
    ]


def alarms_by_holm(told: tuple[Verdict, ...]) -> bool:
    """As the gate judged until 2026-11-27: p of Student's t by Holm, all else alike."""
    adjusted = holm([1.0 if one.p is None else one.p for one in told])
    return any(
        p <= ALPHA
        and one.effect is not None
        and one.interval is not None
        and one.interval[0] > 0
        and one.effect > one.min_effect
        for p, one in zip(adjusted, told, strict=True)
    )


def counted(
    noise: Callable[[Generator, int], FloatArray], pairs: int, num: int, slower: float, scale: float
) -> tuple[int, int, int]:
    """Of `num` sets, how many raise an alarm: by t and Holm, by Welch and Holm, as shipped."""
    rng = np.random.default_rng((20_261, NOISES.index(noise), pairs))
    before = welch = shipped = 0
    for _ in range(num):
        sides = drawn(rng, noise, pairs) * SCALES * scale
        sides[1] += math.log(slower) * MOVED
        samples = family(sides)
        told = verdicts(samples)
        free = verdicts([replace(one, is_paired=False) for one in samples])
        before += alarms_by_holm(told)
        welch += any(one.word == "worse" for one in free)
        shipped += any(one.word == "worse" for one in told)
    return before, welch, shipped


def rate(count: int, num: int) -> str:
    low, high = wilson(count, num) or (0.0, 1.0)
    return f"{count / num:.1%} ({low:.1%} to {high:.1%})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sets", type=int, default=500)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--scale", type=float, default=1.0)
    asked = parser.parse_args()
    print("| noise | what | t, Holm | Welch, Holm | shipped |\n|---|---|---|---|---|")
    for noise in NOISES:
        for slower, what in ((1.0, "false alarms"), (SLOWER, "+10 % in TTFT found")):
            found = counted(noise, asked.pairs, asked.sets, slower, asked.scale)
            print(
                f"| {noise.__name__} | {what} | "
                + " | ".join(rate(count, asked.sets) for count in found)
                + " |",
                flush=True,
            )


if __name__ == "__main__":
    main()
