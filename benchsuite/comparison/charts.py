"""Charts of a comparison: effects with their intervals, the shift function, curves of shares."""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from benchsuite.comparison import words
from benchsuite.comparison.compare import Against, Comparison, Row
from benchsuite.comparison.shift import Step
from benchsuite.comparison.sides import Side
from benchsuite.metrics import METRICS
from benchsuite.records.table import FloatArray
from benchsuite.report.charts.base import Chart, Table, plain
from benchsuite.report.charts.distributions import CLASS_LOOKS
from benchsuite.report.charts.figure import INK, MUTED, PANEL, empty, make_log, milli
from benchsuite.report.charts.plotly_figure import Figure
from benchsuite.report.quantities import number

SYMBOLS: Final = ("circle", "square", "diamond", "triangle-up")
_TITLES: Final = {metric.name: metric.title for metric in METRICS}


def charts(found: Comparison, sides: Sequence[Side]) -> tuple[Chart, ...]:
    """What there is to draw, verdicts first."""
    names = [name for name in _TITLES if any(name in one.shifts for one in found.against)]
    drawn = [_forest(found), *(_shift(found, name) for name in names)]
    drawn += [_curves(found, sides, name) for name in names]
    return tuple(chart for chart in drawn if chart is not None)


def _forest(found: Comparison) -> Chart | None:
    """Every number's change with its interval, one below the other."""
    known = [[row for row in one.rows if _is_drawn(row)] for one in found.against]
    metrics = list(dict.fromkeys(row.verdict.metric for rows in known for row in rows))
    if not metrics:
        return None
    figure = empty(
        "change against the baseline, %",
        shapes=_band(found.min_effect * 100, "x"),
        showlegend=len(found.against) > 1,
    )
    annotations: list[dict[str, Any]] = []
    ends = [_ends(rows) for rows in known]
    view = in_view(np.concatenate(ends), found.min_effect * 100)
    for at, rows in enumerate(known):
        colour, _ = CLASS_LOOKS[at % len(CLASS_LOOKS)]
        low, effects, high = ends[at].T
        offset = (at - (len(found.against) - 1) / 2) * 0.25
        y = np.array([metrics.index(row.verdict.metric) for row in rows]) + offset
        figure.add_scatter(
            x=effects.astype(np.float32),
            y=y.astype(np.float32),
            name=plain(words.labels(found)[at + 1]),
            mode="markers",
            marker={"color": colour, "symbol": SYMBOLS[at % len(SYMBOLS)], "size": 9},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": np.maximum(high - effects, 0).astype(np.float32),
                "arrayminus": np.maximum(effects - low, 0).astype(np.float32),
                "color": colour,
                "thickness": 2,
                "width": 5,
            },
            text=[f"{row.verdict.metric}: {row.verdict.word}" for row in rows],
            hovertemplate="%{text}, %{x:+.1f} %<extra></extra>",
        )
        if view is not None:
            annotations += _beyond(view, ends[at], y, colour)
    if view is not None:
        figure.update_layout(xaxis={"range": list(view)}, annotations=annotations)
    figure.update_layout(
        yaxis={
            "tickvals": list(range(len(metrics))),
            "ticktext": [plain(name) for name in metrics],
            "range": [len(metrics) - 0.5, -0.5],
        },
    )
    head = ("against the baseline", "metric", "verdict", "change", "95 % interval")
    return Chart(
        key="forest",
        title="What changed, and how sure is it?",
        reading=f"Each mark is a change, its bar the 95 % interval. In the grey band (±"
        f"{found.min_effect * 100:g} %) a change does not matter; a bar that crosses its edge "
        "leaves it open." + _within_words(found),
        figure=figure,
        table=Table(head, tuple(_forest_row(o, r) for o, s in _pairs(found, known) for r in s)),
        note="" if view is None else _BEYOND_WORDS,
        height_px=110 + 30 * len(metrics),
    )


MOST_OF_TYPICAL: Final = 4.0  # what is further out than so many times the others is cut off
_BEYOND_WORDS: Final = (
    "The axis ends where most changes do; ◀ and ▶ say how far the others go. The table has all."
)


