"""Joules of the window, with the error of reading them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsuite.metrics.energy import Energy, energy, energy_metrics, from_counter, from_power
from benchsuite.records.table import FloatArray, RunData
from tests.runs import record, run

WINDOW_S = (2.0, 12.0)


def _power_w(at_s: FloatArray) -> FloatArray:
    """300 W, and up to 400 W more in waves of 3 s."""
    return 300.0 + 200.0 * (1 + np.sin(2 * np.pi * at_s / 3.0))


def _joules(at_s: FloatArray) -> FloatArray:
    """Its integral from 0."""
    wave = 2 * np.pi / 3.0
    return 500.0 * at_s + 200.0 * (1 - np.cos(wave * at_s)) / wave


TRUE_J = float(_joules(np.array(WINDOW_S[1])) - _joules(np.array(WINDOW_S[0])))


@given(st.floats(0.02, 1.5), st.floats(0.02, 0.5))
def test_planted_energy_is_within_the_error_of_a_counter(every_s: float, update_s: float) -> None:
    """However often it is read, and however seldom it moves."""
    at_s = np.arange(0.0, 16.0, every_s)
    counter = _joules(np.floor(at_s / update_s) * update_s)
    found = from_counter(np.column_stack((at_s, counter)), *WINDOW_S)
    assert abs(found.joules - TRUE_J) <= found.error
    assert found.error <= 700.0 * 2 * (every_s + update_s) * 1.01


@given(st.floats(0.02, 0.3))
def test_planted_energy_is_near_the_integral_of_power(every_s: float) -> None:
    """The error is of the size of what is off."""
    at_s = np.arange(0.0, 16.0, every_s)
    found = from_power(np.column_stack((at_s, _power_w(at_s))), *WINDOW_S)
    assert abs(found.joules - TRUE_J) <= max(found.error, 0.001 * TRUE_J)


def test_a_constant_power_is_exact() -> None:
    at_s = np.arange(0.0, 16.0, 0.7)
    found = from_power(np.column_stack((at_s, np.full(len(at_s), 250.0))), *WINDOW_S)
    assert found.joules == pytest.approx(2500.0)
    assert found.error == pytest.approx(0.0, abs=1e-9)


def _readings(every_s: float = 0.1, until_s: float = 16.0) -> FloatArray:
    at_s = np.arange(0.0, until_s, every_s)
    return np.column_stack((at_s, _joules(at_s)))


def _run(window_s: tuple[float, float] = WINDOW_S, **samples: FloatArray) -> RunData:
    records = [record(i, correct=i % 2 == 0) for i in range(12)]
    named = {name.replace("__", "."): readings for name, readings in samples.items()}
    return replace(run(*records, window_s=window_s), samples=named)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (_run(), "no energy was read of any gpu"),
        (_run(cpu0__energy_j=_readings()), "no energy was read of any gpu"),
        (_run((2.0, 6.0), gpu0__energy_j=_readings()), "a window of 4 s; energy takes 5 s"),
        (_run(gpu0__energy_j=_readings(until_s=11.0)), "not read over the whole window"),
        (_run(gpu0__energy_j=_readings(4.0)), "not read for 4 s"),
        (_run(gpu0__energy_j=_readings(), gpu1__temperature_c=_readings()), "gpu1 was read less"),
    ],
)
def test_what_was_not_read_is_absent_and_never_zero(data: RunData, words: str) -> None:
    assert words in str(energy(data, "gpu"))
    for metric in energy_metrics(None):
        if not metric.name.startswith("cpu"):
            assert metric.lacks is not None
            assert words in (metric.lacks(data) or "")


def test_all_boards_together_and_processors_apart() -> None:
    data = _run(gpu0__energy_j=_readings(), gpu1__energy_j=_readings(), cpu0__energy_j=_readings())
    both, one = energy(data, "gpu"), energy(data, "cpu")
    assert isinstance(both, Energy)
    assert isinstance(one, Energy)
    assert both.joules == pytest.approx(2 * one.joules)


def test_a_counter_is_preferred_to_power() -> None:
    at_s = np.arange(0.0, 16.0, 0.1)
    wrong = np.column_stack((at_s, np.full(len(at_s), 1e6)))
    found = energy(_run(gpu0__energy_j=_readings(), gpu0__power_w=wrong), "gpu")
    assert isinstance(found, Energy)
    assert found.joules == pytest.approx(TRUE_J, rel=0.02)


def test_each_denominator_is_its_own() -> None:
    """10 requests of 4 output and 10 prompt tokens in the window; half of the answers right."""
    data = _run(gpu0__energy_j=_readings())
    found = {one.name: one for one in energy_metrics(lambda data: np.array([0.2]))}
    joules = found["energy"].values(data)[0]
    for name, num in (
        ("power", 10),
        ("joules_per_output_token", 40),
        ("joules_per_token", 140),
        ("joules_per_request", 10),
        ("joules_per_correct", 5),
        ("joules_per_good_request", 2),
    ):
        metric = found[name]
        assert metric.values(data)[0] == pytest.approx(joules / num), name
        assert metric.interval is not None
        low, high = metric.interval(data) or (0.0, 0.0)
        assert low < joules / num < high
