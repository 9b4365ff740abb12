"""The catalogue as a whole: every metric over every kind of run."""

import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchsuite.metrics import metrics_for, summarise
from benchsuite.metrics.accelerators import ACCELERATORS
from benchsuite.metrics.base import Metric
from benchsuite.metrics.model_shapes import MODELS
from benchsuite.metrics.slo import Slo
from benchsuite.metrics.statistics import QUANTILES
from benchsuite.metrics.summaries import absent, summaries
from benchsuite.metrics.system import Prices, System
from benchsuite.records.table import RunData
from tests.runs import failed, never_sent, record, run

SLOS = {"default": Slo(ttft=0.3, tpot=0.2)}
TOLD = System(
    model=MODELS["llama-3.1-8b"],
    accelerator=ACCELERATORS["h100-sxm"],
    prices=Prices(
        usd_per_accelerator_hour=2.0,
        usd_per_million_prompt_tokens=1.0,
        usd_per_million_output_tokens=4.0,
    ),
)
ALL = metrics_for(SLOS, TOLD)
ROOT = Path(__file__).parents[3]


def _mixed() -> RunData:
    return run(
        *(record(i, chunk_lag_s=(0.0, 0.0, 0.0, 0.0)) for i in range(10)),
        record(10, chunks=((0.1, 3),)),
        record(11, chunks=((0.1, 1), (0.4, 3))),
        failed(12),
        record(13, status="error", error_class="stream_cut"),
        never_sent(14),
    )


RUNS = {
    "empty": run(),
    "one": run(record(0)),
    "all failed": run(failed(0), never_sent(1)),
    "nothing in the window": run(record(0), window_s=(5.0, 5.0)),
    "closed loop": run(*(record(i, due_s=None, sent_s=float(i)) for i in range(9))),
    "mixed": _mixed(),
}


def test_names_are_unique_and_every_metric_is_defined_in_words() -> None:
    assert len({metric.name for metric in ALL}) == len(ALL)
    for metric in ALL:
        assert len(metric.doc) > 40, metric.name


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
@pytest.mark.parametrize("data", RUNS.values(), ids=RUNS)
def test_values_have_the_shape_that_the_metric_states(metric: Any, data: RunData) -> None:
    length = {
        "request": len(data),
        "session": len(set(data.session_id.tolist())),
        "chunk": len(data.chunk_s),
        "token": int(data.chunk_tokens.sum()),
        "run": 1,
    }
    if metric.lacks is not None and metric.lacks(data):
        return  # and nobody asks for its values
    values = metric.values(data)
    assert values.dtype == np.float64
    assert values.shape == (length[metric.shape],)


@pytest.mark.parametrize("data", RUNS.values(), ids=RUNS)
def test_summaries_hold_numbers_or_none_never_nan(data: RunData) -> None:
    for name, summary in summarise(data, SLOS, TOLD).items():
        assert summary.metric == name
        for field in ("mean", "std", "min", "max", *QUANTILES):
            value = getattr(summary, field)
            assert value is None or np.isfinite(value), (name, field)
        if summary.n == 0:
            assert summary.mean is None
            assert summary.mean_ci is None


def test_a_metric_without_what_it_is_made_of_is_absent_with_the_reason() -> None:
    """Never zero: it is in no summary."""
    whole = Metric("pages", "Pages", "", "lower", "run", lambda data: np.zeros(1))
    torn = replace(whole, name="torn", lacks=lambda data: "no page was kept")
    data = run(record(0))
    assert absent((whole, torn), data) == {"torn": "no page was kept"}
    assert set(summaries((whole, torn), data)) == {"pages"}


def test_a_session_counts_if_each_of_its_requests_does() -> None:
    """One value per session, in the order of their ids."""
    turns = Metric("turns", "Turns", "", "neither", "session", lambda data: np.bincount(
        data.session, minlength=data.num_sessions).astype(np.float64))  # fmt: skip
    data = run(
        record(0, session_id=7), record(1, session_id=7, turn=1),
        record(2, session_id=8), failed(3, session_id=8, turn=1),
        record(4, session_id=9),
    )  # fmt: skip
    found = summaries((turns,), data)["turns"]
    assert (found.n, found.min, found.max) == (2, 1.0, 2.0)


def test_an_analysis_is_made_once() -> None:
    """However many metrics are made of it."""
    calls = []
    data = run(record(0))
    assert data.once(lambda data: calls.append(len(data)) or 7) == 7
    analysis = lambda data: calls.append(len(data)) or 8  # noqa: E731
    assert [data.once(analysis), data.once(analysis)] == [8, 8]
    assert calls == [1, 1]