def _ends(rows: Sequence[Row]) -> FloatArray:
    """Low end, change and high end, %, [rows, 3]."""
    known = [(row, row.verdict.interval or row.within_runs or (0.0, 0.0)) for row in rows]
    ends = [(low, row.verdict.effect or 0.0, high) for row, (low, high) in known]
    return np.array(ends, dtype=np.float64).reshape(-1, 3) * 100


def in_view(ends: FloatArray, least: float) -> tuple[float, float] | None:
    """The axis for `ends` [rows, 3] if few of them would squeeze the others; None: all fit. Three
    quarters of the rows, and what lies within `least`, are always in view."""
    reach = np.abs(ends).max(axis=1, initial=0.0)
    most = MOST_OF_TYPICAL * max(float(np.quantile(reach, 0.75, method="lower")), least)
    if reach.max() <= most:
        return None
    kept = ends[reach <= most]
    low, high = min(float(kept.min()), -least), max(float(kept.max()), least)
    margin = 0.15 * (high - low)
    return low - margin, high + margin


def _beyond(
    view: tuple[float, float], ends: FloatArray, y: FloatArray, colour: str
) -> list[dict[str, Any]]:
    """Words at the edge over which a row goes: its change, or as far as its interval reaches."""
    found = []
    for (low, effect, high), at in zip(ends.tolist(), y.tolist(), strict=True):
        left, right = low < view[0], high > view[1]
        for is_over, end, side in ((left, low, 0), (right, high, 1)):
            if not is_over:
                continue
            is_change = effect < view[0] if side == 0 else effect > view[1]
            told = f"{words.signed(effect)} %" if is_change else f"to {words.signed(end)} %"
            found.append(
                {
                    "x": view[side],
                    "xanchor": "right" if side else "left",
                    "y": at,
                    "yshift": 11 if high > view[0] and low < view[1] else 0,  # above its bar
                    "text": f"{told} ▶" if side else f"◀ {told}",
                    "showarrow": False,
                    "font": {"color": colour, "size": 11},
                }
            )
    return found


def _pairs(found: Comparison, known: list[list[Row]]) -> list[tuple[Against, list[Row]]]:
    return list(zip(found.against, known, strict=True))


def _is_drawn(row: Row) -> bool:
    return row.verdict.effect is not None and bool(row.verdict.interval or row.within_runs)


def _forest_row(one: Against, row: Row) -> tuple[str, ...]:
    name, verdict, change, interval, *_ = words.cells(row)
    return one.name, name, verdict, change, interval


def _within_words(found: Comparison) -> str:
    if all(min(one.num_baseline, one.num_now) > 1 for one in found.against):
        return ""
    return " With one run a side the bar is of the requests within these runs, not of runs."


def _band(bound: float, axis: str) -> list[dict[str, Any]]:
    """What does not matter, around no change at all."""
    other = "y" if axis == "x" else "x"
    rect = {f"{axis}0": -bound, f"{axis}1": bound, f"{other}0": 0, f"{other}1": 1}
    line = {f"{axis}0": 0, f"{axis}1": 0, f"{other}0": 0, f"{other}1": 1}
    ref = {f"{other}ref": "paper"}
    return [
        {"type": "rect", **rect, **ref, "fillcolor": PANEL, "line": {"width": 0}, "layer": "below"},
        {"type": "line", **line, **ref, "line": {"color": MUTED, "width": 1}, "layer": "below"},
    ]


def _shift(found: Comparison, name: str) -> Chart:
    """The change at every decile."""
    title = _TITLES[name]
    figure = empty(
        f"quantile of {title.lower()}",
        "change, %",
        shapes=_band(found.min_effect * 100, "y"),
        showlegend=len(found.against) > 1,
    )
    rows: list[tuple[str, ...]] = []
    levels = list(dict.fromkeys(s.level for o in found.against for s in o.shifts.get(name, ())))
    for at, one in enumerate(found.against):
        steps = one.shifts.get(name, ())
        colour, dash = CLASS_LOOKS[at % len(CLASS_LOOKS)]
        offset = (at - (len(found.against) - 1) / 2) * 0.12
        _add_steps(figure, plain(words.labels(found)[at + 1]), steps, levels, offset, colour, dash)
        rows += [_shift_row(one, step) for step in steps]
    figure.update_layout(
        xaxis={"tickvals": list(range(len(levels))), "ticktext": levels},
    )
    return Chart(
        key=f"shift-{name}",
        title=f"{title}: where in the distribution?",
        reading="A level line is a change for everybody alike; one that rises to the right hits "
        "the slowest. Bars: 95 % intervals, each on its own." + _within_words(found),
        figure=figure,
        table=Table(("against the baseline", "quantile", "baseline, ms", "now, ms", "change, %",
                     "95 % interval"), tuple(rows)),
        is_wide=False,
        height_px=300,
    )  # fmt: skip


