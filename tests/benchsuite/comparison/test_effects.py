"""Effects against worked examples, exact counts, and what has to hold whatever the numbers."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsuite.comparison.effects import (
    Effect,
    holm,
    jointly,
    paired,
    runs_needed,
    sign_flip,
    unpaired,
)

# Darwin's maize: heights of crossed less self-fertilised plants, in eighths of an inch; Fisher 1935
DARWIN = (49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48)
NUMBERS = st.floats(-1e3, 1e3).filter(lambda x: x == 0 or abs(x) > 1e-6)
PAIRS = st.lists(NUMBERS, min_size=2, max_size=9)
FAMILIES = st.tuples(st.integers(1, 5), st.integers(1, 3)).flatmap(
    lambda shape: st.lists(
        st.lists(NUMBERS, min_size=shape[1], max_size=shape[1]),
        min_size=shape[0],
        max_size=shape[0],
    )
)


def test_fisher_s_own_example() -> None:
    """Fisher counted 863 of 32,768 assignments of signs at 314 or more; Student's t is 2.148."""
    assert sign_flip(DARWIN) == 863 / 2**15
    assert sign_flip(DARWIN, two_sided=True) == 2 * 863 / 2**15
    found = paired(DARWIN)
    assert found.centre / found.error == pytest.approx(2.148, abs=5e-4)
    assert 2 * found.p_above() == pytest.approx(0.0497, abs=5e-5)
    assert found.estimate == 24
    assert found.interval(0.95) == pytest.approx((0.03, 41.84), abs=0.01)


def test_welch_as_published() -> None:
    """NIST/SEMATECH e-Handbook, 1.3.5.3 style: two small samples, by scipy's own numbers."""
    stats = pytest.importorskip("scipy.stats")
    a, b = (27.5, 21.0, 19.0, 23.6, 17.0, 17.9), (27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8)
    oracle = stats.ttest_ind(b, a, equal_var=False, alternative="greater")
    found = unpaired(a, b)
    assert found.degrees == pytest.approx(oracle.df)
    assert found.p_above() == pytest.approx(oracle.pvalue)
    assert found.interval(0.9)[0] == pytest.approx(oracle.confidence_interval(0.95).low)


def test_no_p_is_less_than_an_exact_test_could_give() -> None:
    assert paired([1.0, 1.0, 1.0]).p_above() == 1 / 8
    assert paired([1.0, 1.0001, 1.0, 0.9999]).p_above() == 1 / 16
    assert unpaired([1.0, 1.0], [2.0, 2.0]).p_above() == 1 / 6


def test_nothing_differs() -> None:
    found = paired([0.0, 0.0, 0.0])
    assert (found.p_above(), found.p_below(), found.p_exact) == (1.0, 1.0, 1.0)
    assert found.interval(0.95) == (0.0, 0.0)
    assert found.p_outside(-0.1, 0.1) == 1 / 8


@given(PAIRS)
def test_the_exact_test_counts_assignments(differences: list[float]) -> None:
    seen = sum(differences)
    sums = [
        sum(s * d for s, d in zip(signs, differences, strict=True))
        for signs in product((1, -1), repeat=len(differences))
    ]
    slack = 1e-9 * sum(map(abs, differences))
    assert sign_flip(differences) == sum(x >= seen - slack for x in sums) / len(sums)


@given(PAIRS)
def test_the_sides_mirror_each_other(differences: list[float]) -> None:
    there, back = paired(differences), paired([-x for x in differences])
    assert there.estimate == -back.estimate
    assert there.p_above(0.5) == back.p_below(-0.5)
    low, high = there.interval(0.9)
    assert back.interval(0.9) == pytest.approx((-high, -low))


@given(PAIRS, st.floats(0.5, 0.99))
def test_the_interval_is_what_the_test_does_not_refuse(pairs: list[float], level: float) -> None:
    found = paired(pairs)._replace(least_p=0.0)
    if found.error:
        low, high = found.interval(level)
        assert found.p_above(low) == pytest.approx((1 - level) / 2, abs=1e-6)
        assert found.p_below(high) == pytest.approx((1 - level) / 2, abs=1e-6)


def test_many_pairs_are_drawn_and_not_counted() -> None:
    differences = [(-1.0) ** k * (k % 7) for k in range(40)]
    n, seen = len(differences), sum(differences)
    spread = math.sqrt(sum(x * x for x in differences))
    normal = 0.5 * math.erfc(seen / spread / math.sqrt(2))
    assert n > 16
    assert sign_flip(differences) == pytest.approx(normal, abs=0.02)
    assert sign_flip(differences) == sign_flip(differences)
    assert sign_flip([1.0] * 40) == 1 / 2**15


