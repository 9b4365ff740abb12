"""Where the slowest requests spent their time, and the tools or pauses that came before them.

What the client saw (due, sent, first and last token, end) is one clock. A server that tells how
long a request lay in its queue and was read in there has a clock of its own, and does not say when:
its stages are laid one after the other behind sending, and what they leave of the wait follows.
"""

from typing import Final, NamedTuple

import numpy as np

from benchsuite.exchange import STAGES
from benchsuite.records.table import FloatArray, IntArray, RunData
from benchsuite.report.charts.base import Chart, Table, slowest
from benchsuite.report.charts.figure import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    PURPLE,
    VERMILLION,
    empty,
    hatched,
    milli,
)
from benchsuite.report.charts.plotly_figure import Figure
from benchsuite.report.quantities import milliseconds
from benchsuite.results.result import RunResult

MOST_BEFORE: Final = 1.0  # of the longest request: what of the time before it is in view
_ROUNDING_S: Final = 1e-6
_WAITED: Final = tuple(stage for stage in STAGES if stage != "decode")  # until the first token
_LOOKS: Final = {
    "tools": (GREEN, "/"),
    "paused": (MUTED, "/"),
    "due to sent": (INK, "/"),
    "queue": (PURPLE, "\\"),
    "encode": (GREEN, "."),
    "prefill": (VERMILLION, ""),
    "transfer": (GREEN, "x"),
    "sent to first token": (VERMILLION, ""),
    "rest until first token": (MUTED, "."),
    "first to last token": (BLUE, ""),
    "last token to end": (PURPLE, "x"),
}


def waterfall(result: RunResult, data: RunData) -> Chart | None:
    """The slowest requests of the window from when they were due, with what came before."""
    worst = slowest(data)
    if not len(worst):
        return None
    labels = [
        f"{'' if data.status[i] == 'ok' else '× '}{int(data.request_id[i])}" for i in worst.tolist()
    ]
    before, phases = _before(data, worst), _phases(data, worst)
    figure = empty("after it was due, ms", "request")
    _add(figure, labels, before, phases)
    took = {name: span.took_s for name, span in before.items()} | phases
    cells = [[milliseconds(s) for s in took_s.tolist()] for took_s in took.values()]
    failed = any(data.status[i] != "ok" for i in worst.tolist())
    return Chart(
        key="waterfall",
        title="What were the slowest requests waiting for?",
        reading=(
            f"The {len(worst)} slowest requests of the measured window, worst first, numbered "
            f"as in requests.parquet{'; × marks those that failed' if failed else ''}."
            if len(worst) > 1
            else "The only request of the measured window."
        )
        + _words(data, worst, result, before),
        figure=figure,
        table=Table(("request", *took), tuple(zip(labels, *cells, strict=True))),
        note=_fit(figure, before, phases),
        height_px=110 + 20 * len(worst),
    )


class _Span(NamedTuple):
    """Time before a request was due, [worst]; 0 s where there was none."""

    from_s: FloatArray  # after it was due: negative
    took_s: FloatArray


def _before(data: RunData, which: IntArray) -> dict[str, _Span]:
    """The tools whose results a request brought; else the pause since its session's last answer."""
    origin_s = data.origin_s[which]
    since_s = _answered_s(data)[which] - origin_s
    spans = {"paused": (since_s, -since_s)}
    if data.tools is not None and len(data.tools.result_request):
        started_s, ended_s = np.full(len(data), np.inf), np.full(len(data), -np.inf)
        np.minimum.at(started_s, data.tools.result_request, data.tools.result_started_s)
        np.maximum.at(ended_s, data.tools.result_request, data.tools.result_ended_s)
        with_tools = np.isfinite(started_s[which])
        spans = {
            "tools": (started_s[which] - origin_s, (ended_s - started_s)[which]),
            "paused": (since_s, np.where(with_tools, 0.0, -since_s)),
        }
    known = {}
    for name, (from_s, took_s) in spans.items():
        there = np.isfinite(from_s) & (took_s > 0)
        if there.any():
            known[name] = _Span(np.where(there, from_s, 0.0), np.where(there, took_s, 0.0))
    return known


def _answered_s(data: RunData) -> FloatArray:
    """When the answer ended that came before a request in its session, [n]; NaN: none had."""
    order = np.lexsort((data.origin_s, data.session))
    before, after = order[:-1], order[1:]
    answered_s = np.full(len(data), np.nan)
    follows = data.session[before] == data.session[after]
    answered_s[after[follows]] = data.finished_s[before[follows]]
    return answered_s


