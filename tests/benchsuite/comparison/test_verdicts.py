"""Verdicts: each word, zeros, shares, gaps; and how often they are wrong, by simulation."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsuite.comparison.effects import jointly, paired, runs_needed
from benchsuite.comparison.verdicts import MISSING, TOO_FEW, ZEROS, Samples, Verdict, verdicts

A = (1.0, 1.1, 0.95, 1.05, 1.0, 0.9, 1.02)


def samples(baseline: Any, now: Any, **more: Any) -> Samples:
    plain = {"metric": "ttft_p50", "title": "TTFT p50", "unit": "s", "better": "lower"}
    return Samples(**{**plain, "baseline": tuple(baseline), "now": tuple(now), **more})


def verdict(baseline: Any, now: Any, **more: Any) -> Verdict:
    return verdicts([samples(baseline, now, **more)])[0]


def times(factor: float, jitter: float = 0.01) -> list[float]:
    return [a * factor * (1 + jitter * (-1) ** k) for k, a in enumerate(A)]


def test_each_word() -> None:
    assert verdict(A, times(1.2)).word == "worse"
    assert verdict(A, times(1.2), better="higher").word == "better"
    assert verdict(A, times(0.8)).word == "better"
    assert verdict(A, times(1.001)).word == "equivalent"
    assert verdict(A, times(1.2), better="neither").word == "inconclusive"
    assert verdict(A, times(1.2, jitter=0.5)).word == "inconclusive"


def test_what_a_verdict_says() -> None:
    found = verdict(A, [1.2 * a for a in A])
    assert found.effect == pytest.approx(0.2)
    assert found.interval == pytest.approx((0.2, 0.2))
    assert found.p == found.p_adjusted == found.p_exact == 1 / 2**7
    assert (found.num_baseline, found.num_now, found.baseline) == (7, 7, 1.0)
    assert found.runs_needed is None


def test_an_effect_that_does_not_matter_is_equivalent_however_certain() -> None:
    found = verdict(A, times(1.02, jitter=0.001))
    assert found.p == 1 / 2**7
    assert found.word == "equivalent"
    assert verdict(A, times(1.02, jitter=0.001), min_effect=0.01).word == "worse"


def test_four_metrics_take_five_pairs() -> None:
    def words(k: int, **more: Any) -> set[str]:
        family = [samples(A[:k], times(1.3)[:k], metric=f"m{i}", **more) for i in range(4)]
        return {one.word for one in verdicts(family)}

    assert words(5) == {"worse"}
    assert words(4) == {"inconclusive"}
    assert words(5, better="higher") == {"better"}


def test_a_gap_stays_in_its_place() -> None:
    """The other metrics' differences of that pair keep changing sign with those of their own."""
    now = times(1.1, jitter=0.09)
    found = verdicts([samples([None, *A[1:]], now), samples(A, now, better="higher")])
    logs = [math.log(y / x) for x, y in zip(A, now, strict=True)]
    table = np.array([[0.0, *logs[1:]], logs]).T * [1.0, -1.0]
    assert found[0].p_adjusted == pytest.approx(jointly(table)[0])
    assert found[1].p_adjusted == pytest.approx(jointly(-table)[1])


@pytest.mark.parametrize("is_paired", [True, False])
def test_what_is_better_lends_nothing_to_what_is_worse(is_paired: bool) -> None:
    """By one list of both directions, what is far better would leave the other Holm's last rank."""
    a, b = (1.0, 1.1, 0.9, 1.05, 0.95), (1.07, 1.17, 1.02, 1.08, 1.1)
    better, worse = (
        samples(a, [x / 2 for x in a], is_paired=is_paired),
        samples(a, b, is_paired=is_paired),
    )
    alone, beside = verdicts([worse])[0], verdicts([better, worse])[1]
    assert alone.p_adjusted is not None
    assert beside.p_adjusted is not None
    if is_paired:
        assert beside.p_adjusted >= alone.p_adjusted
    else:
        assert beside.p_adjusted == 2 * alone.p_adjusted


def test_the_pairs_needed_are_enough_for_the_family() -> None:
    """What it takes by Student's t at the level of one of four is enough for the joint test."""
    rng, found = np.random.default_rng(20_265), 0
    needed = runs_needed(paired([0.02, 0.04, 0.08, 0.06]), 0.05, 0.05 / 4)
    assert needed is not None
    spread = paired([0.02, 0.04, 0.08, 0.06]).spread
    for _ in range(200):
        drawn = rng.normal(0, spread, (needed, 4))
        drawn[:, 0] += 0.05
        found += jointly(drawn)[0] <= 0.05
    assert found >= 150


def test_an_inconclusive_one_says_how_many_runs_it_takes() -> None:
    found = verdict(
        A, [a * x for a, x in zip(A, (1.3, 0.9, 1.2, 1.3, 0.95, 1.2, 1.0), strict=True)]
    )
    assert found.word == "inconclusive"
    assert found.runs_needed is not None
    assert 8 <= found.runs_needed <= 30