def test_slo_metrics_stand_only_where_there_are_limits() -> None:
    data = run(record(0))
    assert "attainment" not in summarise(data, {})
    assert summarise(data, SLOS)["attainment"].mean == 1.0


def test_a_failed_request_is_in_no_latency_though_it_had_a_first_token() -> None:
    data = run(record(0), record(1, status="timeout", chunks=((5.0, 1), (9.0, 1))))
    found = summarise(data, SLOS)
    assert found["ttft"].n == 1
    assert found["ttft"].max == pytest.approx(0.2)
    assert found["itl"].max == pytest.approx(0.1)
    assert found["send_delay"].n == 2
    assert found["attainment"].mean == 0.5


def test_warm_up_and_drain_are_in_no_latency() -> None:
    slow = ((9.0, 1), (9.5, 1))
    records = record(0, chunks=slow), record(5), record(6), record(9, chunks=slow)
    found = summarise(run(*records, window_s=(1.0, 9.0)), {})
    assert found["ttft"].n == 2
    assert found["ttft"].max == pytest.approx(0.2)
    assert found["icl"].max == pytest.approx(0.1)


def test_a_summary_is_that_of_the_values() -> None:
    """Mean, spread and extremes over tokens, not over requests."""
    records = [record(i, chunks=((0.1, 1), (0.1 + 0.01 * (i + 1), 1 + i))) for i in range(12)]
    found = summarise(run(*records), {})["itl"]
    gaps_s = [0.01 * (i + 1) / (1 + i) for i in range(12) for _ in range(1 + i)]
    assert found.n == len(gaps_s)
    assert found.mean == pytest.approx(np.mean(gaps_s))
    assert found.p50 == pytest.approx(np.median(gaps_s))
    assert (found.min, found.max) == pytest.approx((min(gaps_s), max(gaps_s)))


def test_a_quantile_over_several_workers_is_of_all_their_values() -> None:
    """Nothing averages percentiles: those of a fast worker and of a slow one make none of both."""
    waits_s = [0.1 + 0.001 * i for i in range(90)] + [5.0 + 0.1 * i for i in range(10)]
    records = [
        record(i, worker=int(wait_s > 1), chunks=((wait_s, 1),)) for i, wait_s in enumerate(waits_s)
    ]
    found = summarise(run(*records), {})["ttft"]
    for level in ("p50", "p90", "p95"):
        assert getattr(found, level) == pytest.approx(np.quantile(waits_s, QUANTILES[level]))
    of_each = [np.quantile(waits_s[:90], 0.9), np.quantile(waits_s[90:], 0.9)]
    assert abs(np.mean(of_each) - (found.p90 or 0.0)) > 1


def test_a_refused_quantile_is_none_and_says_what_it_takes() -> None:
    found = summarise(run(*(record(i) for i in range(40))), {})["ttft"]
    assert found.p90 is not None
    assert found.p90_ci is not None
    assert (found.p95, found.p99, found.p99_ci) == (None, None, None)
    assert found.refused["p99"] == 368


def test_a_per_run_metric_has_its_value_in_mean_and_refuses_nothing() -> None:
    found = summarise(run(*(record(i) for i in range(40)), window_s=(0.0, 10.0)), SLOS)
    rate = found["request_rate"]
    assert (rate.n, rate.mean, rate.p50, rate.refused) == (1, 1.0, None, {})
    assert found["attainment"].mean_ci is not None


def test_turns_of_a_session_widen_the_interval() -> None:
    """The same values: alone they are 64 observations, in 8 sessions of equal ones they are 8."""
    order = [0, 5, 2, 7, 1, 4, 6, 3]  # no trend
    alone = [record(i, chunks=((0.1 + 0.01 * order[i % 8], 1),)) for i in range(64)]
    turns = [
        record(i, chunks=((0.1 + 0.01 * order[i // 8], 1),), session_id=i // 8) for i in range(64)
    ]
    narrow, wide = (summarise(run(*rows), {})["ttft"] for rows in (alone, turns))
    assert narrow.mean == pytest.approx(wide.mean)
    assert narrow.mean_ci is not None
    assert wide.mean_ci is not None
    width = narrow.mean_ci[1] - narrow.mean_ci[0]
    assert wide.mean_ci[1] - wide.mean_ci[0] > 2 * width
    assert narrow.p90 is not None
    assert wide.p90 is None


def test_the_metrics_page_is_written_from_the_catalogue() -> None:
    """Run scripts/docs_metrics.py after changing a definition."""
    page = runpy.run_path(str(ROOT / "scripts" / "docs_metrics.py"))["page"]()
    assert (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8") == page
    for metric in ALL:
        assert f"`{metric.name}`" in page
