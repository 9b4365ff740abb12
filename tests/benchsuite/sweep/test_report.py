"""The pages of sweeps: what they draw, and that they are as inert as a run's."""

from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
from msgspec.structs import replace

from benchsuite.metrics.base import Summary
from benchsuite.metrics.goodput import Goal, Goodput, Rate
from benchsuite.report import html
from benchsuite.sweep import report
from benchsuite.sweep.charts import Run, sweep_charts
from benchsuite.sweep.goodput import Found
from benchsuite.sweep.knee import knee
from benchsuite.sweep.plan import axis, points
from tests.benchsuite.report.synthetic import make_data, make_result


def run(rate: str, ttft_s: float, tokens_per_s: float, user: float, **more: str) -> Run:
    """A run at a rate, as its metrics say."""

    def of(name: str, value: float, unit: str = "") -> Summary:
        return Summary(metric=name, title=name, unit=unit, better="lower", n=1, mean=value)

    summaries = {
        "ttft": Summary(
            metric="ttft", title="", unit="s", better="lower", n=9, mean=ttft_s, p50=ttft_s
        ),
        "output_token_rate": of("output_token_rate", tokens_per_s, "tokens/s"),
        "tps_user": of("tps_user", user, "tokens/s"),
        "accuracy": of("accuracy", user / 100, "share"),
        "request_rate": of("request_rate", tokens_per_s / 10, "requests/s"),
    }
    overrides = {"arrivals.rate": rate, **more}
    result = make_result(make_data(5, 5), summaries=summaries)
    return Run(f"rate={rate}", overrides, result)


def figure(runs: list[Run], key: str) -> go.Figure:
    """By plotly's own classes, which refuse a property that does not exist."""
    chart = next(chart for chart in sweep_charts(runs) if chart.key == key)
    return go.Figure(data=chart.figure.traces, layout=chart.figure.layout)


def test_runs_stand_in_the_order_of_what_was_varied() -> None:
    """By its number, not its letters, with a line for each setting of the rest."""
    runs = [
        run(rate, 0.1 * float(rate), 1, 1, **{"endpoint.model": model})
        for model in ("a", "b")
        for rate in ("16", "2", "4")
    ]
    shown = [trace for trace in figure(runs, "sweep-ttft").data if trace.mode == "markers"]
    assert [trace.name for trace in shown] == ["model a", "model b"]
    for trace in shown:
        assert list(trace.x) == [2, 4, 16]
        np.testing.assert_allclose(trace.y, [200, 400, 1600], rtol=1e-6)


def test_the_frontier_holds_those_that_none_beats_in_both() -> None:
    """Of equals in one, the better in the other."""
    runs = [run("1", 1, 10, 90), run("2", 1, 50, 60), run("3", 1, 40, 50), run("4", 1, 50, 40)]
    best, rest = figure(runs, "sweep-pareto").data
    assert list(zip(best.x, best.y, strict=True)) == [(90, 10), (60, 50)]
    assert sorted(rest.x) == [40, 50]


def test_an_invalid_run_is_in_the_table_and_in_no_chart(tmp_path: Path) -> None:
    """Its numbers do not describe the server."""
    good, bad = run("1", 1, 10, 90), run("2", 1, 50, 60)
    invalid = Run(bad.title, bad.overrides, make_result(make_data(5, 5), verdict="invalid"))
    assert sweep_charts([good, invalid]) == ()
    _, rows = report.table([good, invalid])
    assert [row[1] for row in rows] == ["✓\u00a0valid", "✗\u00a0invalid"]


def found(rates: tuple[Rate, ...], interval: tuple[float | None, float | None]) -> Found:
    told = Goodput(
        rate=interval[0], interval=interval, censored=None, reason="known", interpolated=None,
        rates=rates,
    )  # fmt: skip
    return Found(
        scenario="x.yaml", settings=(), key="arrivals.rate", criterion="attainment ≥ 0.9",
        goal=Goal(lowest=1, highest=9, start=2), goodput=told,
    )  # fmt: skip


