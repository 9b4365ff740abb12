"""Times are drawn as they are described."""

import numpy as np
import pytest

from benchsuite.streams import rng
from benchsuite.workloads.durations import (
    Durations,
    ExponentialTime,
    FixedTime,
    LogNormalTime,
    UniformTime,
)


def draws(durations: Durations, num: int = 4000) -> np.ndarray:
    generator = rng(1, "durations")
    return np.array([durations.draw(generator) for _ in range(num)])


def test_quantiles_and_bounds() -> None:
    """Median and p99 of a log-normal, mean of an exponential, bounds of a uniform."""
    assert set(draws(FixedTime(2.0))) == {2.0}
    uniform = draws(UniformTime(1.0, 3.0))
    assert 1.0 <= uniform.min() < 1.01
    assert 2.99 < uniform.max() <= 3.0
    assert draws(ExponentialTime(0.5)).mean() == pytest.approx(0.5, rel=0.05)
    tail = draws(LogNormalTime(median=1.0, p99=10.0))
    assert np.median(tail) == pytest.approx(1.0, rel=0.05)
    assert np.quantile(tail, 0.99) == pytest.approx(10.0, rel=0.15)
    assert draws(LogNormalTime(median=1.0, p99=10.0, max=4.0)).max() == 4.0


def test_each_draw_takes_one_number() -> None:
    """So a change of one distribution leaves what is drawn after it alone."""
    for one in (FixedTime(1), UniformTime(0, 1), ExponentialTime(1), LogNormalTime(1, 2)):
        left, right = rng(1, "a"), rng(1, "a")
        one.draw(left)
        right.random()
        assert left.random() == right.random()


def test_bounds_that_contradict_each_other_are_refused() -> None:
    """Low above high, p99 below the median."""
    with pytest.raises(ValueError, match="low is above high"):
        UniformTime(2, 1)
    with pytest.raises(ValueError, match="below the median"):
        LogNormalTime(2, 1)
