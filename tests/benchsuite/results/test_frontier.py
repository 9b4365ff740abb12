"""Which runs are worth having."""

from typing import Any

import numpy as np
import pytest

from benchsuite.errors import RunError
from benchsuite.results.frontier import Measured, frontier, measured
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
