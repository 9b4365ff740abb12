"""Lines of latency over length, and a gamma from the endpoint's own."""

import numpy as np
import pytest

from benchsuite.metrics import fits
from benchsuite.metrics.long_context import (
    gamma_interval,
    gamma_measured,
    lacks_contexts,
    lacks_prompts,
    slope_interval,
    tpot_overhead,
    tpot_per_context_token,
    tpot_slope_interval,
    ttft_overhead,
    ttft_per_prompt_token,
)
from benchsuite.metrics.summaries import summaries
from benchsuite.records.table import RunData
from tests.runs import record, run

PREFILL_S, DECODE_S = 100e-6, 400e-9  # per prompt token; per output token and context token


def _run(num: int = 200, noise: float = 0.02, longest: int = 8000) -> RunData:
    """A server with 50 ms and 20 ms of overhead, and those slopes."""
    rng = np.random.default_rng(1)
    records = []
    for i, prompt in enumerate(rng.integers(100, longest, num)):
        first_s = (0.05 + PREFILL_S * prompt) * rng.normal(1, noise)
        gap_s = (0.02 + DECODE_S * (prompt + 10)) * rng.normal(1, noise)
        chunks = tuple((float(first_s + gap_s * k), 1) for k in range(20))
        records.append(record(i, prompt_tokens=int(prompt), chunks=chunks))
    return run(*records)


def test_planted_slopes_are_found() -> None:
    """Within 2 %, and inside their intervals."""
    data = _run()
    assert ttft_per_prompt_token(data)[0] == pytest.approx(PREFILL_S, rel=0.02)
    assert ttft_overhead(data)[0] == pytest.approx(0.05, rel=0.1)
    assert tpot_per_context_token(data)[0] == pytest.approx(DECODE_S, rel=0.05)
    assert tpot_overhead(data)[0] == pytest.approx(0.02, rel=0.02)
    for interval, true in ((slope_interval, PREFILL_S), (tpot_slope_interval, DECODE_S)):
        low, high = interval(data) or (0.0, 0.0)
        assert low <= true <= high


def test_gamma_is_the_ratio_of_the_slopes() -> None:
    """0.4 us over 100 us."""
    data = _run()
    assert gamma_measured(data)[0] == pytest.approx(DECODE_S / PREFILL_S, rel=0.05)
    low, high = gamma_interval(data) or (0.0, 0.0)
    assert low <= 0.004 <= high
    assert high < 2 * low


def test_cached_tokens_cost_no_prefill() -> None:
    data = _run()
    half = run(
        *(
            record(i, prompt_tokens=1000 + 10 * i, cached_tokens=10 * i, chunks=((0.15, 1),))
            for i in range(30)
        )
    )
    assert lacks_prompts(data) is None
    assert "too alike" in (lacks_prompts(half) or "")


def test_too_few_or_too_alike_are_absent() -> None:
    assert lacks_prompts(_run(19)) == "19 answers; a line takes 20"
    assert "too alike" in (lacks_contexts(_run(50, longest=150)) or "")
    assert summaries((), _run(19)) == {}


def test_a_line_is_least_squares() -> None:
    """As numpy's, with numbers far from zero too."""
    rng = np.random.default_rng(2)
    x = rng.normal(1e6, 10, 50)
    y = 3 * x - 7 + rng.normal(0, 1, 50)
    found = fits.line(x, y, np.arange(50), 50)
    slope, intercept = np.polyfit(x - 1e6, y, 1)
    assert found is not None
    assert found.slope == pytest.approx(slope)
    assert found.intercept == pytest.approx(intercept - slope * 1e6, rel=1e-6)
    assert fits.correlation(x, y) == pytest.approx(np.corrcoef(x, y)[0, 1])


def test_without_variation_there_is_no_line() -> None:
    same = np.ones(5)
    assert fits.line(same, np.arange(5.0), np.arange(5), 5) is None
    assert np.isnan(fits.correlation(same, np.arange(5.0)))
    assert fits.line(np.empty(0), np.empty(0), np.empty(0, dtype=np.int64), 0) is None
