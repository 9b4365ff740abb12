"""Which runs are worth having."""

from typing import Any

import numpy as np
import pytest

from benchsuite.errors import RunError
from benchsuite.results.frontier import Measured, frontier, measured, throughput
from tests.runs import record, run


def _run(
    name: str, rate: float, accuracy: float, tokens: int = 100, num: int = 400, seed: int = 1
) -> Measured:
    """Questions of growing difficulty: the first ones are right."""
    rng = np.random.default_rng(seed)
    is_right = np.arange(num) < round(accuracy * num)
    return Measured(
        name, name.split("-")[0], rate, np.arange(num), is_right,
        rng.integers(tokens // 2, tokens * 3 // 2, num),
    )  # fmt: skip


PARENT = [_run("p-low", 8.0, 0.6), _run("p-mid", 4.0, 0.7), _run("p-high", 2.0, 0.8)]


def test_a_dominated_run_is_not_on_the_frontier() -> None:
    """One as accurate and slower is not; one faster than all is, whatever its accuracy."""
    runs = [*PARENT, _run("c-mid", 3.0, 0.7), _run("c-low", 20.0, 0.1)]
    found = {point.name: point for point in frontier(runs, "p-mid").points}
    assert found["c-mid"].dominated_by == ("p-mid",)
    assert [name for name, point in found.items() if point.is_on_frontier] == [
        "p-low", "p-mid", "p-high", "c-low",
    ]  # fmt: skip


def test_a_curve_is_held_against_another_between_its_points() -> None:
    """Half as fast again at every accuracy: 1.5 times where both reach, nothing beyond."""
    child = [_run("c-low", 12.0, 0.6), _run("c-mid", 6.0, 0.7)]
    gaps = {gap.at: gap for gap in frontier([*PARENT, *child], "p-mid").gaps}
    for at in ("p-low", "p-mid"):
        assert gaps[at].faster == pytest.approx(1.5)
        assert gaps[at].faster_ci is not None
    assert gaps["p-high"].faster is None, "no point of the curve is so accurate"
    assert gaps["p-low"].more_accurate == pytest.approx(0.7 - 0.1 / 3 - 0.6)
    assert gaps["p-mid"].more_accurate is None, "no point of the curve is so slow"


def test_the_interval_is_over_prompts_and_paired() -> None:
    """Two runs that answer the same questions right differ in nothing, however few they are; 400
    questions do not tell 0.70 from 0.72 of one run."""
    twin = _run("c-mid", 4.0, 0.7)
    found = frontier([*PARENT, twin], "p-mid")
    point = next(point for point in found.points if point.name == "c-mid")
    assert point.relative_rate_ci == pytest.approx((1.0, 1.0))
    low, high = point.accuracy_ci or (0.0, 0.0)
    assert 0.6 < low < 0.7 < 0.72 < high < 0.8


def test_rates_and_right_answers_per_second() -> None:
    found = frontier(PARENT, "p-mid")
    high = next(point for point in found.points if point.name == "p-high")
    assert high.relative_rate == 0.5
    assert high.correct_rate == pytest.approx(1.6)
    assert high.tokens_per_correct == pytest.approx(high.tokens_per_answer / 0.8)


def test_a_run_is_measured_by_its_graded_answers() -> None:
    records = [record(i, correct=i % 2 == 0) for i in range(8)] + [record(8)]
    found = measured("run", "m", run(*records, window_s=(0.0, 9.0)))
    assert found.request_rate == pytest.approx(1.0)
    assert found.is_right.tolist() == [True, False] * 4
    assert found.prompt.tolist() == list(range(8))


@pytest.mark.parametrize(
    ("fields", "words"),
    [({}, "no answer was graded"), ({"correct": True, "must_reach_asked": True}, "natural ends")],
)
def test_what_has_no_place_on_it_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(RunError, match=words):
        measured("run", "m", run(record(0, **fields)))


def test_the_baseline_is_one_of_the_runs() -> None:
    with pytest.raises(RunError, match="not among the runs"):
        frontier(PARENT, "p-huge")


def test_relative_request_rate_by_the_throughput_at_demanded_lengths() -> None:
    """Twice the tokens/s and half the tokens of an answer: four times the requests/s, as the same
    questions are drawn for both. How the natural run compares with that stands beside it."""
    child = _run("c-mid", 10.0, 0.7, tokens=50)
    found = frontier([*PARENT, child], "p-mid", {"p": 400.0, "c": 800.0})
    points = {point.name: point.of_throughput for point in found.points}
    parent, of = points["p-mid"], points["c-mid"]
    assert parent is not None
    assert of is not None
    assert parent.relative_rate == 1.0
    tokens = child.tokens.mean()
    assert of.request_rate == pytest.approx(800.0 / tokens)
    assert of.relative_rate == pytest.approx(2 * PARENT[1].tokens.mean() / tokens)
    assert of.relative_rate == pytest.approx(4.0, rel=0.02)
    assert of.relative_rate_ci is not None
    assert of.relative_rate_ci[0] < of.relative_rate < of.relative_rate_ci[1]
    assert of.natural == pytest.approx(10.0 / (800.0 / tokens))


def test_a_throughput_of_the_baseline_is_needed_for_a_ratio() -> None:
    found = frontier([*PARENT, _run("c-mid", 6.0, 0.7)], "p-mid", {"c": 800.0})
    points = {point.name: point.of_throughput for point in found.points}
    assert points["p-mid"] is None
    assert points["c-mid"] is not None
    assert points["c-mid"].relative_rate is None
    with pytest.raises(RunError, match="a throughput of x, of which there is no graded run"):
        frontier(PARENT, "p-mid", {"x": 1.0})


def test_a_throughput_is_of_demanded_lengths() -> None:
    """Natural ends and demanded lengths are never mixed."""
    asked = [record(i, must_reach_asked=True) for i in range(4)]
    assert throughput("fixed", run(*asked, window_s=(0.0, 4.0))) == pytest.approx(4.0)
    for records in ([*asked, record(4)], []):
        with pytest.raises(RunError, match="fixed: answers ended where the model wanted"):
            throughput("fixed", run(*records))
