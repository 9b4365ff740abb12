"""The page and the terminal: the verdict first, nothing that runs, everything that was found."""

import io

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from benchsuite.comparison import charts, page, terminal, words
from benchsuite.comparison.comparable import differences
from benchsuite.comparison.compare import Comparison, compare
from benchsuite.comparison.sides import Run, Side
from tests.benchsuite.comparison.sides_of import run, side
from tests.benchsuite.comparison.test_shift import of

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u202e{{7*7}}"


def drawn(name: str, factor: float, first_seed: int = 1) -> Side:
    """A side with distributions."""
    plain = side(name, [factor * (1 + 0.01 * k) for k in range(5)], first_seed=first_seed)
    rng = np.random.default_rng(first_seed)
    spread = [{"ttft": of(factor * np.exp(rng.normal(0, 0.3, 500)))} for _ in plain.runs]
    runs = (Run(run.name, run.result, one) for run, one in zip(plain.runs, spread, strict=True))
    return Side(name, tuple(runs))


def compared(*sides: Side) -> Comparison:
    seen = [[run.seen for run in one.runs] for one in sides]
    return compare(sides, differences(seen))


def test_hostile_names_are_text() -> None:
    sides = (drawn("a", 1.0), drawn(EVIL, 2.0))
    text = page.render(compared(*sides), sides)
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert "\u202e" not in text
    assert "{{7*7}}" in text


def test_the_verdict_stands_before_everything_else() -> None:
    sides = (drawn("runs/a", 1.0), drawn("runs/b", 2.0, 50))
    text = page.render(compared(*sides), sides)
    assert "b against a" in text
    order = [text.index(each) for each in ("✗ Worse: ttft_p50", "What differs", "<h2>Verdicts")]
    assert order == sorted(order)
    assert 'http-equiv="Content-Security-Policy" content="default-src \'none\'' in text


def test_charts_are_figures_with_tables() -> None:
    """By plotly's own classes, which refuse a property that does not exist."""
    sides = (drawn("a", 1.0), drawn("b", 1.3, 50), drawn("c", 1.0, 90))
    found = charts.charts(compared(*sides), sides)
    assert [chart.key for chart in found] == ["forest", "shift-ttft", "curves-ttft"]
    for chart in found:
        figure = go.Figure(data=chart.figure.traces, layout=chart.figure.layout)
        assert len(figure.data) >= 2
        assert chart.table.rows
        assert all(len(row) == len(chart.table.head) for row in chart.table.rows)


def test_a_huge_change_is_cut_off_and_said() -> None:
    """Its row goes over the edge, with an arrow and its number; the others fill the axis."""
    ends = np.array([[-3.0, 1.0, 4.0], [2.0, 5.0, 9.0], [-8.0, -6.0, -4.0], [700.0, 900.0, 1200.0]])
    assert charts.in_view(ends[:3], 5.0) is None
    view = charts.in_view(ends, 5.0)
    assert view == pytest.approx((-8 - 0.15 * 17, 9 + 0.15 * 17))
    sides = tuple(
        Side(name, tuple(
            run(f"{name}/{k}", {
                "ttft_p50": x * (1 + 0.01 * k), "tpot_p50": x * (1 + 0.01 * k),
                "e2e_latency_p50": end_s * (1 + 0.01 * k),
            }, k)
            for k in range(5)
        ))
        for name, x, end_s in (("a", 1.0, 1.0), ("b", 1.02, 30.0))
    )  # fmt: skip
    chart = next(one for one in charts.charts(compared(*sides), sides) if one.key == "forest")
    figure = go.Figure(data=chart.figure.traces, layout=chart.figure.layout)
    assert [note.text for note in figure.layout.annotations] == ["+2900 % ▶"]
    assert figure.layout.xaxis.range[1] < 100
    assert "▶" in chart.note


@given(st.lists(st.lists(st.floats(-100, 1e6), min_size=3, max_size=3).map(sorted), min_size=1))
def test_most_rows_are_always_in_view(rows: list[list[float]]) -> None:
    """However far the others go: three quarters of them with all of their intervals."""
    ends = np.array(rows)
    view = charts.in_view(ends, 5.0)
    if view is not None:
        inside = (ends[:, 0] >= view[0]) & (ends[:, 2] <= view[1])
        assert inside.mean() >= 0.75 - 1 / len(rows)
        assert inside.any()
        assert not inside.all()


def test_a_side_without_records_has_a_page_too() -> None:
    sides = (side("a", [1.0]), side("b", [2.0]))
    text = page.render(compared(*sides), sides)
    assert "Inconclusive between runs" in text
    assert "no distributions to draw" in text


def test_the_terminal_says_what_differs_first() -> None:
    file = io.StringIO()
    found = compared(drawn("a", 1.0), drawn("b", 2.0, 50))
    terminal.show(found, Console(file=file, width=60))
    text = file.getvalue()
    assert text.index("seed") < text.index("✗ Worse")
    assert "ttft_p50" in text


def test_names_lose_what_they_share() -> None:
    assert words.short(("x/a", "x/b")) == ("a", "b")
    assert words.short(("x/a", "x/a")) == ("x/a", "x/a")
    assert words.short(("x", "x/y")) == ("x", "x/y")
