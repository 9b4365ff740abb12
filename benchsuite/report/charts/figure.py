"""The look of every chart: colours, axes, and the few kinds of marks that they are made of.

Colours are the light ones of style.css (after Okabe and Ito: the colour-blind tell them apart
too), which the page exchanges for those of its theme; dashes and symbols differ as well. Arrays
reach plotly as float32, in packed bytes.
"""

import math
from typing import Any, Final

import numpy as np

from benchsuite.records.table import FloatArray, IntArray
from benchsuite.report.charts.base import Points
from benchsuite.report.charts.plotly_figure import Figure
from benchsuite.report.thinning import keep_turns
from benchsuite.results.result import RunResult

INK: Final = "#1a1d21"
MUTED: Final = "#59616b"
LINE: Final = "#dfe3e8"
PAPER: Final = "#ffffff"
PANEL: Final = "#f5f7f9"
BLUE: Final = "#0072b2"
VERMILLION: Final = "#d55e00"
GREEN: Final = "#009e73"
PURPLE: Final = "#b35a8a"

MAX_TICKS: Final = 7
MAX_SLICES: Final = 200
FEW: Final = 500  # dots up to which they may be large
_MANTISSAS: Final = ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,))


def milli(values_s: FloatArray) -> Any:
    """Milliseconds from seconds."""
    return (np.asarray(values_s) * 1e3).astype(np.float32)


def empty(x_title: str, y_title: str = "", **layout: Any) -> Figure:
    """A figure without marks, with what `layout` adds to the look of the page."""
    look = {
        "margin": {"l": 8, "r": 14, "t": 30, "b": 8},
        "paper_bgcolor": PAPER,
        "plot_bgcolor": PAPER,
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": INK},
        "hovermode": "closest",
        "hoverlabel": {"bgcolor": PANEL, "bordercolor": LINE, "font": {"color": INK}},
        "legend": {"orientation": "h", "traceorder": "normal", "y": 1.02, "yanchor": "bottom"},
        "separators": ".,",
        "showlegend": True,
        "xaxis": _axis(x_title),
        "yaxis": _axis(y_title),
    }
    return Figure(look | layout)


def _axis(title: str, **more: Any) -> dict[str, Any]:
    return {
        "title": {"text": title, "font": {"size": 12}, "standoff": 8},
        "color": MUTED,
        "gridcolor": LINE,
        "linecolor": LINE,
        "zeroline": False,
        "automargin": True,
        "separatethousands": True,
        "exponentformat": "none",
    } | more


def over_time(result: RunResult, y_title: str) -> Figure:
    """A figure over the time of the run, its warm-up and drain shaded."""
    end_s = max(result.duration_s, 1e-3)
    start_s, stop_s = result.window_s
    outside = [
        (low_s, high_s, name)
        for low_s, high_s, name in ((0.0, start_s, "warm-up"), (stop_s, end_s, "drain"))
        if high_s - low_s > 0.002 * end_s
    ]
    return empty(
        "",
        xaxis=_axis("seconds since the start of the run", range=[0, end_s]),
        yaxis=_axis(y_title, rangemode="tozero"),
        shapes=[_shade(low_s, high_s) for low_s, high_s, _ in outside],
        annotations=[
            _named(low_s, "left", name) if name == "warm-up" else _named(high_s, "right", name)
            for low_s, high_s, name in outside
            if high_s - low_s > 0.06 * end_s
        ],
    )


def _shade(low_s: float, high_s: float) -> dict[str, Any]:
    return {
        "type": "rect",
        "x0": low_s,
        "x1": high_s,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "fillcolor": PANEL,
        "line": {"width": 0},
        "layer": "below",
    }


def _named(x: float, side: str, text: str) -> dict[str, Any]:
    """Words at the top of the figure, with `x` on this side of them."""
    return {
        "x": x,
        "xanchor": side,
        "y": 1,
        "yref": "paper",
        "yanchor": "top",
        "text": text,
        "showarrow": False,
        "font": {"color": MUTED, "size": 11},
    }


def limit_line(limit_ms: float) -> dict[str, Any]:
    """A dashed upright line where a target lies."""
    return {
        "type": "line",
        "x0": limit_ms,
        "x1": limit_ms,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "line": {"color": INK, "dash": "4px,3px", "width": 1.25},
    }


