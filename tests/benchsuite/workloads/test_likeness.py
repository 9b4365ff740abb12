"""Two workloads side by side: a stream is like itself and unlike another."""

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from benchsuite.arrivals import Gamma, Poisson
from benchsuite.cli import app
from benchsuite.report import likeness as beside
from benchsuite.request import Message, Request, Scripted, Session
from benchsuite.streams import rng
from benchsuite.workloads.description import describe
from benchsuite.workloads.likeness import (
    Likeness,
    Side,
    kolmogorov_smirnov,
    likeness,
    side,
    wasserstein,
)

NUM = 2000
SLICE = str(Path(__file__).parents[3] / "scenarios" / "data" / "azure_2023_{}_5min.csv.gz")


def stream(arrivals, seed: int, classes: tuple[str, ...] = ("default",)) -> Side:
    due_s = None if arrivals is None else arrivals.due_times(NUM, rng(seed, "arrivals"), None)
    tokens = rng(seed, "tokens").integers(1, 900, (2, NUM)).tolist()
    prompt = Scripted((Message("user", "hm"),), 1)
    names = [classes[i * len(classes) // NUM] if arrivals is None else classes[i % len(classes)]
             for i in range(NUM)]  # fmt: skip
    sessions = [
        Session(i, (Request(i, prompt, tokens[0][i], tokens[1][i], slo_class=names[i]),))
        for i in range(NUM)
    ]
    found, columns = describe(sessions, None if due_s is None else due_s.tolist(), len)
    return side(found, columns, sessions)


def by_name(one: Side, other: Side) -> dict[str, Likeness]:
    return {each.name: each for each in likeness(one, other)}


def test_distances_by_hand() -> None:
    """Half of the mass lies elsewhere; all of it moved by 2."""
    one, other = np.array([1, 2, 3, 4]), np.array([3, 4, 5, 6])
    assert kolmogorov_smirnov(one, other) == 0.5
    assert wasserstein(one, other) == 2
    assert wasserstein(one, one[:2]) == 1
    assert kolmogorov_smirnov(one, one) == wasserstein(one, one) == 0


def test_a_stream_is_like_itself() -> None:
    """No distance anywhere, no difference."""
    same = stream(Poisson(rate=5), 1, ("chat", "code"))
    found = likeness(same, same)
    assert len(found) > 15
    for each in found:
        assert each.distance in (None, 0), each
        assert each.one == each.other


def test_a_clumped_stream_is_unlike_poisson() -> None:
    """Dispersion and gaps tell them apart; lengths of one distribution do not."""
    found = by_name(stream(Poisson(rate=5), 1), stream(Gamma(rate=5, burstiness=0.1), 2))
    fano = found["Fano factor at 10 s"]
    assert (fano.other or 0) > 4 * (fano.one or 0)
    assert (found["gaps, KS"].distance or 0) > 0.3
    assert (found["prompt tokens, KS"].distance or 1) < 0.06
    assert found["rate"].one == pytest.approx(5, rel=0.1)
    assert abs(found["autocorrelation of the gaps"].one or 1) < 0.1
    assert "transitions between classes" not in found


def test_classes_that_take_turns_are_unlike_classes_in_a_row() -> None:
    """By pairs that follow each other: ab and ba against aa and bb. What has no times has no rate
    to compare."""
    found = by_name(stream(Poisson(rate=5), 1, ("a", "b")), stream(None, 1, ("a", "b")))
    assert found["transitions between classes"].distance == pytest.approx(1, abs=0.01)
    assert found["rate"].other is None
    assert "gaps, KS" not in found


def test_the_table_says_how_much_more_or_how_far() -> None:
    """Differences have a sign, distances none; what is not known is left empty."""
    rows = [
        Likeness("rate", "sessions/s", 2.0, 3.5),
        Likeness("gaps, KS", "", distance=0.25),
        Likeness("CV of the gaps", "", 1.0, None),
    ]
    assert [beside.difference(row) for row in rows] == ["+1.50", "0.25", ""]
    console = Console(record=True, width=100)
    beside.show(("real", "synthetic"), rows, console)
    text = console.export_text()
    assert "rate, sessions/s" in text
    assert "synthetic" in text


def test_the_command_compares_two_traces() -> None:
    """Azure's code completion against its conversations: far burstier, and other lengths."""
    words = ["describe", SLICE.format("conv"), "--from", "azure", "--against", SLICE.format("code")]
    result = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    assert '"CV of the gaps"' in result.stdout
    text = CliRunner().invoke(app, words, catch_exceptions=False).stdout
    assert "Wasserstein" in text
