"""Charts over the runs of a sweep: against what was varied, speed against throughput, accuracy."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from benchsuite.report.charts.base import Chart, Table, plain
from benchsuite.report.charts.distributions import CLASS_LOOKS
from benchsuite.report.charts.figure import INK, MUTED, VERMILLION, empty
from benchsuite.report.charts.plotly_figure import Figure
from benchsuite.report.quantities import bounds, number, percent
from benchsuite.results.result import RunResult
from benchsuite.sweep.plan import said_of

_SYMBOLS: Final = ("circle", "square", "diamond", "triangle-up")


class Run(NamedTuple):
    """One run of a sweep: what was varied, and what it found."""

    title: str
    overrides: Mapping[str, str]
    result: RunResult


class _Line(NamedTuple):
    """Runs that differ in one key alone, by its value: a number, or the place of a word."""

    name: str
    x: list[float]
    runs: list[Run]
    words: tuple[str, ...] = ()  # at 0, 1, 2 ...; empty where values are numbers


def sweep_charts(runs: Sequence[Run]) -> tuple[Chart, ...]:
    """What there is to show of valid runs: an invalid one does not describe the server."""
    valid = [run for run in runs if run.result.verdict == "valid"]
    is_hidden = any(_value(run, "ttfo") != _value(run, "ttft") for run in valid)
    thinking = valid if is_hidden else []  # without thinking the first token is visible
    drawn = (
        _over_load(valid, "attainment", "What share met every target?", "share of requests"),
        _over_load(valid, "good_rate", "How many met every target per second?", "requests/s"),
        _over_load(valid, "ttft", "How long until the first token?", "median, ms"),
        _over_load(thinking, "ttfo", "How long until the first visible word?", "median, ms"),
        _over_load(valid, "tpot", "How fast do the other tokens follow?", "median, ms per token"),
        _over_load(valid, "output_token_rate", "How many tokens came out?", "tokens/s"),
        _pareto(valid),
        _accuracy(valid),
    )
    return tuple(chart for chart in drawn if chart is not None)


def _varied(runs: Sequence[Run]) -> str | None:
    """The key to draw against: the one with the most different numbers, else the most words."""
    keys = dict.fromkeys(key for run in runs for key in run.overrides)
    sizes = {
        key: (all(number_of(run.overrides[key]) is not None for run in runs), len(values))
        for key in keys
        if all(key in run.overrides for run in runs)
        for values in [{run.overrides[key] for run in runs}]
        if len(values) > 1
    }
    return max(sizes, key=sizes.__getitem__, default=None)


def number_of(text: str | None) -> float | None:
    """What a setting is worth, if it is a number."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _lines(runs: Sequence[Run], key: str) -> list[_Line]:
    found: dict[str, list[Run]] = {}
    for run in runs:
        rest = {k: v for k, v in run.overrides.items() if k != key}
        name = ", ".join(f"{k.rsplit('.', 1)[-1]} {said_of(v)}" for k, v in rest.items())
        found.setdefault(name, []).append(run)
    values = list(dict.fromkeys(run.overrides[key] for run in runs))
    words = tuple(values) if any(number_of(value) is None for value in values) else ()

    def x(run: Run) -> float:
        value = run.overrides[key]
        return float(words.index(value) if words else value)

    told = tuple(map(said_of, words))
    return [_Line(name, sorted(map(x, of)), sorted(of, key=x), told) for name, of in found.items()]


