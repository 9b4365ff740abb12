"""How it went over time: waiting, stalls, requests in flight, arrivals, tokens per second."""

from itertools import pairwise
from typing import Final

import numpy as np

from benchsuite.metrics import latency
from benchsuite.records.table import FloatArray, RunData
from benchsuite.report.charts.base import Chart, Points, Table, per_request, per_token
from benchsuite.report.charts.figure import (
    GREEN,
    INK,
    VERMILLION,
    add_dots,
    add_line,
    add_steps,
    make_log,
    over_time,
    slices,
    split,
)
from benchsuite.report.charts.plotly_figure import Figure
from benchsuite.report.quantities import milliseconds, number
from benchsuite.report.thinning import keep_longest, running_count
from benchsuite.results.result import RunResult

MAX_DOTS: Final = 5_000
MAX_FAILURES: Final = 1_000
STALL: Final = 5.0  # medians from which a value is a stall
MIN_LONGEST: Final = 50
MANY: Final = 2_000  # turns from which a step line is thinned


def ttft_over_time(result: RunResult, data: RunData) -> Chart | None:
    """Each request's time to first token at the moment it was due; failures at when they failed."""
    is_lost = np.array([status in ("error", "timeout") for status in data.status], dtype=np.bool_)
    points = per_request(latency.ttft(data), data).where(data.ok).known
    failed = per_request(latency.e2e_latency(data), data).where(is_lost).known
    if not len(points) + len(failed):
        return None
    drawn, note = _thin(points, MAX_DOTS)
    figure = over_time(result, "time to first token, ms")
    _fit(figure, np.concatenate([points.values_s, failed.values_s]))
    add_dots(figure, "request", drawn, "due at %{x:,.2f} s: %{y:,.4~g} ms")
    if len(failed):
        hover = "due at %{x:,.2f} s, failed after %{y:,.4~g} ms"
        add_dots(figure, "failed after", _thin(failed, MAX_FAILURES)[0], hover, is_failure=True)
    _add_median(figure, points)
    return Chart(
        key="time-ttft",
        title="Does the first token come later as the run goes on?",
        reading=_drift(points, result, "time to first token"),
        figure=figure,
        table=_table(points),
        note=note,
    )


def itl_over_time(result: RunResult, data: RunData) -> Chart | None:
    """Gaps between tokens at the moment they ended: stalls stand out."""
    found = per_token(latency.itl, data)
    points, every = found.points, found.points.and_also(found.longest)
    if not len(points):
        return None
    drawn, note = _thin(every, MAX_DOTS)
    if found.step > 1:
        note += f" Medians, the table and all but the longest are of one request in {found.step}."
    figure = over_time(result, "gap between tokens, ms")
    _fit(figure, points.values_s)
    hover = "at %{x:,.2f} s: %{y:,.4~g} ms, request %{customdata}"
    add_dots(figure, "gap", drawn, hover, labels=data.request_id[drawn.request])
    _add_median(figure, points)
    worst = int(every.values_s.argmax())
    return Chart(
        key="time-itl",
        title="When did the stream stall?",
        reading=f"The longest gap, {milliseconds(float(every.values_s[worst]))}, ended "
        f"{number(float(every.at_s[worst]))} s into the run, in request "
        f"{int(data.request_id[every.request[worst]])}; "
        f"the median gap is {milliseconds(float(np.median(points.values_s)))}.",
        figure=figure,
        table=_table(points),
        note=note,
    )


def in_flight(result: RunResult, data: RunData) -> Chart | None:
    """Requests that the server had at each moment, and how many of them waited for a token."""
    sent_s = data.sent_s[~np.isnan(data.sent_s)]
    if not len(sent_s):
        return None
    end_s = np.where(np.isnan(data.finished_s), result.duration_s, data.finished_s)
    first_s = np.where(np.isnan(data.first_token_s), end_s, data.first_token_s)
    end_s, first_s = end_s[~np.isnan(data.sent_s)], first_s[~np.isnan(data.sent_s)]
    at_s, count = running_count(sent_s, end_s)
    figure = over_time(result, "requests")
    add_steps(figure, "in flight", at_s, count)
    waiting, decoding = running_count(sent_s, first_s), running_count(first_s, end_s)
    add_steps(figure, "waiting for a first token", *waiting, VERMILLION, "dot")
    add_steps(figure, "decoding", *decoding, GREEN, "dash")
    mean = float(np.sum(end_s - sent_s)) / max(result.duration_s, 1e-9)
    peak = int(count.argmax())
    return Chart(
        key="in-flight",
        title="How many requests were in flight?",
        reading=f"{number(mean)} on average, at most {number(float(count[peak]))}, "
        f"{number(float(at_s[peak]))} s into the run. "
        f"{_phases(result)}"
        "A line that keeps rising means that more is asked than the server can do.",
        figure=figure,
        table=_side_by_side(
            _levels(at_s, count, result.duration_s, "in flight"),
            _levels(*waiting, result.duration_s, "waiting for a first token"),
            _levels(*decoding, result.duration_s, "decoding"),
        ),
        note=_turns_note(at_s),
    )