def _stages(data: RunData, which: IntArray) -> FloatArray:
    """Seconds of each stage of _WAITED as servers told them, [worst, stages]; NaN: not told. Of a
    request whose stages do not fit into the wait that the client saw, none."""
    if data.stages_s is None:
        return np.full((len(which), len(_WAITED)), np.nan)
    stages_s = data.stages_s[which][:, [STAGES.index(name) for name in _WAITED]]
    waited_s = _seen(data, which)["sent to first token"]
    fits = np.nansum(stages_s, axis=1) <= waited_s + _ROUNDING_S
    return np.where(fits[:, None], stages_s, np.nan)


def _phases(data: RunData, which: IntArray) -> dict[str, FloatArray]:
    """Seconds in each phase from due to finished, [worst]: the client's, and the server's within
    the wait for the first token, where it told any."""
    seen, stages_s = _seen(data, which), _stages(data, which)
    if np.isnan(stages_s).all():
        return seen
    waited_s = seen.pop("sent to first token")
    told = dict(zip(_WAITED, np.nan_to_num(stages_s).T, strict=True))
    rest_s = np.maximum(waited_s - np.nansum(stages_s, axis=1), 0.0)
    return {
        "due to sent": seen.pop("due to sent"),
        **{name: took_s for name, took_s in told.items() if took_s.any()},
        "rest until first token": rest_s,
        **seen,
    }


def _seen(data: RunData, which: IntArray) -> dict[str, FloatArray]:
    """Seconds in each phase that the client sees, [worst]; what never came is counted to the
    phase that was waiting."""
    end_s = data.finished_s[which]
    moments_s = [data.origin_s[which]]
    for column in (data.sent_s, data.first_token_s, data.last_token_s):
        moment_s = column[which]
        moments_s.append(np.where(np.isnan(moment_s), end_s, moment_s))
    gaps_s = np.maximum(np.diff([*moments_s, end_s], axis=0), 0.0)
    names = ("due to sent", "sent to first token", "first to last token", "last token to end")
    return dict(zip(names, gaps_s, strict=True))


def _add(
    figure: Figure, labels: list[str], before: dict[str, _Span], phases: dict[str, FloatArray]
) -> None:
    """A bar for each request and phase; those with a base of their own are no part of the stack."""
    spans = {name: _Span(np.zeros(0), took_s) for name, took_s in phases.items()}
    for name, span in (before | spans).items():
        colour, pattern = _LOOKS[name]
        figure.add_bar(
            x=milli(span.took_s),
            base=milli(span.from_s) if name in before else None,
            y=labels,
            name=name,
            orientation="h",
            marker={"color": colour, "line": {"width": 0}, "pattern": hatched(colour, pattern)},
            hovertemplate=f"%{{y}}, {name}: %{{customdata:,.4~g}} ms",
            customdata=milli(span.took_s),
        )
    figure.update_layout(barmode="stack", bargap=0.35)
    figure.update_yaxes(
        autorange="reversed", type="category", showgrid=False, tickfont={"size": 11}
    )


def _fit(figure: Figure, before: dict[str, _Span], phases: dict[str, FloatArray]) -> str:
    """Keep long times before from squeezing the requests; says what was cut off."""
    longest_s = float(np.max(np.sum(list(phases.values()), axis=0)))
    first_s = min((float(span.from_s.min()) for span in before.values()), default=0.0)
    if -first_s <= MOST_BEFORE * longest_s:
        return ""
    ends_ms = (-MOST_BEFORE * longest_s * 1e3, 1.02 * longest_s * 1e3)
    figure.update_xaxes(range=list(ends_ms))
    return "Longer times before a request are cut off at the left; the table has them."


def _words(data: RunData, which: IntArray, result: RunResult, before: dict[str, _Span]) -> str:
    """Whose clock says what."""
    num = int((~np.isnan(_stages(data, which)).all(axis=1)).sum())
    if not num:
        words = " The server did not tell how long a request lay in its queue: all is the client's."
    else:
        words = (
            " How long each stage took until the first token is the server's own word"
            f"{'' if num == len(which) else f' on {num} of them'}, laid one after the other behind "
            "sending; the rest (the network, what the server held back) follows. All else is the "
            "client's clock."
        )
    if "tools" in before:
        words += " Left of zero: the tools whose results a request brought."
    if "paused" in before:
        named = result.scenario.get("workload", {})
        pause = "tools" if isinstance(named, dict) and named.get("tools") else "tools or thinking"
        words += f" Paused: {pause} since its session's answer before."
    return words