def test_the_knee_shows_limit_and_interval() -> None:
    """The limit is where the margin is nothing; the interval is shaded."""
    rates = (
        Rate(4, 0.99, 0.09, 0.01, 500, True, "pass"),
        Rate(8, 0.5, -0.4, 0.02, 500, False, "fail"),
    )
    chart = knee(found(rates, (4.0, 8.0)))
    assert chart is not None
    line, shade = chart.figure.layout["shapes"]
    assert line["y0"] == line["y1"]
    assert abs(line["y0"] - 0.9) < 1e-9
    assert (shade["x0"], shade["x1"]) == (4.0, 8.0)
    drawn = go.Figure(data=chart.figure.traces, layout=chart.figure.layout)
    good = next(trace for trace in drawn.data if trace.name == "good")
    assert float(good.error_y.array[0]) == pytest.approx(0.01)  # to all of them, no further
    assert float(good.error_y.arrayminus[0]) == pytest.approx(1.96 * 0.01)
    assert knee(found((), (None, None))) is None


def test_words_from_outside_are_inert() -> None:
    """What was varied may be any text."""
    payload = "</script><img src=x onerror=alert(1)>"
    runs = [run(rate, 1, 10 + float(rate), 90, **{payload: payload}) for rate in ("1", "2")]
    runs = [Run(payload, each.overrides, each.result) for each in runs]
    head, rows = report.table(runs)
    page = html.page(
        "sweep.html.jinja", sweep_charts(runs), package="benchsuite.sweep", name=payload,
        kind="sweep", word=payload, look="valid", reasons=(payload,), head=head, rows=rows,
        settings=(payload,), command=payload, versions=(payload,),
    )  # fmt: skip
    assert "<img" not in page
    assert page.count("</script>") == page.count("<script")


def test_words_are_an_axis_too() -> None:
    """Policies or efforts alone: each has its place, in the order of the table, and no line
    between them."""
    policies = ("{type: colocated}", "{type: chunked_prefill}")
    runs = [run("1", 0.1 * (at + 1), 1, 1, policy=name) for at, name in enumerate(policies)]
    runs = [Run(one.title, {"policy": one.overrides["policy"]}, one.result) for one in runs]
    shown = figure(runs, "sweep-ttft")
    assert list(shown.layout.xaxis.ticktext) == ["colocated", "chunked_prefill"]
    (dots,) = [trace for trace in shown.data if trace.mode == "markers"]
    assert list(dots.x) == [0, 1]
    np.testing.assert_allclose(dots.y, [100, 200], rtol=1e-6)
    assert not [trace for trace in shown.data if trace.mode == "lines"]
    chart = next(chart for chart in sweep_charts(runs) if chart.key == "sweep-ttft")
    assert "100 ms at policy colocated to 200 ms at chunked_prefill" in chart.reading.replace(
        "median, ", ""
    )


def test_a_sweep_says_how_order_and_caches_were_guarded() -> None:
    """By what its runs recorded: their endpoint, and the salts of their texts."""

    def of(endpoint: str, *salts: str | None) -> str:
        made = [
            make_result(make_data(5, 5), scenario={"endpoint": {"type": endpoint}, "salt": salt})
            for salt in salts
        ]
        return report.order_and_caches([Run("", {}, one) for one in made])

    assert "started anew for every run" in of("in_process", None, None)
    assert "other ones in every run" in of("openai_chat", "a", "b")
    assert "is cached depends on the order" in of("openai_chat", "a", "a")
    assert "is cached depends on the order" in of("openai_chat", None, None)


def test_efforts_stand_by_what_they_ask() -> None:
    found = points([axis("workload.effort=high,none,medium,low")])
    ordered = sorted(found, key=report._in_order)
    assert [one.title for one in ordered] == [
        f"effort={word}" for word in ("none", "low", "medium", "high")
    ]


def test_the_first_visible_word_is_drawn_where_thinking_precedes_it() -> None:
    def at(rate: str, ttfo_s: float) -> Run:
        plain = run(rate, 1.0, 1, 1)
        told = plain.result.summaries
        summaries = told | {"ttfo": replace(told["ttft"], metric="ttfo", p50=ttfo_s)}
        return plain._replace(result=replace(plain.result, summaries=summaries))

    drawn = figure([at("1", 1.0), at("2", 3.0)], "sweep-ttfo").data
    assert [list(trace.y) for trace in drawn if trace.mode == "markers"] == [[1000, 3000]]
    assert "sweep-ttfo" not in {chart.key for chart in sweep_charts([at("1", 1.0), at("2", 1.0)])}
