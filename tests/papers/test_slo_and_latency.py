"""Numbers and identities of papers and rules that the metrics must reproduce."""

from dataclasses import replace

import numpy as np
import pytest

from benchsuite.metrics.attainment import attainment
from benchsuite.metrics.early_stopping import may_stop, requests_needed
from benchsuite.metrics.latency import tpot, ttft, ttft_sent
from benchsuite.metrics.slo import Slo
from benchsuite.metrics.statistics import wilson
from tests.runs import record, run


def test_v6_distserve_joint_attainment_is_not_the_marginal() -> None:
    """DistServe (OSDI'24) counts a request only if TTFT and TPOT both hold: of ten requests one
    misses TTFT and another TPOT, so both marginals are 90 % and the joint share is 80 %."""
    slow_start, slow_tokens = ((0.6, 1), (0.65, 1)), ((0.2, 1), (0.4, 1))
    good = ((0.2, 1), (0.25, 1))
    chunks = [slow_start, slow_tokens, *[good] * 8]
    data = run(*(record(i, chunks=each) for i, each in enumerate(chunks)))
    found = attainment(data, {"default": Slo(ttft=0.5, tpot=0.1)})["default"]
    assert found.share == 0.8
    assert [target.share for target in found.slos.values()] == [0.9, 0.9]


@pytest.mark.parametrize(
    ("met", "num", "low", "high"),
    [(90, 100, 0.826, 0.945), (270, 300, 0.861, 0.929), (900, 1000, 0.880, 0.917)],
)
def test_v8_wilson_interval_of_a_90_percent_reading(
    met: int, num: int, low: float, high: float
) -> None:
    """Wilson (JASA 1927): what 90 % means with the sample sizes that serving papers use."""
    assert wilson(met, num) == pytest.approx((low, high), abs=6e-4)


def test_v25_apex_tpot_with_the_first_token_in_it_flips_an_slo() -> None:
    """APEX (arXiv:2411.17651) averages all latencies, the first token's with them: 0.3667 s per
    token where the true TPOT is 0.05 s, so a limit of 0.1 s is missed there and met here."""
    latencies_s = np.array([1.0, 0.05, 0.05])
    data = run(record(0, chunks=tuple((float(at), 1) for at in latencies_s.cumsum())))
    assert latencies_s.mean() == pytest.approx(0.3667, abs=1e-4)
    assert tpot(data)[0] == pytest.approx(0.05)
    assert attainment(data, {"default": Slo(tpot=0.1)})["default"].met == 1


def test_e2e_is_ttft_and_the_later_tokens_at_tpot() -> None:
    """E2E = TTFT + (n - 1) * TPOT, for an answer of one token per chunk that ends with its last."""
    data = run(record(0, due_s=0.0, sent_s=0.05, chunks=((0.3, 1), (0.31, 1), (0.5, 1), (0.9, 1))))
    assert data.finished_s[0] == pytest.approx(ttft(data)[0] + 3 * tpot(data)[0])


def test_v22_tene_coordinated_omission_hides_a_freeze() -> None:
    """Tene, "How NOT to measure latency": a request every 10 ms is answered in 1 ms, 9,999 times;
    then the server is frozen for 100 s. A closed loop, which waits for each answer, sees one slow
    request in 10,000: its p99 is 1 ms. By the schedule, those that were due meanwhile waited for
    50 s in the median."""
    due_s = np.arange(19_999) * 0.01
    thawed_s = due_s[9_999] + 100.0
    answered_s = np.where(np.arange(len(due_s)) < 9_999, due_s, thawed_s) + 0.001
    by_schedule = replace(
        run(record(0)), due_s=due_s, sent_s=np.maximum(due_s, answered_s - 0.001),
        first_token_s=answered_s,
    )  # fmt: skip
    frozen = due_s >= due_s[9_999]
    assert np.median(ttft(by_schedule)[frozen]) == pytest.approx(50.0, abs=0.02)
    assert ttft_sent(by_schedule).max() == pytest.approx(0.001)  # an open loop by its own clock
    closed = replace(
        run(record(0)), due_s=np.full(10_000, np.nan), sent_s=due_s[:10_000],
        first_token_s=answered_s[:10_000],
    )  # fmt: skip
    assert np.quantile(ttft(closed), 0.99) == pytest.approx(0.001, abs=1e-9)
    assert ttft(closed).max() == pytest.approx(100.001)


@pytest.mark.parametrize(("p", "needed"), [(0.9, 44), (0.99, 459)])
def test_v9_mlperf_early_stopping_without_a_late_request(p: float, needed: int) -> None:
    """MLPerf Inference rules: with none over the limit 44 requests show at 99 % confidence that
    90 % keep it, 459 that 99 % do; one fewer does not."""
    assert requests_needed(0, p, confidence=0.99) == needed
    assert may_stop(needed, 0, p, confidence=0.99)
    assert not may_stop(needed - 1, 0, p, confidence=0.99)
