"""How requests ended: targets met, what went wrong."""

from typing import Final, NamedTuple

import numpy as np

from benchsuite.metrics.base import Interval
from benchsuite.records.table import RunData
from benchsuite.report.charts.base import Chart, Table, plain
from benchsuite.report.charts.figure import (
    BLUE,
    MUTED,
    VERMILLION,
    empty,
)
from benchsuite.report.charts.plotly_figure import Figure
from benchsuite.report.quantities import bounds, percent
from benchsuite.results.result import RunResult

MAX_ERROR_CLASSES: Final = 12
MAX_CLASSES: Final = 8


class _Share(NamedTuple):
    label: str
    slo_class: str
    share: float
    interval: Interval
    is_joint: bool


def attainment(result: RunResult, data: RunData) -> Chart | None:
    """The share of requests that met each target, per class, with its interval."""
    del data
    shares = _shares(result)
    if not shares:
        return None
    figure = empty("share of requests")
    _add_shares(figure, [share for share in shares if share.is_joint], BLUE, "diamond")
    _add_shares(figure, [share for share in shares if not share.is_joint], MUTED, "circle")
    low = min(share.interval[0] for share in shares)
    figure.update_xaxes(tickformat=".4~%", range=[low - (1 - low) * 0.05 - 0.002, 1.002])
    labels = [share.label for share in reversed(shares)]
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=labels)
    figure.update_layout(showlegend=False)
    joint = [share for share in shares if share.is_joint]
    worst = min(joint, key=lambda share: share.share)
    least = f", least in {plain(worst.slo_class)}" if len(joint) > 1 else ""
    return Chart(
        key="attainment",
        title="What share of requests met their targets?",
        reading=f"All targets together{least}: {percent(worst.share)} "
        f"({bounds(worst.interval)}). A request that failed is a miss.",
        figure=figure,
        table=Table(
            ("class and target", "share met", "95 % interval"),
            tuple((share.label, percent(share.share), bounds(share.interval)) for share in shares),
        ),
        note="Whiskers are 95 % intervals (Wilson).",
        height_px=90 + 30 * len(shares),
    )


def _shares(result: RunResult) -> list[_Share]:
    """A row for each class of requests, and one for each of its targets where it has several."""
    rows: list[_Share] = []
    for name, found in list(result.attainment.items())[:MAX_CLASSES]:
        if found.share is None or found.interval is None:
            continue
        rows.append(_Share(f"{plain(name)}: all targets", name, found.share, found.interval, True))
        rows += [
            _Share(
                f"{plain(name)}: {plain(slo)} {target.in_words}",
                name,
                target.share,
                target.interval,
                False,
            )
            for slo, target in found.slos.items()
            if target.share is not None and target.interval is not None
        ]
    return rows


def _add_shares(figure: Figure, rows: list[_Share], colour: str, symbol: str) -> None:
    share = np.array([row.share for row in rows])
    low, high = (np.array([row.interval[i] for row in rows]) for i in (0, 1))
    figure.add_scatter(
        x=share.astype(np.float32),
        y=[row.label for row in rows],
        mode="markers",
        marker={"color": colour, "symbol": symbol, "size": 10},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": (high - share).astype(np.float32),
            "arrayminus": (share - low).astype(np.float32),
            "color": colour,
            "thickness": 1.5,
            "width": 5,
        },
        hovertemplate="%{y}: %{x:.2%}",
    )


def errors(result: RunResult, data: RunData) -> Chart | None:
    """How many requests failed, by what went wrong; one kind alone needs no chart."""
    del data
    counts = sorted(result.errors.items(), key=lambda item: (-item[1], item[0]))
    if len(counts) < 2:
        return None
    shown, total = counts[:MAX_ERROR_CLASSES], sum(result.errors.values())
    figure = empty("requests")
    figure.add_bar(
        x=np.array([count for _, count in shown], dtype=np.int32),
        y=[plain(name) for name, _ in shown],
        orientation="h",
        marker={"color": VERMILLION},
        text=[f"{count:,}" for _, count in shown],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:,}",
    )
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False)
    figure.update_layout(showlegend=False, bargap=0.45)
    return Chart(
        key="errors",
        title="What went wrong?",
        reading=f"{total:,} of {result.requests.sent:,} requests sent did not end well, "
        f"most often: {counts[0][0]} ({counts[0][1]:,}).",
        figure=figure,
        table=Table(
            ("error class", "requests"), tuple((name, f"{count:,}") for name, count in counts)
        ),
        note="The rarer classes are in the table." if len(counts) > len(shown) else "",
        height_px=90 + 28 * len(shown),
    )
