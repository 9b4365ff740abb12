"""MLPerf's early stopping."""

import numpy as np
import pytest

from benchsuite.metrics.attainment import attainment
from benchsuite.metrics.early_stopping import estimate, may_stop, most_late, requests_needed
from benchsuite.metrics.slo import Slo
from tests.runs import record, run


@pytest.mark.parametrize(
    ("p", "needed"),
    [
        (0.90, [44, 64, 81, 127, 197, 325]),
        (0.95, [90, 130, 165, 259, 398, 656]),
        (0.99, [459, 662, 838, 1307, 2010, 3304]),
    ],
)
def test_v9_the_table_of_counts(p: float, needed: list[int]) -> None:
    """MLPerf Inference rules: confidence 0.99; 0, 1, 2, 5, 10, 20 requests over the limit."""
    late = (0, 1, 2, 5, 10, 20)
    assert [requests_needed(each, p) for each in late] == needed
    for t, n in zip(late, needed, strict=True):
        assert most_late(n, p) == t
        assert not may_stop(n - 1, t, p)


@pytest.mark.parametrize(
    ("num", "late", "is_shown"), [(458, 0, False), (459, 0, True), (661, 1, False), (662, 1, True)]
)
def test_a_percentile_target_says_whether_it_is_shown(num: int, late: int, is_shown: bool) -> None:
    """459 requests without a late one show with 99 % confidence that 99 % keep the limit."""
    slow = ((0.9, 1), (1.0, 1))
    records = [record(i, **({"chunks": slow} if i < late else {})) for i in range(num)]
    slo = Slo(ttft=0.5, at="p99")
    target = attainment(run(*records, window_s=(0.0, 1e6)), {"default": slo})["default"].slos[
        "ttft"
    ]
    assert target.needed == (459, 662)[late]
    assert target.is_shown is is_shown


def test_a_mean_is_shown_by_no_count_of_requests() -> None:
    slo = Slo(ttft=0.5, at="mean")
    target = attainment(run(record(0)), {"default": slo})["default"].slos["ttft"]
    assert target.needed is None
    assert target.is_shown is None


def test_too_few_requests_say_nothing() -> None:
    assert most_late(458, 0.99) is None
    assert np.isnan(estimate(np.arange(458.0), 0.99))


def test_the_estimate_bounds_the_quantile_from_above() -> None:
    """With 662 values one may be over the limit: the second largest is shown to be kept."""
    values = np.random.default_rng(1).permutation(np.arange(662.0))
    assert estimate(values, 0.99) == 660.0
    assert estimate(values, 0.99) > np.quantile(values, 0.99)
