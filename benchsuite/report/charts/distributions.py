"""How long things take: the share of values at or below each duration, with the targets."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from benchsuite.metrics import latency
from benchsuite.metrics.base import Summary
from benchsuite.metrics.statistics import interpolated, values_needed
from benchsuite.records.table import FloatArray, RunData
from benchsuite.report.charts.base import Chart, Table, plain
from benchsuite.report.charts.figure import (
    BLUE,
    GREEN,
    PAPER,
    PURPLE,
    VERMILLION,
    empty,
    limit_line,
    limit_words,
    make_log,
    milli,
)
from benchsuite.report.charts.plotly_figure import Figure
from benchsuite.report.quantities import milliseconds
from benchsuite.report.thinning import ecdf_of
from benchsuite.results.result import RunResult

MAX_POINTS: Final = 2_000
CLASS_LOOKS: Final = ((BLUE, "solid"), (VERMILLION, "dash"), (GREEN, "dot"), (PURPLE, "dashdot"))
_MARKED: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
_SHARES: Final = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0)


class _Kind(NamedTuple):
    """What the distribution charts differ in."""

    metric: str
    slo: str
    title: str
    axis: str
    sentence: str  # completes "Half of the n ..."
    values: Callable[[RunData], FloatArray]  # of each request, or of each token
    is_of_tokens: bool = False


def ttft(result: RunResult, data: RunData) -> Chart | None:
    return _draw(_TTFT, result, data)


def tpot(result: RunResult, data: RunData) -> Chart | None:
    return _draw(_TPOT, result, data)


def itl(result: RunResult, data: RunData) -> Chart | None:
    return _draw(_ITL, result, data)


def e2e_latency(result: RunResult, data: RunData) -> Chart | None:
    return _draw(_E2E, result, data)


_TTFT: Final = _Kind(
    "ttft",
    "ttft",
    "How long until the first token?",
    "time to first token, ms",
    "requests had it within",
    latency.ttft,
)
_TPOT: Final = _Kind(
    "tpot",
    "tpot",
    "How fast do the other tokens follow?",
    "time per output token, ms",
    "requests took at most",
    latency.tpot,
)
_ITL: Final = _Kind(
    "itl",
    "itl_p99",
    "How even is the stream?",
    "gap between tokens, ms",
    "gaps between tokens were at most",
    latency.itl,
    is_of_tokens=True,
)
_E2E: Final = _Kind(
    "e2e_latency",
    "e2e_latency",
    "How long does the whole answer take?",
    "from due to finished, ms",
    "requests were done within",
    latency.e2e_latency,
)


def _draw(kind: _Kind, result: RunResult, data: RunData) -> Chart | None:
    classes = _by_class(kind, data)
    if not classes:
        return None
    values_s = _together(classes)
    limits_s = _limits(result, kind.slo)
    figure = empty(
        kind.axis,
        "share at or below",
        shapes=[limit_line(limit_s * 1e3) for limit_s in limits_s.values()],
        annotations=_limit_words(limits_s, values_s),
        showlegend=len(classes) > 1,
    )
    for (name, own_s), (colour, dash) in zip(classes.items(), CLASS_LOOKS, strict=False):
        _add_ecdf(figure, plain(name), own_s, colour, dash)
    _set_axes(figure, values_s, tuple(limits_s.values()))
    return Chart(
        key=f"spread-{kind.metric}",
        title=kind.title,
        reading=_reading(kind, values_s, result.summaries.get(kind.metric)),
        figure=figure,
        table=_table(classes),
        note=_note(values_s, classes),
        is_wide=False,
        height_px=280,
    )


def _by_class(kind: _Kind, data: RunData) -> dict[str, FloatArray]:
    """Ascending values of each SLO class, of requests in the window that ended well; all in one
    where there are too many classes to tell apart."""
    names = sorted(set(data.slo_class))
    if not 1 < len(names) <= len(CLASS_LOOKS):
        found = {names[0] if len(names) == 1 else "all classes": _ascending(kind, data, None)}
    else:
        found = {name: _ascending(kind, data, name) for name in names}
    return {name: values_s for name, values_s in found.items() if len(values_s)}


def _ascending(kind: _Kind, data: RunData, slo_class: str | None) -> FloatArray:
    """The values of a class, or of all of them."""

    def counted_s(data: RunData) -> FloatArray:
        counted = data.in_window & data.ok
        if slo_class is not None:
            counted &= np.array(data.slo_class) == slo_class
        chosen = data.per_token(counted) if kind.is_of_tokens else counted
        values_s: FloatArray = kind.values(data)[chosen]
        return values_s

    found = data.gathered(counted_s)
    found.sort()
    return found


def _together(classes: dict[str, FloatArray]) -> FloatArray:
    """Ascending values of all of them."""
    columns = list(classes.values())
    return columns[0] if len(columns) == 1 else np.sort(np.concatenate(columns))


def _add_ecdf(figure: Figure, name: str, values_s: FloatArray, colour: str, dash: str) -> None:
    x_s, share = ecdf_of(values_s, MAX_POINTS)
    figure.add_scatter(
        x=milli(np.concatenate([x_s[:1], x_s])),
        y=np.concatenate([[0.0], share]).astype(np.float32),
        name=name,
        mode="lines",
        line={"color": colour, "dash": dash, "width": 2, "shape": "hv"},
        hovertemplate=f"{name}: %{{y:.2%}} within %{{x:,.4~g}} ms",
    )
    marked = [label for label, p in _MARKED.items() if len(values_s) >= values_needed(p)]
    shares = [_MARKED[label] for label in marked]
    figure.add_scatter(
        x=milli(interpolated(values_s, np.array(shares))),
        y=np.array(shares, dtype=np.float32),
        name=name,
        mode="markers",
        marker={"color": colour, "size": 8, "line": {"color": PAPER, "width": 1.5}},
        hovertemplate=f"{name}: %{{customdata}} = %{{x:,.4~g}} ms",
        customdata=marked,
        showlegend=False,
    )


def _limit_words(limits_s: dict[str, float], values_s: FloatArray) -> list[dict[str, Any]]:
    """What each target is; whose, where classes differ. On the side where no line is likely."""
    whose = {name: f"{plain(name)} " if len(limits_s) > 1 else "" for name in limits_s}
    return [
        limit_words(
            limit_s * 1e3,
            f"{whose[name]}target {milliseconds(limit_s)}",
            is_right=0.5 < int(np.searchsorted(values_s, limit_s, "right")) / len(values_s) < 1,
        )
        for name, limit_s in limits_s.items()
    ]


def _set_axes(figure: Figure, values_s: FloatArray, limits_s: tuple[float, ...]) -> None:
    """From the first half percent on, below which nobody looks, to the longest; targets in view."""
    positive_s = values_s[np.searchsorted(values_s, 0.0, "right") :]
    if len(positive_s):
        longest_s = float(positive_s[-1])
        low_s = min(float(interpolated(positive_s, np.array(0.005))), *limits_s, longest_s)
        high_s = max(longest_s, *limits_s, low_s)
        make_log(figure.layout["xaxis"], low_s * 1e3 / 1.15, high_s * 1e3 * 1.15)
    figure.update_yaxes(tickformat=".0%", range=[-0.02, 1.03], dtick=0.25)


def _reading(kind: _Kind, values_s: FloatArray, summary: Summary | None) -> str:
    """The summary's own quantiles in words, so that chart and table cannot disagree."""
    n, longest = len(values_s), milliseconds(float(values_s[-1]))
    if n == 1:
        return f"One value: {longest}."
    parts = []
    if summary is not None and summary.p50 is not None:
        parts.append(f"half of the {n:,} {kind.sentence} {milliseconds(summary.p50)}")
    if summary is not None and summary.p99 is not None:
        parts.append(f"99 % within {milliseconds(summary.p99)}")
    parts.append(f"the longest took {longest}")
    text = ", ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _note(values_s: FloatArray, classes: dict[str, FloatArray]) -> str:
    drawn = sum(min(len(values), MAX_POINTS) for values in classes.values())
    if drawn == len(values_s):
        return ""
    return f"{drawn:,} of {len(values_s):,} points drawn, densest in the tail, the longest all."


def _table(classes: dict[str, FloatArray]) -> Table:
    shares = np.array(_SHARES)
    columns = [
        [
            milliseconds(x) if p == 1 or len(values_s) >= values_needed(p) else "too few"
            for p, x in zip(_SHARES, interpolated(values_s, shares).tolist(), strict=True)
        ]
        for values_s in classes.values()
    ]
    labels = [f"{p * 100:g} %" for p in _SHARES]
    return Table(("share at or below", *classes), tuple(zip(labels, *columns, strict=True)))


def _limits(result: RunResult, slo: str) -> dict[str, float]:
    """The targets that can be drawn, per SLO class; one where all classes agree."""
    found = {
        name: limit
        for name, attainment in result.attainment.items()
        if slo in attainment.slos and (limit := attainment.slos[slo].limit)
    }
    return dict(list(found.items())[:1]) if len(set(found.values())) == 1 else found