def _phases(result: RunResult) -> str:
    """Means of the window, of those before and after their first token."""
    found = [result.summaries.get(f"{phase}_concurrency") for phase in ("prefill", "decode")]
    means = [each.mean for each in found if each is not None and each.mean is not None]
    if len(means) < 2:
        return ""
    return (
        f"In the measured window {number(means[0])} waited for a first token on average, the "
        f"server's queue included, and {number(means[1])} were decoding. "
    )


def throughput(result: RunResult, data: RunData) -> Chart | None:
    """Output tokens per second in slices of the run, of requests that ended well."""
    if not data.num_stamped[data.ok].sum():
        return None
    edges_s = slices(max(result.duration_s, float(np.nanmax(data.last_token_s[data.ok]))))
    rate = sum(_tokens_between(edges_s, piece) for piece in data.pieces()) / np.diff(edges_s)
    figure = over_time(result, "tokens/s")
    add_steps(figure, "output tokens/s", edges_s, np.append(rate, rate[-1]))
    figure.update_layout(showlegend=False)
    summary = result.summaries.get("output_token_rate")
    mean = None if summary is None else summary.mean
    return Chart(
        key="throughput",
        title="How many tokens came out per second?",
        reading=("" if mean is None else f"{number(mean)} per second in the measured window. ")
        + f"Each step is {number(float(edges_s[1]))} s of tokens of requests that ended well.",
        figure=figure,
        table=_levels(edges_s[:-1], rate, result.duration_s, "output tokens/s"),
        height_px=260,
    )


def _tokens_between(edges_s: FloatArray, data: RunData) -> FloatArray:
    counted = data.per_chunk(data.ok)
    tokens = data.chunk_tokens[counted].astype(np.float64)
    return np.histogram(data.chunk_s[counted], edges_s, weights=tokens)[0]


def arrivals(result: RunResult, data: RunData) -> Chart | None:
    """Requests asked for and sent by each moment; below, how many were due and not yet sent."""
    sent_s = np.sort(data.sent_s[~np.isnan(data.sent_s)])
    due_s = data.due_s[~np.isnan(data.due_s)]
    planned_s = data.planned_due_s if len(data.planned_due_s) > len(due_s) else due_s
    if not len(sent_s):
        return None
    nothing = np.empty(0)
    figure = over_time(result, "requests")
    sent = running_count(sent_s, nothing)
    table = _levels(*sent, result.duration_s, "sent so far")
    if len(due_s) < len(data):  # a closed loop; at most later turns of its sessions are due
        add_steps(figure, "sent", *sent)
        figure.update_layout(showlegend=False)
        later = ", or its turn was due" if len(due_s) else ""
        reading = f"{len(sent_s):,} requests were sent, each as soon as a slot was free{later}."
        return Chart("arrivals", "When were requests sent?", reading, figure, table, height_px=260)
    behind = running_count(planned_s, sent_s)
    edges_s, mean_behind = _slice_means(*behind, result.duration_s)
    add_steps(figure, "sent", *sent)
    add_steps(figure, "asked", *running_count(planned_s, nothing), INK, "dot")
    steps = np.append(mean_behind, mean_behind[-1])
    add_steps(figure, "due and not sent", edges_s, steps, VERMILLION, axis="y2")
    figure.update_yaxes(range=[0, max(len(sent_s), len(planned_s)) * 1.12])
    split(figure, "behind", max(1.0, float(mean_behind.max()) * 1.1))
    return Chart(
        key="arrivals",
        title="Was the load sent as it was asked?",
        reading=f"{len(sent_s):,} of {len(planned_s):,} requests asked for were sent; at worst "
        f"{number(float(behind[1].max()))} at once were due and not yet sent. "
        "The lower panel shows the mean of that number in each slice of time.",
        figure=figure,
        table=table,
        note=_turns_note(sent_s),
        height_px=360,
    )


def _slice_means(
    at_s: FloatArray, level: FloatArray, duration_s: float
) -> tuple[FloatArray, FloatArray]:
    """Edges of the slices of the run, and the time-weighted mean of a level in each."""
    edges_s = slices(max(duration_s, float(at_s[-1])))
    area = np.concatenate([[0.0], np.cumsum(level[:-1] * np.diff(at_s))])
    until = np.interp(edges_s, at_s, area)  # the level is constant in between: area is linear
    return edges_s, np.diff(until) / np.diff(edges_s)


