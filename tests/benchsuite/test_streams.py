"""Named random streams."""

import subprocess
import sys

import numpy as np
import pytest

from benchsuite import streams


def test_streams_are_known() -> None:
    """The bits behind (seed, names) never change: schedules made today can be made again."""
    assert streams.rng(1, "arrivals").integers(0, 2**63, 3).tolist() == ARRIVALS
    assert streams.rng(1, "prompt", 17).integers(0, 2**63, 3).tolist() == PROMPT_17


ARRIVALS = [1961193920240119562, 4095886308946108989, 993327204682973209]
PROMPT_17 = [6834938416721682336, 4005660840071624431, 4238938659369756071]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((1, "a"), (2, "a")),
        ((1, "a"), (1, "b")),
        ((1, "a", 1), (1, "a", 2)),
        ((1, "a", 1), (1, "a", "1")),
        ((1, "a", "b"), (1, "ab")),
        ((1, "1"), (11, "")),
        ((0,), (0, "")),
        ((-1, "a"), (1, "a")),
    ],
)
def test_other_names_are_other_streams(
    left: tuple[int, str | int], right: tuple[int, str | int]
) -> None:
    """Seed, names, their number and their kind all count."""
    assert streams.rng(*left).random() != streams.rng(*right).random()


def test_streams_are_independent() -> None:
    """Neighbouring names are as uncorrelated as chance lets them be (4 sigma of 1/sqrt(n))."""
    first, second = (streams.rng(1, "prompt", index).random(10_000) for index in (1, 2))
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(10_000)


def test_another_process_draws_the_same() -> None:
    """Python's own hash seed plays no part."""
    code = "from benchsuite import streams; print(streams.rng(7, 'x', 3).random())"
    drawn = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert drawn == {str(streams.rng(7, "x", 3).random())}