def limit_words(limit_ms: float, text: str, *, is_right: bool) -> dict[str, Any]:
    """Words along the line of a target on a logarithmic axis."""
    return {
        "x": math.log10(limit_ms),
        "y": 0.03,
        "yref": "paper",
        "text": text,
        "textangle": -90,
        "xanchor": "left" if is_right else "right",
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"color": MUTED, "size": 11},
    }


def make_log(axis: dict[str, Any], low: float, high: float) -> None:
    """Make an axis of a figure logarithmic from `low` to `high`, with round ticks."""
    ticks = log_ticks(low, high)
    axis["type"] = "log"
    axis["range"] = [math.log10(low), math.log10(high)]
    axis["tickvals"] = ticks
    axis["ticktext"] = [f"{tick:,.0f}" if tick >= 1 else f"{tick:g}" for tick in ticks]


def log_ticks(low: float, high: float) -> list[float]:
    """At most MAX_TICKS round numbers in [low, high], evenly spread on a logarithmic scale."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for mantissas in _MANTISSAS:
        every = [round(m * 10.0**e, 12) for e in decades for m in mantissas]
        ticks = [tick for tick in every if low <= tick <= high and (tick == int(tick) or tick < 10)]
        if len(ticks) <= MAX_TICKS:
            return ticks
    return ticks[:: math.ceil(len(ticks) / MAX_TICKS)]


def add_dots(
    figure: Figure,
    name: str,
    points: Points,
    hover: str,
    *,
    is_failure: bool = False,
    labels: IntArray | None = None,
) -> None:
    """One dot per point, milliseconds over seconds; failures are crosses."""
    look = (
        {"color": VERMILLION, "symbol": "x", "size": 7}
        if is_failure
        else {"color": BLUE, "size": 6, "opacity": 0.8}
        if len(points) <= FEW
        else {"color": BLUE, "size": 4.5, "opacity": 0.5}
    )
    figure.add_scatter(
        x=points.at_s.astype(np.float32),
        y=milli(points.values_s),
        name=name,
        mode="markers",
        marker=look,
        hovertemplate=hover,
        customdata=None if labels is None else labels.astype(np.int32),
    )


def hatched(colour: str, shape: str) -> dict[str, Any]:
    """Strokes in the paper's colour over a bar, so that it is told apart without its colour too.
    Without a background of its own a hatched bar has none."""
    return {"shape": shape, "bgcolor": colour, "fgcolor": PAPER, "size": 6, "solidity": 0.25}


def add_line(figure: Figure, name: str, at_s: FloatArray, values_s: FloatArray) -> None:
    """A line through the middle of the dots."""
    figure.add_scatter(
        x=at_s.astype(np.float32),
        y=milli(values_s),
        name=name,
        mode="lines",
        line={"color": INK, "width": 2},
        hovertemplate=f"{name}: %{{y:,.4~g}} ms",
    )


def add_steps(
    figure: Figure,
    name: str,
    at_s: FloatArray,
    level: FloatArray,
    colour: str = BLUE,
    dash: str = "solid",
    axis: str = "y",
) -> None:
    """A level that holds from each moment to the next."""
    kept = keep_turns(at_s, level)
    figure.add_scatter(
        x=at_s[kept].astype(np.float32),
        y=level[kept].astype(np.float32),
        name=name,
        mode="lines",
        line={"color": colour, "dash": dash, "width": 1.6, "shape": "hv"},
        hovertemplate=f"{name}: %{{y:,.4~g}} at %{{x:,.2f}} s",
        yaxis=axis,
    )


def split(figure: Figure, y_title: str, top: float) -> None:
    """Two panels over one time axis; marks on y2 go to the lower one, from 0 to `top`."""
    lower = _axis(y_title, domain=[0.0, 0.24], anchor="x", range=[0, top], nticks=3)
    figure.update_layout(yaxis={"domain": [0.38, 1.0]}, yaxis2=lower, xaxis={"anchor": "y2"})


def slices(duration_s: float) -> FloatArray:
    """Edges of at most MAX_SLICES slices of the run, of a round width."""
    widths_s = np.array([m * 10.0**e for e in range(-5, 7) for m in (1, 2, 5)])
    width_s = widths_s[np.searchsorted(widths_s, max(duration_s, 1e-3) / MAX_SLICES)]
    count = max(math.ceil(duration_s / width_s), 1)
    edges: FloatArray = np.arange(count + 1) * width_s
    return edges
