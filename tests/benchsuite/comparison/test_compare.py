"""What is said of sides: by runs, never by requests; mirrored when the sides change places."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchsuite.comparison.compare import FEW_PAIRS, Comparison, compare, overall, paired, quantity
from benchsuite.comparison.sides import Side
from benchsuite.comparison.words import headline
from benchsuite.errors import ScenarioError
from tests.benchsuite.comparison.sides_of import run, side

MIRROR = {"worse": "better", "better": "worse"}
noisy = st.lists(st.floats(0.01, 10.0), min_size=1, max_size=9)


def words(found: Comparison) -> dict[str, str]:
    return {row.verdict.metric: row.verdict.word for row in found.against[0].rows}


@given(noisy, noisy, st.booleans())
def test_changing_places_mirrors_every_verdict(a: list[float], b: list[float], same: bool) -> None:
    """What is worse one way is better the other; the rest is the same both ways."""
    if same:
        b = (b * 9)[: len(a)]
    one, other = side("a", a), side("b", b, first_seed=1 if same else 100)
    there, back = words(compare([one, other], ())), words(compare([other, one], ()))
    assert back == {metric: MIRROR.get(word, word) for metric, word in there.items()}


@given(noisy)
@example([1.0, 1.0])  # logarithms of 0: no spread, and nothing to measure it by
def test_a_side_is_never_better_or_worse_than_itself(values: list[float]) -> None:
    found = compare([side("a", values), side("a", values)], ())
    assert set(words(found).values()) <= {"equivalent", "inconclusive"}
    free = compare([side("a", values), side("a", values, first_seed=100)], ())
    assert set(words(free).values()) <= {"equivalent", "inconclusive"}


@given(st.floats(0.001, 100.0), st.floats(0.001, 100.0))
def test_one_run_a_side_is_inconclusive_however_far_apart(a: float, b: float) -> None:
    found = compare([side("a", [a]), side("b", [b])], ())
    assert found.word == "inconclusive"
    assert set(words(found).values()) == {"inconclusive"}
    assert "nothing here is better or worse" in found.against[0].notes[0]


def test_one_run_against_many_is_inconclusive_too() -> None:
    """How far runs of the one side differ is not known."""
    found = compare([side("a", [1.0, 1.01, 0.99, 1.0]), side("b", [9.0])], ())
    assert found.word == "inconclusive"
    assert "give it another run" in found.against[0].notes[0]
    assert "one run of a side" in headline(found.against[0])


@pytest.mark.parametrize("first_seed", [1, 100])
def test_five_and_five_find_a_fifth(first_seed: int) -> None:
    """Paired or not: five pairs could not pass Holm over four metrics by signs alone."""
    a = side("a", [0.100, 0.103, 0.098, 0.101, 0.099])
    b = side("b", [0.121, 0.122, 0.118, 0.120, 0.119], first_seed=first_seed)
    found = compare([a, b], ())
    assert words(found) == dict.fromkeys(words(found), "worse")
    assert (FEW_PAIRS in found.against[0].notes) == (first_seed == 1)
    effect = found.against[0].rows[0].verdict.effect
    assert effect is not None
    assert math.isclose(effect, 0.2, abs_tol=0.02)


def test_runs_of_equal_seeds_are_pairs_in_any_order() -> None:
    a, b = side("a", [1.0, 2.0, 3.0]), side("b", [1.0, 2.0, 3.0])
    found = paired(a, Side("b", b.runs[::-1]))
    assert found is not None
    assert [one.name for one in found[1]] == ["b/0", "b/1", "b/2"]
    assert paired(a, side("b", [1.0, 2.0, 3.0], first_seed=2)) is None
    twice = Side("b", (b.runs[0], b.runs[0], b.runs[2]))
    assert paired(a, twice) is None


def test_a_metric_that_nobody_has_is_an_error() -> None:
    with pytest.raises(ScenarioError, match="no run has a metric 'tttf'"):
        compare([side("a", [1.0]), side("b", [1.0])], (), metrics=["tttf_p50"])


def test_the_tail_is_one_that_every_run_has_requests_enough_for() -> None:
    few = Side("a", (run("a", {"ttft_p50": 1.0, "ttft_p95": 2.0, "tpot_p50": 0.1}),))
    found = compare([few, few], ())
    assert [row.verdict.metric for row in found.against[0].rows][:2] == ["ttft_p50", "ttft_p95"]


def test_each_further_side_is_held_against_the_first() -> None:
    a, same = [1.0, 1.01, 0.99, 1.0, 1.02, 0.98], [1.0, 1.0, 1.01, 0.99, 0.98, 1.02]
    found = compare([side("a", a), side("b", same), side("c", [2 * x for x in a])], ())
    assert [one.word for one in found.against] == ["equivalent", "worse"]
    assert found.word == "worse"


def test_overall() -> None:
    assert overall(["equivalent", "better", "inconclusive"]) == "better"
    assert overall(["better", "worse"]) == "worse"
    assert overall(["equivalent", "inconclusive"]) == "inconclusive"
    assert overall([]) == "inconclusive"


def test_names_of_quantities() -> None:
    assert quantity("ttft_p99") == ("ttft", "p99")
    assert quantity("output_token_rate") == ("output_token_rate", "mean")
    assert quantity("ttft_mean").name == "ttft"
