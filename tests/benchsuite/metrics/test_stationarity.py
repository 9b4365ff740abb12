"""Steady or not."""

import numpy as np
import pytest

from benchsuite.metrics.stationarity import checks
from benchsuite.metrics.validity import Check
from tests.queues import simulate
from tests.runs import record, run


def queue(rate: float, n: int = 1500) -> dict[str, Check]:
    """What is said of an M/D/1 queue of that load."""
    found = simulate(rate, n, np.random.default_rng(3), is_constant=True)
    times = zip(found.arrived_s.tolist(), found.left_s.tolist(), strict=True)
    records = [
        record(i, due_s=due, chunks=((left - due, 1),)) for i, (due, left) in enumerate(times)
    ]
    window_s = (0.0, float(found.arrived_s[-1]))
    return {check.name: check for check in checks(run(*records, window_s=window_s))}


@pytest.mark.parametrize(("rate", "ok"), [(0.6, True), (1.2, False)])
def test_a_server_that_does_not_keep_up_is_told(rate: float, ok: bool) -> None:
    check = queue(rate)["backlog"]
    assert (check.ok, check.hard) == (ok, False)
    assert ("a longer run would be slower" in check.sentence) != ok


@pytest.mark.parametrize("slower_s", [0.0, 0.3])
def test_a_planted_warm_up_is_found_with_its_length(slower_s: float) -> None:
    """The first 60 of 400 requests, one a second, are slower."""
    noise = np.random.default_rng(1).uniform(0.18, 0.22, 400).tolist()
    data = run(
        *(
            record(i, chunks=((noise[i] + slower_s * (i < 60), 1),), finished_s=i + 1.0)
            for i in range(400)
        ),
        window_s=(0.0, 400.0),
    )
    check = {each.name: each for each in checks(data)}["warm_up"]
    assert check.ok == (slower_s == 0.0)
    if not check.ok:
        assert "limits.warmup to 60s" in check.sentence
        assert check.value == pytest.approx(1.5, abs=0.05)


def test_few_requests_and_closed_loops_say_nothing() -> None:
    assert checks(run(*(record(i) for i in range(20)))) == ()
    closed = run(*(record(i, due_s=None, sent_s=float(i)) for i in range(60)))
    assert [each.name for each in checks(closed)] == ["warm_up"]
