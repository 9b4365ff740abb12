"""What the server and the meters said of themselves while the requests ran."""

from collections.abc import Callable

import numpy as np

from benchsuite.metrics.server import SOURCE
from benchsuite.records.table import FloatArray, RunData
from benchsuite.report.charts.base import Chart, Table
from benchsuite.report.charts.figure import BLUE, GREEN, PURPLE, VERMILLION, add_steps, over_time
from benchsuite.report.charts.plotly_figure import Figure
from benchsuite.report.quantities import number, percent
from benchsuite.results.result import RunResult

_LOOKS = ((BLUE, "solid"), (VERMILLION, "dot"), (GREEN, "dash"), (PURPLE, "dashdot"))
_ROWS = 10


def server_queue(result: RunResult, data: RunData) -> Chart | None:
    """Requests that the server was working on, and that waited in its queue, by its own gauges."""
    lines = {name: _read(data, SOURCE + name) for name in ("running", "waiting")}
    lines = {name: readings for name, readings in lines.items() if len(readings)}
    if not lines:
        return None
    figure = _drawn(result, "requests", lines)
    figure.update_yaxes(rangemode="tozero")
    peaks = ", ".join(f"{number(float(r[:, 1].max()))} {name}" for name, r in lines.items())
    return Chart(
        key="server-queue",
        title="What did the server say of its queue?",
        reading=f"At most {peaks} at once, by the server's own gauges. Those that wait here wait "
        "in the server; those that are in flight and in neither line are on the way.",
        figure=figure,
        table=_table(lines, result.duration_s, number),
        note=_every(next(iter(lines.values()))),
        height_px=260,
    )


def server_cache(result: RunResult, data: RunData) -> Chart | None:
    """KV cache in use, and the share of prompt tokens found in the prefix cache since the reading
    before."""
    lines = {"KV cache in use": _read(data, SOURCE + "kv_usage_share"), "prefix hits": _hits(data)}
    lines = {name: readings for name, readings in lines.items() if len(readings)}
    if not lines:
        return None
    figure = _drawn(result, "share", lines)
    figure.update_yaxes(tickformat=".0%", range=[-0.02, 1.03])
    said = ", ".join(f"{name} at most {percent(float(r[:, 1].max()))}" for name, r in lines.items())
    return Chart(
        key="server-cache",
        title="How full was the server's cache, and how much did it find there?",
        reading=f"By its own counters: {said}. A full cache makes requests wait or be thrown out; "
        "hits are prompt tokens that were not computed again.",
        figure=figure,
        table=_table(lines, result.duration_s, percent),
        note=_every(next(iter(lines.values()))),
        height_px=260,
    )


def power(result: RunResult, data: RunData) -> Chart | None:
    """Watts of each meter: its own reading, or the rise of its counter since the step before."""
    meters = sorted(
        {k.split(".")[0] for k in data.samples if k.endswith((".energy_j", ".power_w"))}
    )
    lines = {meter: _watts(data, meter) for meter in meters}
    lines = {meter: readings for meter, readings in lines.items() if len(readings)}
    if not lines:
        return None
    figure = _drawn(result, "power, W", lines)
    figure.update_yaxes(rangemode="tozero")
    peaks = ", ".join(f"{name} {number(float(r[:, 1].max()))} W" for name, r in lines.items())
    return Chart(
        key="power",
        title="How much power was drawn?",
        reading=f"At most: {peaks}. Energy per token is in the table of cost and energy.",
        figure=figure,
        table=_table(lines, result.duration_s, number),
        height_px=260,
    )


def _drawn(result: RunResult, axis: str, lines: dict[str, FloatArray]) -> Figure:
    """A step at each reading; lines differ in dash as well as in colour."""
    figure = over_time(result, axis)
    for at, (name, readings) in enumerate(lines.items()):
        add_steps(figure, name, readings[:, 0], readings[:, 1], *_LOOKS[at % len(_LOOKS)])
    return figure


def _read(data: RunData, key: str) -> FloatArray:
    return data.samples.get(key, np.empty((0, 2)))


def _hits(data: RunData) -> FloatArray:
    """[k, 2]: from each reading on, hits / look-ups until the next; where none looked up, nothing
    is known and the last share holds. Without look-ups, the server's own share."""
    hits = _read(data, SOURCE + "prefix_hits_total")
    asked = _read(data, SOURCE + "prefix_queries_total")
    if len(hits) < 2 or len(hits) != len(asked):
        return _read(data, SOURCE + "prefix_hit_share")
    rise, of = np.diff(hits[:, 1]), np.diff(asked[:, 1])
    known = of > 0
    return np.column_stack((hits[:-1, 0][known], np.clip(rise[known] / of[known], 0.0, 1.0)))


def _watts(data: RunData, meter: str) -> FloatArray:
    """A counter that moves less often than it is read stands still and jumps: its steps count."""
    joules = _read(data, f"{meter}.energy_j")
    if len(joules) < 2:
        return _read(data, f"{meter}.power_w")
    steps = joules[np.concatenate(([True], np.diff(joules[:, 1]) > 0))]
    rise = np.diff(steps, axis=0)
    return np.column_stack((steps[:-1, 0], rise[:, 1] / rise[:, 0]))


def _table(lines: dict[str, FloatArray], end_s: float, written: Callable[[float], str]) -> Table:
    """Each line at ten moments of the run; a dash before its first reading."""
    moments_s = np.linspace(0.0, end_s, _ROWS + 1)[1:]
    cells = []
    for readings in lines.values():
        at = np.searchsorted(readings[:, 0], moments_s, side="right") - 1
        cells.append([written(float(readings[i, 1])) if i >= 0 else "–" for i in at.tolist()])
    rows = zip([f"{number(float(t))} s" for t in moments_s], *cells, strict=True)
    return Table(("at", *lines), tuple(rows))


def _every(readings: FloatArray) -> str:
    if len(readings) < 2:
        return "Read once."
    every_s = float(np.median(np.diff(readings[:, 0])))
    return f"Read every {number(every_s)} s; what was in between is not known."
