"""A Hawkes process by hand: mu 0.4, alpha 0.8, beta 2; events at 1.0, 1.5 and 3.0 s, until 4 s."""

import numpy as np
import pytest

from benchsuite.fitting import hawkes

PARAMETERS = hawkes.Parameters(np.array([0.4]), np.array([[0.8]]), 2.0)
AT_S, KIND, END_S = np.array([1.0, 1.5, 3.0]), np.zeros(3, np.int64), 4.0


def test_v20_hawkes_intensities() -> None:
    """Before the first event mu alone; then what is left of earlier jumps:
    0.4 + 0.8 e^-1, 0.4 + 0.8 (e^-4 + e^-3)."""
    found = hawkes.intensities(AT_S, KIND, PARAMETERS).ravel()
    np.testing.assert_allclose(found, [0.4, 0.69430, 0.45448], atol=5e-6)


def test_v20_hawkes_compensator() -> None:
    """0.4 * 4 + (0.8 / 2) * sum of (1 - e^(-2 (4 - t)))."""
    found = hawkes.compensators(AT_S, KIND, END_S, PARAMETERS)
    assert found[-1] == pytest.approx(2.74218, abs=5e-6)
    assert np.all(np.diff(found) > 0)


def test_v20_hawkes_log_likelihood() -> None:
    """The logarithms of the intensities, minus the compensator."""
    found = hawkes.log_likelihood(AT_S, KIND, END_S, PARAMETERS)
    assert found == pytest.approx(-4.81191, abs=5e-6)


def test_two_classes_of_which_one_is_silent_are_one() -> None:
    """A class without events and influence adds nothing but its own share of the integral."""
    silent = hawkes.Parameters(np.array([0.4, 0.1]), np.array([[0.8, 0.5], [0.0, 0.0]]), 2.0)
    found = hawkes.log_likelihood(AT_S, KIND, END_S, silent)
    assert found == pytest.approx(-4.81191 - 0.1 * 4, abs=5e-6)