def _add_steps(
    figure: Figure,
    name: str,
    steps: Sequence[Step],
    levels: list[str],
    offset: float,
    colour: str,
    dash: str,
) -> None:
    effects = np.array([step.change for step in steps]) * 100
    ends = [step.interval or (step.change, step.change) for step in steps]
    low, high = np.array(ends, dtype=np.float64).reshape(-1, 2).T * 100
    figure.add_scatter(
        x=np.array([levels.index(step.level) + offset for step in steps], dtype=np.float32),
        y=effects.astype(np.float32),
        name=name,
        mode="lines+markers",
        line={"color": colour, "dash": dash, "width": 1.6},
        marker={"color": colour, "size": 7},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": np.maximum(high - effects, 0).astype(np.float32),
            "arrayminus": np.maximum(effects - low, 0).astype(np.float32),
            "color": colour,
            "thickness": 1.4,
            "width": 4,
        },
        text=[step.level for step in steps],
        hovertemplate="%{text}: %{y:+.1f} %<extra></extra>",
    )


def _shift_row(one: Against, step: Step) -> tuple[str, ...]:
    return (
        one.name,
        step.level,
        number(step.baseline * 1e3),
        number(step.now * 1e3),
        words.signed(step.change * 100),
        words.interval(step.interval),
    )


def _curves(found: Comparison, sides: Sequence[Side], name: str) -> Chart | None:
    """Share of values at or below each duration; every run is a curve."""
    told = [[r.distributions[name] for r in side.runs if name in r.distributions] for side in sides]
    every = [one for side in told for one in side]
    positive = np.concatenate([one.x for one in every])
    positive = positive[positive > 0] * 1e3
    if not len(positive):
        return None
    figure = empty(f"{_TITLES[name].lower()}, ms", "share at or below")
    for at, runs in enumerate(told):
        colour, dash = (INK, "solid") if at == 0 else CLASS_LOOKS[(at - 1) % len(CLASS_LOOKS)]
        for number_, one in enumerate(runs):
            figure.add_scatter(
                x=milli(one.x),
                y=one.share.astype(np.float32),
                name=plain(words.labels(found)[at]),
                legendgroup=str(at),
                showlegend=number_ == 0,
                mode="lines",
                line={"color": colour, "dash": dash, "width": 1.6 if len(runs) == 1 else 1.1,
                      "shape": "hv"},
                hovertemplate="%{y:.1%} within %{x:,.4~g} ms",
            )  # fmt: skip
    low, high = float(positive.min()), float(positive.max())
    if high > 1.02 * low:
        make_log(figure.layout["xaxis"], low / 1.05, high * 1.05)
    figure.update_layout(yaxis={"tickformat": ".0%", "range": [0, 1.02]})
    rows = [
        (run.name, *(_quantile(run.distributions[name].quantiles[level].value) for level in _SOME))
        for side in sides
        for run in side.runs
        if name in run.distributions
    ]
    return Chart(
        key=f"curves-{name}",
        title=f"{_TITLES[name]}: every run",
        reading="The share of values at or below each duration; a curve further left is faster. "
        "How far the curves of one side lie apart is what runs differ by.",
        figure=figure,
        table=Table(("run", *(f"{level}, ms" for level in _SOME)), tuple(rows)),
        is_wide=False,
        height_px=300,
    )


_SOME: Final = ("p10", "p50", "p90", "p99")


def _quantile(value_s: float | None) -> str:
    return "–" if value_s is None or math.isnan(value_s) else number(value_s * 1e3)
