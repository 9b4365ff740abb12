"""Numbers of papers on what an answer takes: request-level efficiency, trials, batches."""

from itertools import combinations

import numpy as np
import pytest

from benchsuite.metrics.answers import coverage
from benchsuite.metrics.items import calls_per_item
from benchsuite.results.frontier import relative_request_rate
from tests.runs import record, run


def test_v13_puzzle_twice_the_throughput_and_twice_the_tokens_is_no_gain() -> None:
    """Puzzle (arXiv:2602.11937): relative request rate 1.0; at 1.63 times the throughput and 1.26
    times the tokens 1.294."""
    assert relative_request_rate(2.0, 2.0, 1.0, 1.0) == 1.0
    assert relative_request_rate(1.63, 1.26, 1.0, 1.0) == pytest.approx(1.294, abs=5e-4)


@pytest.mark.parametrize(("num_right", "n"), [(0, 1), (1, 1), (2, 3), (3, 2), (5, 4), (6, 6)])
def test_kinetics_coverage_is_the_share_of_draws_with_a_right_one(num_right: int, n: int) -> None:
    """Kinetics (arXiv:2506.05333): 1 - C(N - c, n) / C(N, n), against all draws of n of 6."""
    trials = [True] * num_right + [False] * (6 - num_right)
    draws = [any(draw) for draw in combinations(trials, n)]
    found = coverage(np.array([num_right]), np.array([6]), n)
    assert found[0] == pytest.approx(np.mean(draws))


def test_v28_batch_prompt_five_rounds_of_votes_on_32_items() -> None:
    """BatchPrompt (arXiv:2309.00384): one call answers 32 items, five rounds vote: 0.156 calls an
    item."""
    rounds = [record(i, group=1, num_items=32) for i in range(5)]
    assert calls_per_item(run(*rounds))[0] == pytest.approx(0.156, abs=5e-4)
