"""Charts answer their question with measured numbers, whatever the run was like."""

import math
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsuite.metrics.base import Summary
from benchsuite.metrics.overlap import beside_prefill
from benchsuite.metrics.token_costs import Gamma
from benchsuite.records.table import RunData
from benchsuite.report import sections
from benchsuite.report.charts import charts
from benchsuite.report.charts.base import Chart, plain, slowest
from benchsuite.report.charts.figure import MAX_SLICES, MAX_TICKS, log_ticks, slices
from benchsuite.report.quantities import number
from benchsuite.tools.base import ToolResult
from tests.benchsuite.report.synthetic import make_data, make_result
from tests.runs import record, run

ALWAYS = ["time-ttft", "in-flight", "arrivals", "waterfall"]
SPREADS = ["spread-ttft", "spread-tpot", "spread-itl", "spread-e2e_latency"]


def drawn(data: RunData, **changes: object) -> dict[str, Chart]:
    return {chart.key: chart for chart in charts(make_result(data, **changes), data)}


def checked(chart: Chart) -> go.Figure:
    """The figure by plotly's own classes, which refuse a property that does not exist."""
    return go.Figure(data=chart.figure.traces, layout=chart.figure.layout)


def trace(chart: Chart, name: str) -> go.Scatter:
    return next(trace for trace in checked(chart).data if trace.name == name)


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (
            make_data(),
            {"attainment", *SPREADS, *ALWAYS, "time-itl", "throughput"},
        ),
        (
            make_data(300, is_closed=True),
            {"attainment", *SPREADS, *ALWAYS, "time-itl", "throughput"},
        ),
        (
            make_data(60, 1),  # one token each: no pace, no gaps
            {"attainment", "spread-ttft", "spread-e2e_latency", *ALWAYS, "throughput"},
        ),
        (
            make_data(1, 5, fail=0),
            {"attainment", *SPREADS, *ALWAYS, "time-itl", "throughput"},
        ),
        (make_data(5, 5, fail=5), {"attainment", *ALWAYS}),  # none ended well
        (make_data(0), set()),
    ],
    ids=["usual", "closed loop", "one token", "one request", "all failed", "nothing sent"],
)
def test_a_chart_is_there_if_it_has_something_to_show(data: RunData, keys: set[str]) -> None:
    """And only then; each has words and numbers beside it."""
    found = drawn(data)
    assert set(found) == keys
    for chart in found.values():
        checked(chart)
        assert chart.reading
        assert "nan" not in chart.reading
        assert all(len(row) == len(chart.table.head) for row in chart.table.rows)


def test_distributions_say_what_the_summary_says() -> None:
    """The sentence above a chart quotes result.json, so that the two cannot disagree."""
    data = make_data()
    summary = make_result(data).summaries["ttft"]
    reading = drawn(data)["spread-ttft"].reading
    assert summary.p50 is not None
    assert f"{summary.p50 * 1e3:.0f} ms" in reading


def test_distributions_hold_only_what_counts() -> None:
    """Requests outside the window, or that failed, are not in them."""
    data = make_data(classes=("default",))
    line = trace(drawn(data)["spread-ttft"], "default")
    counted = (data.first_token_s - data.origin_s)[data.in_window & data.ok]
    assert len(line.x) == len(counted) + 1  # and the foot of the first step
    assert line.x.max() == pytest.approx(counted.max() * 1e3)


def test_each_target_is_drawn_where_it_lies() -> None:
    """One dashed line per class whose target differs."""
    shapes = checked(drawn(make_data())["spread-ttft"]).layout.shapes
    assert sorted(shape.x0 for shape in shapes) == [500, 2000]


def test_a_quantile_is_marked_only_if_the_sample_is_large_enough() -> None:
    """As in the table: p99 takes 368 values."""
    for num, marks in ((300, ("p50", "p90")), (600, ("p50", "p90", "p99"))):
        data = make_data(num, fail=0, classes=("default",))
        assert checked(drawn(data)["spread-ttft"]).data[1].customdata == marks


def test_many_classes_share_one_line() -> None:
    """More than four lines cannot be told apart."""
    data = make_data(classes=tuple("abcdef"))
    assert {t.name for t in checked(drawn(data)["spread-ttft"]).data} == {"all classes"}


def test_the_stall_is_drawn_and_named() -> None:
    """The longest gap is in the thinned dots and in the sentence."""
    data = make_data(300, 60)
    chart = drawn(data)["time-itl"]
    dots = trace(chart, "gap")
    assert len(dots.x) == 5_000
    assert dots.y.max() > 700
    assert f"{dots.y.max():.0f} ms" in chart.reading
    assert "5,000 of 16,638" in chart.note