def test_zeros_have_no_logarithm() -> None:
    found = verdict([5.0, 6.0, 5.5, 5.0, 6.0], [0.0] * 5, better="higher")
    assert found.word == "worse"
    assert found.notes == (ZEROS,)
    nothing = verdict([0.0] * 5, [0.0] * 5, better="higher")
    assert (nothing.word, nothing.effect, nothing.notes) == ("equivalent", 0.0, ())


def test_shares_differ_by_points() -> None:
    found = verdict(
        [1.0, 1.0, 0.99, 1.0, 1.0], [0.9, 0.9, 0.89, 0.9, 0.9], better="higher", scale="difference"
    )
    assert found.word == "worse"
    assert found.effect == pytest.approx(-0.1)


def test_gaps_are_left_out_and_said() -> None:
    found = verdict([None, *A[1:]], [*times(1.2)[:-1], None])
    assert (found.num_baseline, found.num_now) == (5, 5)
    assert found.notes == (MISSING.format(4),)
    assert found.word == "worse"
    free = verdict([None, *A[1:]], times(1.5), is_paired=False)
    assert (free.num_baseline, free.num_now, free.word) == (6, 7, "worse")


@pytest.mark.parametrize("is_paired", [True, False])
@pytest.mark.parametrize("runs", [(), (None,), (1.0,)])
def test_one_run_a_side_is_not_enough(runs: tuple[float | None, ...], is_paired: bool) -> None:
    found = verdict(runs, runs, is_paired=is_paired)
    assert (found.word, found.effect, found.p) == ("inconclusive", None, None)
    assert TOO_FEW in found.notes


def test_a_look_may_spend_less_than_all() -> None:
    family = [samples(A, times(1.2))]
    assert verdicts(family, alpha=0.01)[0].word == "worse"
    assert verdicts(family, alpha=0.005)[0].word == "inconclusive"  # below 2^-7


@given(
    st.lists(st.tuples(st.floats(0.01, 100), st.floats(0.01, 100)), min_size=2, max_size=12),
    st.booleans(),
)
def test_sides_mirror_each_other(pairs: list[tuple[float, float]], is_paired: bool) -> None:
    a, b = zip(*pairs, strict=True)
    there, back = verdict(a, b, is_paired=is_paired), verdict(b, a, is_paired=is_paired)
    mirrored = {"better": "worse", "worse": "better"}
    assert back.word == mirrored.get(there.word, there.word)
    assert there.p == pytest.approx(back.p)
    assert there.interval is not None
    assert back.interval is not None
    assert 1 + there.interval[0] == pytest.approx(1 / (1 + back.interval[1]), rel=1e-6)


@given(st.lists(st.floats(0.01, 100), min_size=2, max_size=12), st.floats(1e-3, 1e3))
def test_the_unit_does_not_matter(values: list[float], unit: float) -> None:
    now = [x * (1.1 + 0.05 * (-1) ** k) for k, x in enumerate(values)]
    here = verdict(values, now)
    there = verdict([unit * x for x in values], [unit * x for x in now])
    assert here.word == there.word
    assert here.effect == pytest.approx(there.effect)


# --- how often it is wrong -------------------------------------------------------------------

REQUESTS, DRIFT, MEMORY = 600, 0.03, 0.9


def run_of(rng: np.random.Generator, slower: float, drift: float) -> tuple[float, float, float]:
    """(p50, p99, rate) of one run: requests share a queue (AR(1)), runs differ by their drift."""
    noise = rng.normal(0, math.sqrt(1 - MEMORY**2), REQUESTS)
    load = np.empty(REQUESTS)
    load[0] = rng.normal()
    for k in range(1, REQUESTS):
        load[k] = MEMORY * load[k - 1] + noise[k]
    ttft = np.exp(-1.0 + drift + 0.2 * load + rng.normal(0, 0.35, REQUESTS)) * slower
    return float(np.median(ttft)), float(np.quantile(ttft, 0.99)), 10 * math.exp(-drift)


def pair_set(rng: np.random.Generator, pairs: int, slower: float) -> tuple[Verdict, ...]:
    """Runs of both sides, with a family of four metrics; half of the drift is the pair's."""
    sides: tuple[list[Any], list[Any]] = ([], [])
    for _ in range(pairs):
        shared = rng.normal(0, DRIFT / math.sqrt(2))
        for side, factor in zip(sides, (1.0, slower), strict=True):
            drift = shared + rng.normal(0, DRIFT / math.sqrt(2))
            side.append((*run_of(rng, factor, drift), 0.02 * math.exp(rng.normal(0, 0.02))))
    names = ("ttft_p50", "ttft_p99", "request_rate", "tpot_p50")
    return verdicts(
        [
            samples(
                [one[at] for one in sides[0]],
                [one[at] for one in sides[1]],
                metric=name,
                better="higher" if name == "request_rate" else "lower",
            )
            for at, name in enumerate(names)
        ]
    )


def test_a_against_a_raises_few_alarms() -> None:
    rng = np.random.default_rng(20_261)
    alarms = sum(any(one.word == "worse" for one in pair_set(rng, 7, 1.0)) for _ in range(200))
    assert alarms <= 10  # 5 %


def test_a_tenth_is_found() -> None:
    rng = np.random.default_rng(20_262)
    found = sum(any(one.word == "worse" for one in pair_set(rng, 7, 1.1)) for _ in range(200))
    assert found >= 140  # 70 %
