"""Charts of what a workload asks, before anything is sent."""

import numpy as np

from benchsuite.report.charts.base import Chart, Table
from benchsuite.report.charts.figure import BLUE, add_steps, empty, make_log, slices
from benchsuite.report.quantities import number, percent
from benchsuite.report.thinning import ecdf
from benchsuite.workloads.description import Columns, FloatArray

_SHARES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)


def workload_charts(columns: Columns) -> tuple[Chart, ...]:
    """Arrivals over time and the spread of lengths, turns and gaps; what there is of them."""
    drawn = (
        _rate(columns.starts_s),
        _spread("prompt", "Prompt lengths", "tokens", columns.prompt_tokens),
        _spread("output", "Output lengths", "tokens", columns.output_tokens),
        _spread("turns", "Requests per session", "requests", columns.turns),
        _spread("gaps", "Think and tool times before later turns", "s", columns.gaps_s),
    )
    return tuple(chart for chart in drawn if chart is not None)


def _rate(starts_s: FloatArray) -> Chart | None:
    """Arrivals in slices of time."""
    if len(starts_s) < 2 or starts_s[-1] == starts_s[0]:
        return None
    at_s = starts_s - starts_s[0]
    edges_s = slices(float(at_s[-1]))
    width_s = float(edges_s[1] - edges_s[0])
    rate = np.histogram(at_s, edges_s)[0] / width_s
    figure = empty("seconds since the first arrival", "sessions per second", showlegend=False)
    add_steps(figure, "rate", edges_s, np.append(rate, rate[-1]))
    figure.update_yaxes(rangemode="tozero")
    rows = (("mean", number(float(rate.mean()))), ("highest", number(float(rate.max()))))
    return Chart(
        key="rate",
        title="Arrivals",
        reading=f"Sessions that began, in slices of {number(width_s)} s.",
        figure=figure,
        table=Table(("slice", "sessions per second"), rows),
    )


def _spread(key: str, title: str, unit: str, values: FloatArray) -> Chart | None:
    if not len(values) or values.max() == values.min():
        return None
    x, share = ecdf(values)
    figure = empty(unit, "share at or below", showlegend=False)
    figure.add_scatter(
        x=np.concatenate([x[:1], x]).astype(np.float32),
        y=np.concatenate([[0.0], share]).astype(np.float32),
        name=title,
        mode="lines",
        line={"color": BLUE, "width": 2, "shape": "hv"},
        hovertemplate="%{y:.2%} at or below %{x:,.4~g}",
    )
    low = float(np.quantile(values, 0.005))
    if low > 0 and values.max() > 20 * low:
        make_log(figure.layout["xaxis"], low / 1.15, float(values.max()) * 1.15)
    figure.update_yaxes(tickformat=".0%", range=[-0.02, 1.03], dtick=0.25)
    at = np.quantile(values, _SHARES)
    return Chart(
        key=f"spread-{key}",
        title=title,
        reading=f"Half are at or below {number(float(at[2]))}, the largest is "
        f"{number(float(values.max()))}.",
        figure=figure,
        table=Table(
            ("share at or below", unit),
            tuple((percent(p), number(float(x))) for p, x in zip(_SHARES, at, strict=True)),
        ),
        is_wide=False,
        height_px=280,
    )
