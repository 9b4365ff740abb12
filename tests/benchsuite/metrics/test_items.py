"""What an answer costs where a request asks for several."""

import numpy as np

from benchsuite.metrics import items
from benchsuite.metrics.items import calls_per_item, output_tokens_per_item, prompt_tokens_per_item
from tests.runs import failed, never_sent, record, run


def test_rounds_of_one_group_ask_for_the_same_items_again() -> None:
    rounds = [record(i, group=7, num_items=32, prompt_tokens=64) for i in range(5)]
    assert calls_per_item(run(*rounds))[0] == 5 / 32
    assert prompt_tokens_per_item(run(*rounds))[0] == 5 * 64 / 32
    apart = [record(i, num_items=32) for i in range(5)]
    assert calls_per_item(run(*apart))[0] == 1 / 32


def test_samples_of_an_answer_are_no_items() -> None:
    """Eight samples cost one call by `n` and eight as requests of a group; the item is one."""
    together = record(0, num_items=8 * 4, num_samples=8)
    assert calls_per_item(run(together))[0] == 1 / 4
    apart = [record(i, group=3, num_items=4) for i in range(8)]
    assert calls_per_item(run(*apart))[0] == 8 / 4
    assert items.lacks_items(run(record(0, num_items=8, num_samples=8))) is not None


def test_a_request_that_failed_is_a_call_and_answers_nothing() -> None:
    """What was never sent is no call; the warm-up counts for nothing."""
    data = run(
        record(0, num_items=4),  # in the warm-up
        record(1, num_items=4, chunks=((0.2, 6), (0.3, 2))),
        record(2),
        failed(3, num_items=4),
        never_sent(4),
        window_s=(1.0, 11.0),
    )
    assert items.num_items(data) == 5
    assert calls_per_item(data)[0] == 3 / 5
    assert output_tokens_per_item(data)[0] == (8 + 4) / 5


def test_metrics_per_item_are_absent_where_each_request_asks_for_one() -> None:
    """They would say what those per request say."""
    assert items.lacks_items(run(record(0))) == "no request asked several questions"
    assert items.lacks_items(run(record(0), record(1, num_items=2))) is None
    assert np.isnan(calls_per_item(run(failed(0, num_items=2)))).all()
