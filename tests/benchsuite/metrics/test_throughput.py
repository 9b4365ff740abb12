"""Rates: what happened inside the window, whenever it was asked for."""

import numpy as np
import pytest

from benchsuite.metrics import throughput
from tests.runs import failed, record, run


def test_request_rate_counts_answers_that_ended_inside_the_window() -> None:
    """Not those that merely began there; the end itself lies outside."""
    data = run(
        record(0, due_s=0.0, finished_s=9.9),  # ended before
        record(1, due_s=1.0, finished_s=10.0),  # began before, ended inside
        record(2, due_s=12.0, finished_s=19.0),
        record(3, due_s=19.0, finished_s=20.0),  # ended at its end
        failed(4, due_s=12.0, finished_s=13.0),
        window_s=(10.0, 20.0),
    )
    assert throughput.request_rate(data)[0] == pytest.approx(0.2)


def test_output_token_rate_counts_tokens_that_arrived_inside_the_window() -> None:
    chunks = ((1.0, 1), (4.0, 2), (5.0, 4), (8.0, 8))
    data = run(
        record(0, due_s=1.0, chunks=chunks),  # at 2, 5, 6, 9 s
        failed(1, due_s=1.0, chunks=chunks),  # nobody was served by these
        window_s=(5.0, 9.0),
    )
    assert throughput.output_token_rate(data)[0] == pytest.approx(6 / 4)


def test_total_token_rate_adds_prompts_whose_first_token_came_inside() -> None:
    data = run(
        record(0, due_s=0.0, chunks=((1.0, 1), (6.0, 1)), prompt_tokens=100),
        record(1, due_s=4.0, chunks=((2.0, 1), (9.0, 1)), prompt_tokens=1000),
        window_s=(5.0, 10.0),
    )
    assert throughput.total_token_rate(data)[0] == pytest.approx((1000 + 2) / 5)


@pytest.mark.parametrize("window_s", [(5.0, 5.0), (5.0, 4.0)])
def test_a_window_without_length_has_no_rate(window_s: tuple[float, float]) -> None:
    data = run(record(0), window_s=window_s)
    for rate in (throughput.request_rate, throughput.output_token_rate):
        assert np.isnan(rate(data)).tolist() == [True]


def test_nothing_answered_is_a_rate_of_zero() -> None:
    assert throughput.output_token_rate(run(failed(0))).tolist() == [0.0]


def test_lengths_are_what_was_achieved() -> None:
    data = run(record(0, server_prompt_tokens=12, chunks=((0.1, 3), (0.2, 4))))
    assert throughput.prompt_tokens(data).tolist() == [12.0]
    assert throughput.output_tokens(data).tolist() == [7.0]
