"""What scaling does to the burstiness of a trace: independent thinning and superposition drive the
coefficient of variation of gaps toward 1 (Poisson), compressing time leaves it.

Of a renewal process with gaps of variation cv, kept with probability p each: cv_p^2 = 1 + p (cv^2 -
1), since the gap between two that are kept is the sum of a geometric number of gaps (Daley and
Vere-Jones, "An Introduction to the Theory of Point Processes", 2003, example 11.3).
"""

import math

import numpy as np
import pytest

from benchsuite.arrivals import Gamma, Timestamps
from benchsuite.streams import rng
from benchsuite.workloads.replay import Recorded, scale_rate

CV = 3.0
TIMES_S = Gamma(rate=10, burstiness=1 / CV**2).due_times(100_000, rng(1, "arrivals"), None)
SESSIONS = [Recorded(start_s, ()) for start_s in TIMES_S.tolist()]


def variation(at_s: np.ndarray) -> float:
    gaps_s = np.diff(at_s)
    return float(gaps_s.std() / gaps_s.mean())


def starts(scale: float, shift_s: float) -> np.ndarray:
    return np.array([one.start_s for one in scale_rate(SESSIONS, scale, shift_s, seed=1)])


@pytest.mark.parametrize("share", [0.7, 0.52])
def test_v21_daley_vere_jones_thinning_makes_bursts_milder(share: float) -> None:
    """Rate times p; variation as the theory has it, toward 1; at least 50,000 are left."""
    kept_s = starts(share, 5.0)
    assert len(kept_s) >= 50_000
    assert len(kept_s) / kept_s[-1] == pytest.approx(10 * share, rel=0.03)
    assert variation(kept_s) == pytest.approx(math.sqrt(1 + share * (CV**2 - 1)), rel=0.03)


def test_v21_daley_vere_jones_compressing_time_keeps_them() -> None:
    """Rate times the speed, and the same variation to the last bits."""
    fast_s = Timestamps(speed=4).due_times(len(TIMES_S), rng(0), TIMES_S)
    assert len(fast_s) / fast_s[-1] == pytest.approx(4 * len(TIMES_S) / TIMES_S[-1])
    assert variation(fast_s) == pytest.approx(variation(TIMES_S), rel=1e-9)


def test_independent_copies_make_them_milder_too() -> None:
    """Moved by as much as the trace is long, copies know nothing of each other."""
    span_s = float(TIMES_S[-1])
    together_s = starts(3.0, span_s)
    assert len(together_s) == 3 * len(TIMES_S)
    assert variation(together_s) < variation(TIMES_S) - 0.5