def _thin(points: Points, limit: int) -> tuple[Points, str]:
    """At most `limit` points, with all stalls as far as there is room; and words for what is gone.

    No more than the stalls, lest the longest look more frequent than they are.
    """
    if len(points) <= limit:
        return points, ""
    is_stall = points.values_s > STALL * np.median(points.values_s)
    num_longest = int(np.clip(np.count_nonzero(is_stall), MIN_LONGEST, limit // 2))
    kept = np.zeros(len(points), dtype=np.bool_)
    kept[keep_longest(points.values_s, limit, num_longest)] = True
    words = f"the {num_longest:,} longest, and an even pick of the rest"
    return points.where(kept), f"{limit:,} of {len(points):,} dots drawn: {words}."


def _turns_note(at_s: FloatArray) -> str:
    return "Drawn with the lowest and highest of each slice of time." if len(at_s) > MANY else ""


def _fit(figure: Figure, values_s: FloatArray) -> None:
    """Logarithmic where values span more than a factor of 30."""
    positive_ms = values_s[values_s > 0] * 1e3
    if len(positive_ms) and positive_ms.max() > 30 * positive_ms.min():
        low, high = float(positive_ms.min()), float(positive_ms.max())
        make_log(figure.layout["yaxis"], low / 1.3, high * 1.3)


def _add_median(figure: Figure, points: Points) -> None:
    """The median in slices of time that hold about 20 points or more."""
    if len(points) >= 200:
        num = min(len(points) // 20, 50)
        add_line(figure, "median", *_slice_quantile(points, 0.5, num))


def _slice_quantile(points: Points, p: float, num: int) -> tuple[FloatArray, FloatArray]:
    """Middles of the slices of time that hold points, and the quantile of those."""
    low_s, width_s = float(points.at_s.min()), float(np.ptp(points.at_s)) / num
    place = (points.at_s - low_s) / max(width_s, 1e-12)
    of_slice = np.minimum(place, num - 1).astype(np.int16)  # so small that sorting it is linear
    values_s = points.values_s[np.argsort(of_slice, kind="stable")]
    bounds = np.concatenate([[0], np.cumsum(np.bincount(of_slice, minlength=num))])
    held = [(i, a, b) for i, (a, b) in enumerate(pairwise(bounds.tolist())) if b > a]
    middles_s = np.array([low_s + (i + 0.5) * width_s for i, _, _ in held])
    return middles_s, np.array([np.quantile(values_s[a:b], p) for _, a, b in held])


def _drift(points: Points, result: RunResult, what: str) -> str:
    """Medians of the first and last third of the window, in words."""
    start_s, end_s = result.window_s
    third_s = (end_s - start_s) / 3
    early_s = points.values_s[(points.at_s >= start_s) & (points.at_s < start_s + third_s)]
    late_s = points.values_s[(points.at_s >= end_s - third_s) & (points.at_s < end_s)]
    if not len(early_s) or not len(late_s):
        return f"One dot per request: its {what} at the moment it was due."
    return (
        f"The median {what} is {milliseconds(float(np.median(early_s)))} in the first third of "
        f"the measured window and {milliseconds(float(np.median(late_s)))} in the last."
    )


def _table(points: Points) -> Table:
    """Median and longest in ten slices of time."""
    head = ("around", "median", "longest")
    if not len(points):
        return Table(head, ())
    at_s, middle_s = _slice_quantile(points, 0.5, 10)
    _, longest_s = _slice_quantile(points, 1.0, 10)
    rows = zip(at_s.tolist(), middle_s.tolist(), longest_s.tolist(), strict=True)
    return Table(
        head, tuple((f"{number(t)} s", milliseconds(m), milliseconds(x)) for t, m, x in rows)
    )


def _levels(at_s: FloatArray, level: FloatArray, end_s: float, name: str) -> Table:
    """A level at ten moments of the run."""
    moments_s = np.linspace(0.0, end_s, 11)[1:]
    index = np.searchsorted(at_s, moments_s, side="right") - 1
    values = np.where(index < 0, 0.0, level[np.maximum(index, 0)])
    rows = zip(moments_s.tolist(), values.tolist(), strict=True)
    return Table(("at", name), tuple((f"{number(t)} s", number(x)) for t, x in rows))


def _side_by_side(first: Table, *others: Table) -> Table:
    """Tables whose first column is the same."""
    rows = ((*row, *(each.rows[at][-1] for each in others)) for at, row in enumerate(first.rows))
    return Table((*first.head, *(each.head[-1] for each in others)), tuple(rows))
