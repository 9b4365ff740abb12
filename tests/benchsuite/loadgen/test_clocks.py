"""The offset of another clock, against a network that does what it likes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsuite.loadgen.clocks import Probe, offset

DELAYS_S = st.floats(0, 0.5)
AHEAD_S = st.floats(-1e6, 1e6)


@given(
    ahead_s=AHEAD_S,
    trips=st.lists(st.tuples(st.floats(0, 1e4), DELAYS_S, DELAYS_S), min_size=1, max_size=50),
)
def test_the_truth_lies_within_the_uncertainty(
    ahead_s: float, trips: list[tuple[float, float, float]]
) -> None:
    """However unequal the ways there and back."""
    probes = [
        Probe(asked_s, asked_s + there_s + ahead_s, asked_s + there_s + back_s)
        for asked_s, there_s, back_s in trips
    ]
    found = offset(probes)
    assert abs(found.offset_s - ahead_s) <= found.uncertainty_s + 1e-9
    assert found.uncertainty_s <= min(probe.round_trip_s for probe in probes) / 2


@given(ahead_s=AHEAD_S, start_s=st.floats(0, 1e6), after_s=st.floats(0, 1e4))
def test_a_start_on_its_clock_makes_its_times_ours(
    ahead_s: float, start_s: float, after_s: float
) -> None:
    """A worker that is told `start + offset` counts from the moment at which we count from, to the
    error of the offset: nothing else has to be converted."""
    found = offset([Probe(0.0, ahead_s + 0.0002, 0.001)])
    zero_there_s = start_s + found.offset_s
    event_there_s = start_s + after_s + ahead_s
    assert event_there_s - zero_there_s == pytest.approx(after_s, abs=found.uncertainty_s + 1e-9)
