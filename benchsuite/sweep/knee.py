"""The chart of a goodput search: what has to hold, against the rate."""

from typing import Any, Final

import numpy as np

from benchsuite.report.charts.base import Chart, Table, plain
from benchsuite.report.charts.distributions import CLASS_LOOKS
from benchsuite.report.charts.figure import INK, MUTED, PANEL, empty
from benchsuite.report.charts.plotly_figure import Figure
from benchsuite.report.quantities import milliseconds, number, percent
from benchsuite.sweep.goodput import Found

_LOOKS: Final = (
    ("pass", "good", "circle", CLASS_LOOKS[0][0]),
    ("fail", "not good", "x", CLASS_LOOKS[1][0]),
    ("open", "undecided", "diamond-open", CLASS_LOOKS[2][0]),
)
_Z: Final = 1.96  # standard errors on either side that hold 95 %


def knee(found: Found) -> Chart | None:
    """The criterion against the rate, with its limit and the interval of the goodput."""
    rates = found.goodput.rates
    if not rates:
        return None
    is_share = "attainment" in found.criterion
    first = rates[0]
    limit = first.value - first.margin if is_share else first.value + first.margin
    said = percent if is_share else milliseconds
    return Chart(
        key="knee",
        title="Where is the knee?",
        reading=f"The dashed line is the limit, {said(limit)}; the shaded rates are the 95 % "
        "interval of the goodput. A rate is good only if its backlog does not grow either.",
        figure=_figure(found, is_share, limit),
        table=Table(
            ("rate", "value", "standard error", "requests", "backlog", "standing"),
            tuple(
                (
                    number(one.rate),
                    said(one.value),
                    said(one.error),
                    f"{one.num:,}",
                    "steady" if one.is_stable else "grows",
                    one.standing,
                )
                for one in rates
            ),
        ),
        note="Whiskers: 1.96 standard errors, correlation between requests counted in.",
        height_px=340,
    )


def _figure(found: Found, is_share: bool, limit: float) -> Figure:
    rates, factor = found.goodput.rates, 1.0 if is_share else 1e3
    figure = empty(
        plain(found.key),
        "attainment" if is_share else "mean, ms",
        shapes=_shapes(found.goodput.interval, limit * factor),
    )
    figure.add_scatter(
        x=np.array([one.rate for one in rates], dtype=np.float32),
        y=np.array([one.value * factor for one in rates], dtype=np.float32),
        mode="lines",
        line={"color": MUTED, "width": 1.2},
        hoverinfo="skip",
        showlegend=False,
    )
    for standing, name, symbol, colour in _LOOKS:
        of = [one for one in rates if one.standing == standing]
        if not of:
            continue
        values = np.array([one.value * factor for one in of])
        errors = np.array([_Z * one.error * factor for one in of])
        room = 1.0 - values if is_share else errors  # no share is above all of them, or below none
        figure.add_scatter(
            x=np.array([one.rate for one in of], dtype=np.float32),
            y=values.astype(np.float32),
            name=name,
            mode="markers",
            marker={"color": colour, "size": 9, "symbol": symbol},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": np.minimum(errors, room).astype(np.float32),
                "arrayminus": np.minimum(errors, values).astype(np.float32),
                "thickness": 1.2,
                "width": 4,
            },
            hovertemplate="%{y:,.4~g} at %{x:,.4~g}",
        )
    if is_share:
        figure.update_yaxes(tickformat=".0%")
    return figure


def _shapes(interval: tuple[float | None, float | None], limit: float) -> list[dict[str, Any]]:
    """The limit, and the rates between which the goodput lies."""
    shapes: list[dict[str, Any]] = [
        {
            "type": "line",
            "xref": "paper",
            "x0": 0,
            "x1": 1,
            "y0": limit,
            "y1": limit,
            "line": {"color": INK, "dash": "4px,3px", "width": 1.25},
        }
    ]
    low, high = interval
    if low is not None and high is not None:
        shapes.append(
            {
                "type": "rect",
                "x0": low,
                "x1": high,
                "yref": "paper",
                "y0": 0,
                "y1": 1,
                "fillcolor": PANEL,
                "line": {"width": 0},
                "layer": "below",
            }
        )
    return shapes
