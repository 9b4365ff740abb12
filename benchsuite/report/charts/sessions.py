"""Conversations and agents: their turns over time, the pauses between, and what each turn costs."""

from typing import Final, NamedTuple

import numpy as np

from benchsuite.metrics.pte import with_gamma
from benchsuite.records.table import FloatArray, IntArray, RunData
from benchsuite.report.charts.base import Chart, Table
from benchsuite.report.charts.figure import BLUE, GREEN, MUTED, VERMILLION, empty, hatched
from benchsuite.report.charts.plotly_figure import Figure
from benchsuite.report.quantities import number, percent
from benchsuite.results.result import RunResult

MAX_SESSIONS: Final = 16
MAX_TURNS: Final = 40


class _Bars(NamedTuple):
    """Pieces of time, from the start of their session."""

    row: list[str]
    from_s: FloatArray
    took_s: FloatArray
    words: list[str]


def session_timelines(result: RunResult, data: RunData) -> Chart | None:
    """The longest sessions, turn by turn: to the first token, decoding, and pauses between."""
    chosen = _longest(data)
    if not chosen:
        return None
    phases = _phases(result, data, chosen)
    figure = empty("seconds since the session began", "session")
    for (name, bars), (colour, pattern) in zip(phases.items(), _LOOKS, strict=True):
        figure.add_bar(
            x=bars.took_s.astype(np.float32),
            base=bars.from_s.astype(np.float32),
            y=bars.row,
            name=name,
            orientation="h",
            marker={"color": colour, "line": {"width": 0}, "pattern": hatched(colour, pattern)},
            # A bar with a base of its own tells where it ends as its x.
            customdata=[
                f"{words}: {number(took_s)} s"
                for words, took_s in zip(bars.words, bars.took_s.tolist(), strict=True)
            ],
            hovertemplate=f"{name}, %{{customdata}}",
        )
    figure.update_layout(barmode="overlay", bargap=0.35)
    figure.update_yaxes(
        autorange="reversed", type="category", showgrid=False, tickfont={"size": 11}
    )
    named = result.scenario.get("workload", {})
    pause = "tools" if isinstance(named, dict) and named.get("tools") else "tools or thinking"
    total = {name: float(bars.took_s.sum()) for name, bars in phases.items()}
    whole = sum(total.values())
    shares = ", ".join(f"{percent(t / whole)} {name}" for name, t in total.items()) if whole else ""
    return Chart(
        key="sessions",
        title="Where did sessions spend their time?",
        reading=f"The {len(chosen)} longest of {data.num_sessions:,} sessions: {shares}. "
        f"A pause is the time of {pause} between an answer and the next request.",
        figure=figure,
        table=_session_table(data, chosen),
        height_px=110 + 22 * len(chosen),
    )


_LOOKS: Final = ((VERMILLION, ""), (BLUE, ""), (MUTED, "/"))


def _longest(data: RunData) -> list[IntArray]:
    """Requests of each of the sessions that took longest, in order of their turns; of several."""
    sent = np.flatnonzero(~np.isnan(data.sent_s) & ~np.isnan(data.finished_s))
    order = sent[np.lexsort((data.sent_s[sent], data.session[sent]))]
    cuts = np.flatnonzero(np.diff(data.session[order])) + 1
    several = [each for each in np.split(order, cuts) if len(each) > 1]
    took_s = [float(data.finished_s[each].max() - data.origin_s[each[0]]) for each in several]
    worst = np.argsort(-np.array(took_s), kind="stable")[:MAX_SESSIONS]
    return [several[i][:MAX_TURNS] for i in worst.tolist()]


