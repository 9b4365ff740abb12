"""Charts of what the server and the meters said, and the table of cost and energy."""

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest

from benchsuite.metrics.base import Summary
from benchsuite.records.table import FloatArray
from benchsuite.report.charts import charts
from benchsuite.report.charts.base import Chart
from benchsuite.report.costs import costs, has_any
from tests.benchsuite.report.synthetic import make_data, make_result

PLAIN = make_data()


def told(*values: float) -> FloatArray:
    """Readings of every second."""
    return np.column_stack((np.arange(len(values), dtype=np.float64), values))


def drawn(**samples: FloatArray) -> dict[str, Chart]:
    named = {name.replace("__", "."): readings for name, readings in samples.items()}
    data = replace(PLAIN, samples=named)
    return {chart.key: chart for chart in charts(make_result(data), data)}


def line(chart: Chart, name: str) -> go.Scatter:
    """By plotly's own classes, which refuse a property that does not exist."""
    figure = go.Figure(data=chart.figure.traces, layout=chart.figure.layout)
    return next(trace for trace in figure.data if trace.name == name)


def test_what_was_not_read_is_not_drawn() -> None:
    assert not {"server-queue", "server-cache", "power"} & set(drawn())


def test_the_queue_is_drawn_as_the_server_told_it() -> None:
    chart = drawn(server__running=told(0, 4, 8), server__waiting=told(0, 0, 3))["server-queue"]
    assert list(line(chart, "running").y) == [0, 4, 8]
    assert list(line(chart, "waiting").y) == [0, 0, 3]
    assert "8 running, 3 waiting" in chart.reading
    assert "every 1 s" in chart.note
    assert chart.table.rows[-1][1:] == ("8", "3")


def test_hits_are_a_share_of_what_was_asked_since_the_reading_before() -> None:
    """Not of all since the server began; where nothing was asked nothing is known."""
    chart = drawn(
        server__prefix_hits_total=told(900, 900, 950, 950, 1050),
        server__prefix_queries_total=told(1000, 1100, 1200, 1200, 1300),
        server__kv_usage_share=told(0.1, 0.5, 0.7, 0.7, 0.7),
    )["server-cache"]
    hits = line(chart, "prefix hits")
    np.testing.assert_allclose(hits.y, [0, 0.5, 1.0])
    assert list(hits.x) == [0, 1, 3]
    assert "KV cache in use at most 70" in chart.reading


def test_power_is_the_rise_of_a_counter_or_what_the_sensor_says() -> None:
    """A counter that stands still between two of its steps drew no less power."""
    chart = drawn(gpu0__energy_j=told(0, 100, 100, 300), cpu0__power_w=told(20, 30))["power"]
    np.testing.assert_allclose(line(chart, "gpu0").y, [100, 100])
    assert list(line(chart, "cpu0").y) == [20, 30]


@pytest.mark.parametrize("n", [0, 1])
def test_what_was_not_measured_is_called_unavailable(n: int) -> None:
    """With its reason; a summary without a value is none."""
    joules = Summary(metric="energy", title="Energy", unit="J", better="lower", n=n, mean=0.5 * n,
                     mean_ci=(0.4, 0.6) if n else None)  # fmt: skip
    absent = {"usd_per_request": "no prices", "token_price": "no prices", "mfu": "no model"}
    result = make_result(PLAIN, summaries={"energy": joules}, absent=absent)
    rows = costs(result)
    assert has_any(result) == bool(n)
    assert ("usd_per_request, token_price", "unavailable", "no prices") in rows
    assert not any("mfu" in row[0] for row in rows)
    assert rows[0] == (("Energy, J", "0.5", "0.4 to 0.6") if n else rows[0])
    assert len(rows) == 2
    assert [row[1] for row in rows].count("unavailable") == 2 - n
