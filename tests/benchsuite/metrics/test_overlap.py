"""What runs beside what, and what others' prefills cost."""

from typing import Any

import numpy as np
import pytest

from benchsuite.metrics.overlap import (
    decode_concurrency,
    in_decode,
    in_prefill,
    interference,
    lacks_contrast,
    means_between,
    prefill_concurrency,
)
from benchsuite.records.table import RunData
from tests.runs import failed, record, run

STEP_S, STALL_S = 0.02, 0.3


def _step_server(stall_s: float, seed: int = 1, noise: float = 0.1, rate: float = 1.0) -> RunData:
    """Runs in steps: a step decodes one token of everybody, and takes `stall_s` more if prompts
    came in before it; their first tokens come with its end."""
    rng = np.random.default_rng(seed)
    due_s = np.cumsum(rng.exponential(1 / rate, 150))
    tokens: list[list[float]] = [[] for _ in due_s]
    lengths = rng.integers(20, 80, len(due_s))
    now_s, waiting, running = 0.0, 0, list[int]()
    while waiting < len(due_s) or running:
        if not running and waiting < len(due_s):
            now_s = max(now_s, float(due_s[waiting]))
        came = int(np.searchsorted(due_s, now_s, side="right"))
        fresh, waiting = list(range(waiting, came)), came
        now_s += STEP_S * rng.normal(1, noise) + stall_s * bool(fresh)
        for i in running + fresh:
            tokens[i].append(now_s)
        running = [i for i in running + fresh if len(tokens[i]) < lengths[i]]
    records: list[Any] = []
    for i, at_s in enumerate(tokens):
        chunks = tuple((one - float(due_s[i]), 1) for one in at_s)
        records.append(record(i, due_s=float(due_s[i]), chunks=chunks))
    return run(*records, window_s=(0.0, float(due_s[-1])))


def test_planted_interference_is_recovered() -> None:
    """Each prefill adds 0.3 s to the gaps of all that decode: found within 5 %, inside the
    interval; the share is what was added over all."""
    found = interference(_step_server(STALL_S))
    assert found.extra_s == pytest.approx(STALL_S, rel=0.05)
    low, high = found.extra_ci or (0.0, 0.0)
    assert low <= STALL_S <= high
    mean_s = STEP_S + found.exposed * STALL_S
    assert found.share == pytest.approx(found.exposed * STALL_S / mean_s, rel=0.05)


@pytest.mark.parametrize("seed", range(4))
def test_without_interference_none_is_found(seed: int) -> None:
    """Long gaps are more often beside a prefill, but not because of it."""
    found = interference(_step_server(0.0, seed, noise=0.3, rate=4.0))
    low, high = found.extra_ci or (1.0, 1.0)
    assert low <= 0.0015
    assert high >= -0.0015
    assert abs(found.extra_s) < 0.1 * STEP_S


def test_both_kinds_of_gaps_are_needed() -> None:
    alone = run(record(0, chunks=tuple((0.01 * k, 1) for k in range(1, 300))))
    assert lacks_contrast(alone) == "0 gaps with a prefill in flight; it takes 100"
    assert "0 gaps with a" in (lacks_contrast(run()) or "")


def test_concurrency_is_the_time_spent_in_a_phase() -> None:
    """Little's law: the sum of all durations over the length of the window."""
    data = run(
        record(0, due_s=0.0, chunks=((1.0, 1), (4.0, 1))),
        record(1, due_s=2.0, chunks=((1.0, 1), (4.0, 1))),
        failed(2, due_s=8.0, finished_s=9.0),
        window_s=(0.0, 10.0),
    )
    assert prefill_concurrency(data).tolist() == pytest.approx([0.3])
    assert decode_concurrency(data).tolist() == pytest.approx([0.6])
    half = run(record(0, due_s=0.0, chunks=((1.0, 1), (4.0, 1))), window_s=(2.0, 3.0))
    assert decode_concurrency(half).tolist() == pytest.approx([1.0])
    assert np.isnan(decode_concurrency(run(window_s=(1.0, 1.0)))[0])


def test_concurrency_over_time_is_exact_between_any_edges() -> None:
    """A phase counts for as long as it lasted in each interval, however short; before the first
    and after the last there is nobody."""
    data = run(
        record(0, due_s=0.0, chunks=((1.0, 1), (4.0, 1))),
        record(1, due_s=2.0, chunks=((1.0, 1), (4.0, 1))),
    )
    edges_s = np.array([-1.0, 0.0, 0.5, 3.0, 4.0, 6.0, 9.0])
    assert means_between(in_prefill(data), edges_s) == pytest.approx([0, 1, 0.6, 0, 0, 0])
    assert means_between(in_decode(data), edges_s) == pytest.approx([0, 0, 0.8, 2, 1, 0])
    assert means_between(in_decode(run()), edges_s).tolist() == [0.0] * 6