def _over_load(runs: Sequence[Run], metric: str, title: str, axis: str) -> Chart | None:
    """A metric against the numbers that were varied; a dot for each run, a line through means."""
    key = _varied(runs)
    told = [run for run in runs if _value(run, metric) is not None]
    if key is None or len(told) < 2:
        return None
    is_share = axis.startswith("share")
    factor = 1e3 if "ms" in axis else 1.0
    figure = empty(plain(key), axis)
    lines = _lines(told, key)
    for at, line in enumerate(lines):
        _add_line(figure, line, metric, factor, at)
    figure.update_layout(showlegend=len(lines) > 1)
    if words := [plain(word) for word in lines[0].words]:
        places, edges = list(range(len(words))), [-0.5, len(words) - 0.5]
        figure.update_xaxes(tickvals=places, ticktext=words, range=edges)
    figure.update_yaxes(rangemode="tozero", **({"tickformat": ".0%"} if is_share else {}))
    rows = tuple(
        (
            run.title,
            _written(_value(run, metric), is_share, factor),
            _interval(run, metric, is_share, factor),
        )
        for line in lines
        for run in line.runs
    )
    unit = axis.rpartition(", ")[2] if "," in axis else axis
    return Chart(
        key=f"sweep-{metric}",
        title=title,
        reading=_ends(lines, metric, is_share, factor, plain(key), "" if is_share else f" {unit}"),
        figure=figure,
        table=Table(("run", unit, "95 % interval"), rows),
        is_wide=False,
        height_px=280,
    )


def _add_line(figure: Figure, line: _Line, metric: str, factor: float, at: int) -> None:
    values = [(_value(run, metric) or 0.0) * factor for run in line.runs]
    cis = [_ci(run, metric) for run in line.runs]
    below = [0.0 if ci is None else v - ci[0] * factor for v, ci in zip(values, cis, strict=True)]
    above = [0.0 if ci is None else ci[1] * factor - v for v, ci in zip(values, cis, strict=True)]
    colour, dash = CLASS_LOOKS[at % len(CLASS_LOOKS)]
    steps = sorted(set(line.x))
    at_step = [
        [value for x, value in zip(line.x, values, strict=True) if x == step] for step in steps
    ]
    figure.add_scatter(
        x=np.array(steps, dtype=np.float32),
        y=np.array([np.mean(of) for of in at_step], dtype=np.float32),
        mode="none" if line.words else "lines",  # between two words lies nothing
        line={"color": colour, "dash": dash, "width": 1.6},
        hoverinfo="skip",
        showlegend=False,
    )
    figure.add_scatter(
        x=np.array(line.x, dtype=np.float32),
        y=np.array(values, dtype=np.float32),
        name=plain(line.name or metric),
        mode="markers",
        marker={"color": colour, "size": 7, "symbol": _SYMBOLS[at % len(_SYMBOLS)]},
        error_y={
            "type": "data",
            "symmetric": False,
            "color": colour,
            "thickness": 1.2,
            "width": 4,
            "array": np.array(above, dtype=np.float32),
            "arrayminus": np.array(below, dtype=np.float32),
        },
        text=[plain(run.title) for run in line.runs],
        hovertemplate="%{text}: %{y:,.4~g}",
    )


def _value(run: Run, metric: str) -> float | None:
    """The median of what requests have one each of, the number of what a run has one of."""
    summary = run.result.summaries.get(metric)
    if summary is None:
        return None
    return summary.mean if summary.p50 is None else summary.p50


def _ci(run: Run, metric: str) -> tuple[float, float] | None:
    summary = run.result.summaries.get(metric)
    if summary is None:
        return None
    return summary.mean_ci if summary.p50 is None else summary.p50_ci


def _written(value: float | None, is_share: bool, factor: float) -> str:
    if value is None:
        return "–"
    return percent(value) if is_share else number(value * factor)


def _interval(run: Run, metric: str, is_share: bool, factor: float) -> str:
    ci = _ci(run, metric)
    if ci is None or is_share:
        return bounds(ci)
    return f"{number(ci[0] * factor)} to {number(ci[1] * factor)}"


def _ends(
    lines: list[_Line], metric: str, is_share: bool, factor: float, key: str, unit: str
) -> str:
    """What the first and the last point say."""
    line = max(lines, key=lambda one: len(one.x))
    ends = [
        _written(_value(run, metric), is_share, factor) for run in (line.runs[0], line.runs[-1])
    ]
    of = f" ({plain(line.name)})" if line.name else ""
    first, last = (
        plain(line.words[int(x)]) if line.words else number(x) for x in (line.x[0], line.x[-1])
    )
    return f"From {ends[0]}{unit} at {key} {first} to {ends[1]}{unit} at {last}{of}."