@given(PAIRS)
def test_one_metric_jointly_is_the_test_of_signs(differences: list[float]) -> None:
    assert jointly(np.array([differences]).T) == [sign_flip(differences)]


@given(PAIRS, st.floats(1e-2, 1e2))
def test_metrics_that_say_the_same_cost_nothing(differences: list[float], unit: float) -> None:
    alike = np.array([differences, differences, [unit * x for x in differences]]).T
    assert jointly(alike) == [sign_flip(differences)] * 3


@given(FAMILIES)
def test_the_joint_test_counts_assignments(rows: list[list[float]]) -> None:
    """Metric by metric from the largest statistic, against those that are left, as defined."""
    pairs, metrics = range(len(rows)), range(len(rows[0]))
    roots = [math.sqrt(sum(row[m] ** 2 for row in rows)) or 1.0 for m in metrics]

    def sums(signs: tuple[int, ...]) -> list[float]:
        return [sum(signs[k] * rows[k][m] for k in pairs) / roots[m] for m in metrics]

    seen = sums((1,) * len(rows))
    every = [sums(signs) for signs in product((1, -1), repeat=len(rows))]
    left, highest, expected = set(metrics), 0.0, dict[int, float]()
    while left:
        largest = max(left, key=seen.__getitem__)
        as_large = sum(max(one[m] for m in left) >= seen[largest] - 1e-9 for one in every)
        highest = expected[largest] = max(highest, as_large / len(every))
        left.remove(largest)
    found = jointly(np.array(rows))
    near = sorted(abs(max(one) - x) for one in every for x in seen)
    if all(not 1e-12 < gap < 1e-7 for gap in near):  # where rounding does not decide
        assert found == [pytest.approx(expected[m]) for m in metrics]
    alone = [sign_flip([row[m] for row in rows]) for m in metrics]
    assert all(p >= least for p, least in zip(found, alone, strict=True))


@given(FAMILIES, st.lists(NUMBERS, min_size=5, max_size=5), st.sampled_from([1, 2, 4, 8]))
def test_the_family_holds_whatever_else_changed(
    rows: list[list[float]], moved: list[float], num: int
) -> None:
    """Over all the ways in which the unchanged metrics could have fallen, at most alpha of them
    raise an alarm in any of these, with a changed metric beside them."""
    unchanged = np.array(rows)
    pairs, alpha = len(rows), num / 2 ** len(rows)
    alarms = 0
    for signs in product((1.0, -1.0), repeat=pairs):
        fallen = unchanged * np.array(signs)[:, None]
        told = jointly(np.column_stack((moved[:pairs], fallen)))
        alarms += min(told[1:]) <= alpha
    assert alarms <= num


def test_nothing_to_test_jointly() -> None:
    assert jointly(np.empty((7, 0))) == []
    assert jointly(np.empty((0, 2))) == [1.0, 1.0]
    assert jointly(np.zeros((4, 2))) == [1.0, 1.0]


def test_holm_as_published() -> None:
    """Holm's example, as Wikipedia and R's p.adjust give it."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=6))
def test_holm_raises_and_keeps_the_order(p: list[float]) -> None:
    found = holm(p)
    assert all(a <= b <= min(1, len(p) * a + 1e-12) for a, b in zip(p, found, strict=True))
    order = sorted(range(len(p)), key=p.__getitem__)
    assert [found[k] for k in order] == sorted(found)


def test_runs_needed_are_enough_and_no_fewer() -> None:
    """scipy's noncentral t: the power of a paired test at n and at n - 1."""
    stats = pytest.importorskip("scipy.stats")
    effect = paired([0.02, -0.01, 0.03, 0.0, 0.05])
    for size, alpha in ((0.02, 0.05), (0.05, 0.0125), (0.01, 0.05)):
        n = runs_needed(effect, size, alpha)
        assert n is not None

        def power(n: int, size: float = size, alpha: float = alpha) -> float:
            shift = size / effect.spread * math.sqrt(n)
            return float(stats.nct.sf(stats.t.isf(alpha, n - 1), n - 1, shift))

        assert power(n) > 0.77
        assert power(n - 2) < 0.8 or 0.5 ** (n - 1) > alpha


def test_some_effects_take_too_many_runs() -> None:
    effect = paired([1.0, -1.0])
    assert runs_needed(effect, 1e-4, 0.05) is None
    assert runs_needed(effect, 0.0, 0.05) is None
    assert runs_needed(effect._replace(spread=0.0), 0.1, 0.05) == 5  # 2^-5 <= 0.05 < 2^-4
    assert runs_needed(effect._replace(spread=0.0), 0.1, 0.0125) == 7


@given(PAIRS)
def test_an_effect_is_within_wider_bounds_more_surely(differences: list[float]) -> None:
    found: Effect = paired(differences)
    assert found.p_outside(-1, 1) >= found.p_outside(-2, 2)
