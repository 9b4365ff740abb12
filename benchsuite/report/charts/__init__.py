"""CHARTS: the catalogue, in the order of the page. A chart is a function and a line here."""

from typing import Final

from benchsuite.records.table import RunData
from benchsuite.report.charts.base import Chart, Draw
from benchsuite.report.charts.distributions import e2e_latency, itl, tpot, ttft
from benchsuite.report.charts.objectives import slo_scale
from benchsuite.report.charts.outcomes import attainment, errors
from benchsuite.report.charts.overlap import interference
from benchsuite.report.charts.sessions import session_timelines, turn_costs
from benchsuite.report.charts.telemetry import power, server_cache, server_queue
from benchsuite.report.charts.timelines import (
    arrivals,
    in_flight,
    itl_over_time,
    throughput,
    ttft_over_time,
)
from benchsuite.report.charts.waterfall import waterfall
from benchsuite.results.result import RunResult

CHARTS: Final[tuple[Draw, ...]] = (
    attainment,
    ttft,
    tpot,
    itl,
    e2e_latency,
    slo_scale,
    interference,
    turn_costs,
    ttft_over_time,
    itl_over_time,
    in_flight,
    server_queue,
    server_cache,
    throughput,
    power,
    arrivals,
    session_timelines,
    waterfall,
    errors,
)


def charts(result: RunResult, data: RunData) -> tuple[Chart, ...]:
    """Every chart that has something to show."""
    drawn = (draw(result, data) for draw in CHARTS)
    return tuple(chart for chart in drawn if chart is not None)