def _pareto(runs: Sequence[Run]) -> Chart | None:
    """Speed as a user sees it against throughput as the owner of the accelerators does."""
    told = [run for run in runs if _value(run, "tps_user") and _value(run, "output_token_rate")]
    if len(told) < 2:
        return None
    user = np.array([_value(run, "tps_user") for run in told], dtype=np.float64)
    each = np.array(
        [
            (_value(run, "output_token_rate") or 0.0) / run.result.system.num_accelerators
            for run in told
        ]
    )
    best = _undominated(user, each)
    figure = empty("tokens/s per user (median)", "output tokens/s per accelerator")
    _add_frontier(figure, user, each, best, [run.title for run in told])
    return Chart(
        key="sweep-pareto",
        title="What does speed for each user cost in throughput?",
        reading=f"On the frontier, none better in both: {len(best)} of {len(told)} runs. "
        "Up and to the right is better; nothing is claimed between the steps.",
        figure=figure,
        table=Table(
            ("run", "tokens/s per user", "tokens/s per accelerator", "on the frontier"),
            tuple(
                (run.title, number(float(u)), number(float(t)), "✓" if at in best else "")
                for at, (run, u, t) in enumerate(zip(told, user, each, strict=True))
            ),
        ),
        height_px=340,
    )


def _undominated(x: np.ndarray, y: np.ndarray) -> list[int]:
    """Indices of those that no other beats in one without losing in the other, by falling x."""
    found: list[int] = []
    for i in np.lexsort((-y, -x)).tolist():
        if not found or y[i] > y[found[-1]]:
            found.append(i)
    return found


def _add_frontier(
    figure: Figure, x: np.ndarray, y: np.ndarray, best: list[int], titles: list[str]
) -> None:
    rest = [i for i in range(len(x)) if i not in best]
    figure.add_scatter(
        x=x[best].astype(np.float32),
        y=y[best].astype(np.float32),
        name="frontier",
        mode="lines+markers",
        line={"color": INK, "width": 1.6, "shape": "hv"},
        marker={"color": VERMILLION, "size": 9, "symbol": "diamond"},
        text=[plain(titles[i]) for i in best],
        hovertemplate="%{text}: %{x:,.4~g}, %{y:,.4~g}",
    )
    figure.add_scatter(
        x=x[rest].astype(np.float32),
        y=y[rest].astype(np.float32),
        name="behind it",
        mode="markers",
        marker={"color": MUTED, "size": 7},
        text=[plain(titles[i]) for i in rest],
        hovertemplate="%{text}: %{x:,.4~g}, %{y:,.4~g}",
    )
    figure.update_yaxes(rangemode="tozero")


def _accuracy(runs: Sequence[Run]) -> Chart | None:
    """Right answers against requests per second: speed that costs accuracy is seen to."""
    told = [run for run in runs if _value(run, "accuracy") is not None]
    if len(told) < 2:
        return None
    rate = np.array([_value(run, "request_rate") or 0.0 for run in told])
    right = np.array([_value(run, "accuracy") for run in told], dtype=np.float64)
    figure = empty("requests/s", "accuracy")
    _add_frontier(figure, rate, right, best := _undominated(rate, right), [r.title for r in told])
    figure.update_yaxes(tickformat=".0%")
    return Chart(
        key="sweep-accuracy",
        title="What does accuracy cost in speed?",
        reading="On the frontier of accuracy and requests per second: "
        f"{len(best)} of {len(told)} runs. Intervals are in the table; read no more into a dot "
        "than its interval.",
        figure=figure,
        table=Table(
            ("run", "accuracy", "95 % interval", "requests/s"),
            tuple(
                (run.title, percent(float(a)), bounds(_ci(run, "accuracy")), number(float(r)))
                for run, a, r in zip(told, right, rate, strict=True)
            ),
        ),
        height_px=340,
    )
