"""The server's view beside the client's."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchsuite.metrics import server
from benchsuite.records.table import FloatArray, RunData
from tests.runs import record, run


def readings(*values: float, every_s: float = 1.0, first_s: float = 0.0) -> FloatArray:
    at_s = first_s + every_s * np.arange(len(values))
    return np.column_stack((at_s, values))


def told(*, window_s: tuple[float, float] = (1.0, 3.0), **series: FloatArray) -> RunData:
    """Four requests, due at 0, 1, 2, 3 s; each sees its first token after 0.2 s."""
    data = run(*(record(i) for i in range(4)), window_s=window_s)
    return replace(data, samples={f"server.{name}": each for name, each in series.items()})


def value(metric: Any, data: RunData) -> float:
    found = metric(data)
    assert found.shape == (1,)
    return float(found[0])


ALL = (
    server.server_running, server.server_waiting, server.kv_usage, server.prefix_hit_share,
    server.preemptions, server.server_ttft, server.server_queue_time, server.ttft_outside_server,
)  # fmt: skip


@pytest.mark.parametrize("metric", ALL)
def test_what_was_not_read_is_unknown(metric: Any) -> None:
    """No telemetry, or none at one end of the window: unknown, never zero."""
    assert np.isnan(value(metric, told()))
    short = {
        name: readings(0.0, 1.0)
        for name in (
            *("running", "waiting", "prefix_hits_total", "prefix_queries_total"),
            *("preemptions_total", "ttft_s_sum", "ttft_s_count"),
            *("queue_time_s_sum", "queue_time_s_count"),
        )
    }
    assert np.isnan(value(metric, told(**short)))


def test_counters_are_what_they_grew_by_in_the_window() -> None:
    """Between readings they grow evenly."""
    assert value(server.preemptions, told(preemptions_total=readings(5, 5, 8, 9, 20))) == 4.0
    late = readings(0, 10, first_s=0.0, every_s=4.0)
    assert value(server.preemptions, told(preemptions_total=late)) == 5.0


def test_a_counter_that_starts_anew_says_nothing() -> None:
    assert np.isnan(value(server.preemptions, told(preemptions_total=readings(5, 9, 0, 1, 2))))


def test_gauges_are_means_over_time_and_the_most_seen() -> None:
    data = told(running=readings(0, 2, 4, 2, 0), kv_usage_share=readings(0.9, 0.2, 0.5, 0.3, 1.0))
    assert value(server.server_running, data) == 3.0
    assert value(server.kv_usage, data) == 0.5


def test_prefix_hits_are_of_the_tokens_looked_up() -> None:
    data = told(
        prefix_hits_total=readings(0, 10, 20, 40, 40),
        prefix_queries_total=readings(0, 100, 150, 200, 300),
    )
    assert value(server.prefix_hit_share, data) == pytest.approx(0.3)
    assert value(server.prefix_hit_share, told(prefix_hit_share=readings(*[0.25] * 5))) == 0.25


def test_what_lies_between_client_and_server() -> None:
    """The client saw 0.2 s, the server 0.15 s on average: 0.05 s are outside."""
    data = told(ttft_s_sum=readings(0, 0.15, 0.3, 0.45, 0.6), ttft_s_count=readings(0, 1, 2, 3, 4))
    assert value(server.server_ttft, data) == pytest.approx(0.15)
    assert value(server.ttft_outside_server, data) == pytest.approx(0.05)


def named(data: RunData) -> dict[str, Any]:
    return {check.name: check for check in server.checks(data)}


@pytest.mark.parametrize(("counted", "ok"), [(16.0, True), (16.1, True), (20.0, False)])
def test_both_sides_count_the_same_tokens(counted: float, ok: bool) -> None:
    """Four answers of four tokens; a server that serves others too has counted more."""
    data = told(output_tokens_total=readings(100, 104, 108, 112, 100 + counted, first_s=-0.1))
    data = replace(data, finished_s=np.minimum(data.finished_s, 3.8))
    check = named(data)["server_tokens"]
    assert (check.ok, check.hard) == (ok, False)
    assert ("serves others" in check.sentence) != ok


def test_tokens_are_compared_only_where_all_of_the_run_was_read() -> None:
    assert "server_tokens" not in named(told(output_tokens_total=readings(0, 4, 8, 12)))


@pytest.mark.parametrize(
    ("running", "ok"), [(10.0, True), (10.8, True), (20.0, False), (5.0, False)]
)
def test_littles_law(running: float, ok: bool) -> None:
    """20 requests a second, each half a second in flight: 10 are in the server."""
    requests = [record(i, due_s=i / 20) for i in range(400)]
    data = run(*requests, window_s=(1.0, 16.0))
    data = replace(
        data,
        samples={
            "server.running": readings(*[running] * 18),
            "server.waiting": readings(*[0.0] * 18),
        },
    )
    check = named(data)["server_in_flight"]
    assert check.ok == ok
    assert "10.0 by this client" in check.sentence


def test_gauges_that_were_read_a_few_times_are_held_against_nothing() -> None:
    """Read before and after a short run, an idle server says that nothing was in it."""
    data = told(running=readings(*[0.0] * 5), waiting=readings(*[0.0] * 5))
    assert "server_in_flight" not in named(data)