def _phases(result: RunResult, data: RunData, chosen: list[IntArray]) -> dict[str, _Bars]:
    gamma = result.gammas.get("paper")
    which = np.concatenate(chosen)
    start_s = np.concatenate([np.full(len(each), data.origin_s[each[0]]) for each in chosen])
    rows = [str(int(data.session_id[i])) for i in which.tolist()]
    end_s = data.finished_s[which]
    first_s = np.where(np.isnan(data.first_token_s[which]), end_s, data.first_token_s[which])
    words = [f"turn {int(data.turn[i]) + 1}" for i in which.tolist()]
    if gamma is not None:
        cost = with_gamma(data, gamma.value)[which].tolist()
        words = [f"{turn}, {number(pte)} PTE" for turn, pte in zip(words, cost, strict=True)]
    # A pause ends where the next turn begins; parallel branches of a session leave none.
    until_s = np.concatenate([np.append(data.origin_s[each[1:]], np.nan) for each in chosen])
    paused = until_s - end_s > 0
    at_s = data.origin_s[which]
    return {
        "to first token": _Bars(rows, at_s - start_s, first_s - at_s, words),
        "decoding": _Bars(rows, first_s - start_s, end_s - first_s, words),
        "paused": _Bars(
            [row for row, is_paused in zip(rows, paused, strict=True) if is_paused],
            (end_s - start_s)[paused],
            (until_s - end_s)[paused],
            [word for word, is_paused in zip(words, paused, strict=True) if is_paused],
        ),
    }


def _session_table(data: RunData, chosen: list[IntArray]) -> Table:
    rows = [
        (
            str(int(data.session_id[each[0]])),
            f"{len(each):,}",
            number(float(data.finished_s[each].max() - data.origin_s[each[0]])),
            f"{int(data.prompt_tokens[each].sum()):,}",
            f"{int(data.output_tokens[each].sum()):,}",
        )
        for each in chosen
    ]
    return Table(("session", "turns", "seconds", "prompt tokens", "output tokens"), tuple(rows))


def turn_costs(result: RunResult, data: RunData) -> Chart | None:
    """What a request costs, turn by turn: prompt computed, prompt cached, and decoding."""
    counted = data.in_window & data.ok
    num = np.bincount(data.turn[counted], minlength=1)[:MAX_TURNS]
    turns = np.flatnonzero(num)
    if len(turns) < 2:
        return None
    gamma = result.gammas.get("paper")
    prompt, output = data.prompt_tokens[counted], data.output_tokens[counted]
    cached = np.clip(data.cached_tokens[counted], 0, prompt)
    decoding = output if gamma is None else gamma.value * prompt * output
    unit = "tokens" if gamma is None else "prefill-token equivalents"
    parts = {
        "prompt, computed": prompt - cached,
        "prompt, from the cache": cached,
        "answer" if gamma is None else "decoding": decoding,
    }
    means = {
        name: (np.bincount(data.turn[counted], each)[: len(num)])[turns] / num[turns]
        for name, each in parts.items()
    }
    means = {name: mean for name, mean in means.items() if mean.any()}
    figure = empty("turn", f"{unit} per request")
    _add_stack(figure, turns + 1, means, unit)
    rows = zip((turns + 1).tolist(), num[turns].tolist(), *means.values(), strict=True)
    total = np.sum(list(means.values()), axis=0)
    return Chart(
        key="turn-costs",
        title="What does each turn cost?",
        reading=f"A request of turn {turns[0] + 1} takes {number(float(total[0]))} {unit} on "
        f"average, one of turn {turns[-1] + 1} takes "
        f"{number(float(total[-1]))}."
        + ("" if gamma is None else " Every decoded token reads the context: gamma of a prefill."),
        figure=figure,
        table=Table(
            ("turn", "requests", *means),
            tuple((f"{t}", f"{n:,}", *(number(float(c)) for c in cells)) for t, n, *cells in rows),
        ),
        height_px=280,
        is_wide=False,
    )


def _add_stack(figure: Figure, x: IntArray, parts: dict[str, FloatArray], unit: str) -> None:
    looks = ((VERMILLION, ""), (GREEN, "/"), (BLUE, ""))
    for (name, values), (colour, pattern) in zip(parts.items(), looks, strict=False):
        figure.add_bar(
            x=x.astype(np.int32),
            y=values.astype(np.float32),
            name=name,
            marker={"color": colour, "line": {"width": 0}, "pattern": hatched(colour, pattern)},
            hovertemplate=f"turn %{{x}}, {name}: %{{y:,.4~g}} {unit}",
        )
    figure.update_layout(barmode="stack", bargap=0.3)
    figure.update_xaxes(tick0=1, dtick=max(1, len(x) // 10))