def test_thinned_dots_keep_their_proportions() -> None:
    """Beyond the stalls no value is favoured: the drawn median is the measured one."""
    data = make_data(300, 60)
    chart = drawn(data)["time-itl"]
    median_ms = np.median(trace(chart, "gap").y)
    assert f"the median gap is {median_ms:.1f} ms" in chart.reading


def test_failures_are_crosses_of_their_own() -> None:
    """A failed request has no time to first token and is still on the chart."""
    data = make_data()
    crosses = trace(drawn(data)["time-ttft"], "failed after")
    assert len(crosses.x) == np.count_nonzero(~data.ok)


def test_in_flight_ends_at_zero() -> None:
    """What was sent has ended by the end."""
    data = make_data()
    line = trace(drawn(data)["in-flight"], "in flight")
    assert line.y[-1] == 0
    assert line.y.max() > 5


def test_a_client_that_falls_behind_is_seen() -> None:
    """Sent 2 s late at 10 requests/s: 20 requests are due and not sent, on average."""
    data = make_data(400, fail=0)
    late = replace(data, sent_s=data.due_s + 2.0)
    chart = drawn(late)["arrivals"]
    behind = trace(chart, "due and not sent")
    assert behind.y[len(behind.y) // 2] == pytest.approx(20, abs=10)
    assert checked(drawn(data)["arrivals"]).layout.yaxis2.range == (0, 1)


def test_a_closed_loop_asks_for_no_arrivals() -> None:
    """Nothing is due, so nothing can be late."""
    names = [t.name for t in checked(drawn(make_data(is_closed=True))["arrivals"]).data]
    assert names == ["sent"]


def test_tokens_per_second_add_up_to_the_tokens() -> None:
    """The area under the line is the number of tokens that came."""
    data = make_data()
    line = trace(drawn(data)["throughput"], "output tokens/s")
    area = float(np.sum(line.y[:-1] * np.diff(line.x)))
    assert area == pytest.approx(data.chunk_tokens.sum(), rel=1e-4)


def test_the_waterfall_is_as_long_as_the_request() -> None:
    """Its phases add up to due-to-finished, worst first; one that never had a token too."""
    data = make_data()
    lost = replace(data, finished_s=np.where(data.ok, data.finished_s, data.sent_s + 60))
    chart = drawn(lost)["waterfall"]
    worst = slowest(lost)
    total = np.sum([bar.x for bar in checked(chart).data], axis=0)
    assert total == pytest.approx((lost.finished_s - lost.origin_s)[worst] * 1e3, rel=1e-5)
    assert (np.diff(total) <= 1e-3).all()
    assert checked(chart).data[0].y[0].startswith("× ")


def test_the_waterfall_shows_what_the_server_told_within_the_wait() -> None:
    """Queue and prefill as told, the rest of the wait after them; the whole stays the client's."""
    told = {"server_queue_s": 0.05, "server_prefill_s": 0.1, "server_decode_s": 9.0}
    data = run(record(0, **told), record(1, due_s=1.0, finished_s=2.0))
    chart = drawn(data)["waterfall"]
    bars = {bar.name: bar.x for bar in checked(chart).data}
    assert list(bars) == [
        "due to sent", "queue", "prefill", "rest until first token",
        "first to last token", "last token to end",
    ]  # fmt: skip
    assert bars["queue"] == pytest.approx([0, 50])  # the slowest comes first: it was told nothing
    assert bars["prefill"] == pytest.approx([0, 100])
    assert bars["rest until first token"] == pytest.approx([200, 50], rel=1e-5)
    assert np.sum(list(bars.values()), axis=0) == pytest.approx([1000, 500], rel=1e-5)
    assert "the server's own word on 1 of them" in chart.reading


def test_stages_that_do_not_fit_into_the_wait_are_not_drawn() -> None:
    """A server that tells a prefill of 0.3 s within a wait of 0.2 s tells of something else."""
    chart = drawn(run(record(0, server_queue_s=0.0, server_prefill_s=0.3)))["waterfall"]
    assert [bar.name for bar in checked(chart).data][1] == "sent to first token"
    assert "The server did not tell" in chart.reading


def test_tools_and_pauses_come_before_the_request() -> None:
    """Tools when they ran; without any, the time since the session's answer before."""
    ran = tuple(
        ToolResult(
            call_id="c", name="search", started_s=began_s, ended_s=ended_s, exit_code=0,
            problem=None, output="", output_tokens=3,
        )
        for began_s, ended_s in ((0.6, 0.75), (0.6, 0.9))
    )  # fmt: skip
    data = run(
        record(0),
        record(1, session_id=0, turn=1, due_s=1.0, tool_results=ran),
        record(2, session_id=0, turn=2, due_s=1.7, finished_s=2.4),
    )
    chart = drawn(data)["waterfall"]
    bars = {bar.name: bar for bar in checked(chart).data}
    assert list(bars)[:2] == ["tools", "paused"]
    row = {label: at for at, label in enumerate(bars["tools"].y)}
    assert bars["tools"].base[row["1"]] == pytest.approx(-400)
    assert bars["tools"].x[row["1"]] == pytest.approx(300)
    assert bars["tools"].x[row["0"]] == bars["tools"].x[row["2"]] == 0
    assert bars["paused"].base[row["2"]] == pytest.approx(-200)
    assert bars["paused"].x[row["1"]] == bars["paused"].x[row["0"]] == 0
    assert chart.table.head[:3] == ("request", "tools", "paused")
    assert not chart.note


def test_a_long_pause_does_not_squeeze_the_requests() -> None:
    """It is cut off at the left, as the note says; the table has all of it."""
    chart = drawn(run(record(0), record(1, session_id=0, turn=1, due_s=60.5)))["waterfall"]
    assert checked(chart).layout.xaxis.range == pytest.approx((-500, 510))
    assert "cut off" in chart.note
    assert [row[:2] for row in chart.table.rows] == [("0", "0 ms"), ("1", "60,000 ms")]


def test_errors_are_charted_when_there_are_kinds_to_compare() -> None:
    """One bar alone says nothing that its table does not."""
    data = make_data()
    assert "errors" not in drawn(data, errors={"http_500": 3})
    chart = drawn(data, errors={"http_500": 3, "timeout": 5, **{f"e{i}": 1 for i in range(20)}})
    assert checked(chart["errors"]).data[0].y[0] == "timeout"
    assert len(checked(chart["errors"]).data[0].y) == 12
    assert len(chart["errors"].table.rows) == 22


@given(st.floats(1e-4, 1e5), st.floats(1.05, 1e9))
def test_log_ticks_are_few_ascending_and_inside(low: float, ratio: float) -> None:
    """Never more than fit."""
    ticks = log_ticks(low, low * ratio)
    assert len(ticks) <= MAX_TICKS
    assert ticks == sorted(set(ticks))
    assert all(low <= tick <= low * ratio for tick in ticks)
    assert len(ticks) >= (2 if ratio > 10 else 0)


@given(st.floats(1e-3, 1e6))
def test_slices_cover_the_run(duration_s: float) -> None:
    """With a round width, and not too many of them."""
    edges_s = slices(duration_s)
    assert edges_s[0] == 0
    assert edges_s[-1] >= duration_s * (1 - 1e-9)
    assert len(edges_s) <= MAX_SLICES + 2
    mantissa = edges_s[1] / 10 ** math.floor(math.log10(edges_s[1]) + 1e-9)
    assert min(abs(mantissa - m) for m in (1, 2, 5, 10)) < 1e-6


@given(st.text(max_size=200))
def test_text_reaches_plotly_as_letters(text: str) -> None:
    """No pseudo-HTML, entity, template or line break survives, and it is short."""
    shown = plain(text)
    assert not set("<>&\n") & set(shown)
    assert "%{" not in shown
    assert len(shown) <= 60


def agents(data: RunData, turns: int = 3, pause_s: float = 1.0) -> RunData:
    """`data` as sessions of `turns` requests, one after the other, each `pause_s` apart."""
    num = len(data)
    turn = np.arange(num) % turns
    start_s = np.arange(num) // turns * 10.0 + turn * (0.5 + pause_s)
    return replace(
        data,
        session_id=np.arange(num) // turns,
        turn=turn,
        due_s=start_s,
        sent_s=start_s,
        first_token_s=start_s + 0.2,
        last_token_s=start_s + 0.5,
        finished_s=start_s + 0.5,
        cached_tokens=np.where(turn == 0, 0, 100),
        planned_due_s=start_s,
        window_s=(0.0, float(start_s[-1]) + 1),
    )


def test_sessions_show_their_pauses() -> None:
    """From the end of an answer to the next request; single requests make no session."""
    data = agents(make_data(12, 4, fail=0))
    bars = {bar.name: bar for bar in checked(drawn(data)["sessions"]).data}
    assert len(bars["paused"].x) == 8
    assert bars["paused"].x == pytest.approx([1.0] * 8)
    assert bars["to first token"].x == pytest.approx([0.2] * 12)
    assert bars["paused"].base[:2] == pytest.approx([0.5, 2.0])
    told = [words.rsplit(": ", 1)[1] for words in bars["decoding"].customdata]
    assert told == [f"{number(took_s)} s" for took_s in bars["decoding"].x.tolist()]
    assert "sessions" not in drawn(make_data(12, 4))


def test_turns_are_charged_in_pte_where_gamma_is_known() -> None:
    """Computed prompt, cached prompt, and gamma * prompt * output, each a mean over the turn."""
    data = agents(make_data(12, 4, fail=0))
    prompt, output = float(data.prompt_tokens[0]), float(data.output_tokens[0])
    plain_bars = {bar.name: bar.y for bar in checked(drawn(data)["turn-costs"]).data}
    assert plain_bars["answer"] == pytest.approx([output] * 3)
    gamma = Gamma(value=0.01, peak="dense", flops_per_byte=100.0, active_params=1e9)
    chart = drawn(data, gammas={"paper": gamma})["turn-costs"]
    bars = {bar.name: bar.y for bar in checked(chart).data}
    assert bars["decoding"] == pytest.approx([0.01 * prompt * output] * 3)
    assert bars["prompt, from the cache"] == pytest.approx([0, *[min(100, prompt)] * 2])
    assert bars["prompt, computed"] == pytest.approx([prompt, *[prompt - min(100, prompt)] * 2])


def test_the_slo_scale_is_one_where_the_limit_is_what_was_needed() -> None:
    """At the factor named, that share of the requests meets every limit; failures never do."""
    data = make_data(200, 10, fail=2, classes=("default",))
    result = make_result(data, scenario={"slo": {"default": {"ttft": 0.25}}})
    chart = {chart.key: chart for chart in charts(result, data)}["slo-scale"]
    line = checked(chart).data[0]
    at_one = max(y for x, y in zip(line.x, line.y, strict=True) if x <= 1)
    counted = data.in_window & ~np.isnan(data.sent_s)
    met = data.ok & (data.first_token_s - data.origin_s <= 0.25)
    assert at_one == pytest.approx(met[counted].mean())
    assert max(line.y) == pytest.approx(data.ok[counted].mean())


def test_interference_is_drawn_if_it_was_measured() -> None:
    """Both kinds of gaps, with as many as the metric had."""
    data = make_data(300, 40, rate=30.0)
    told = {
        name: Summary(metric=name, title=name, unit="s", better="lower", n=1, mean=0.002)
        for name in ("prefill_interference", "prefill_interference_share")
    }
    chart = drawn(data, summaries=told)["interference"]
    alone_s, beside_s = (beside_prefill(data, is_beside=is_beside) for is_beside in (False, True))
    assert len(alone_s)
    assert len(beside_s)
    assert f"{len(alone_s):,}" in chart.table.head[1]
    assert f"{len(beside_s):,}" in chart.table.head[2]
    assert [trace.name for trace in checked(chart).data] == [
        "no prefill beside",
        "a prefill beside",
    ]
    assert "interference" not in drawn(data)


def test_hatched_bars_have_a_colour() -> None:
    """Strokes in the paper's colour on nothing cannot be seen."""
    found = drawn(agents(make_data(12, 4, fail=0)))
    bars = [
        bar for key in ("waterfall", "sessions", "turn-costs") for bar in found[key].figure.traces
    ]
    assert bars
    for bar in bars:
        assert bar["marker"]["pattern"]["bgcolor"] == bar["marker"]["color"]


def test_a_closed_loop_asks_for_no_more_than_it_sends() -> None:
    """Only later turns of its sessions are due: they are no schedule to be behind of."""
    data = agents(make_data(12, 4, fail=0))
    first = data.turn == 0
    data = replace(
        data, due_s=np.where(first, np.nan, data.due_s), planned_due_s=np.empty(0), num_planned=12
    )
    chart = drawn(data)["arrivals"]
    assert [trace["name"] for trace in chart.figure.traces] == ["sent"]
    assert chart.reading.startswith("12 requests were sent, each as soon as a slot was free, or")


def test_each_class_has_its_own_row() -> None:
    """Medians of its own requests of the window that ended well; one class needs no table."""
    data = make_data(300, 10)
    rows = {row[0]: row for row in sections.classes(make_result(data), data)}
    assert list(rows) == ["batch", "interactive"]
    mine = data.in_window & data.ok & (np.array(data.slo_class) == "batch")
    waited_ms = np.median((data.first_token_s - data.origin_s)[mine]) * 1e3
    assert rows["batch"][2:4] == (f"{mine.sum()}", number(waited_ms))
    one = make_data(300, 10, classes=("default",))
    assert sections.classes(make_result(one), one) == ()
