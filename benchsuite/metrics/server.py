"""The server's own view, from its `/metrics` during the run, beside the client's. Undefined where
it was not read, or the server does not say. Names: `benchsuite/loadgen/server_metrics.py`.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from benchsuite.metrics.latency import ttft_sent
from benchsuite.metrics.steady import in_flight
from benchsuite.metrics.validity import Check
from benchsuite.records.table import FloatArray, RunData

SOURCE: Final = "server."
TOKEN_ERROR: Final = 0.01  # of the output tokens, that the two counts may differ by
LITTLE_ERROR: Final = 0.1  # of the requests in flight, that the two counts may differ by,
LITTLE_REQUESTS: Final = 1.0  # or this many
LITTLE_READINGS: Final = 10  # of the gauges; a line through fewer is no mean
NUM_TIMES: Final = 2000  # at which the client's own requests in flight are counted


def untold(*names: str) -> Callable[[RunData], str | None]:
    """What a run lacks that has none of these readings."""

    def lacks(data: RunData) -> str | None:
        if any(SOURCE + name in data.samples for name in names):
            return None
        is_read = any(name.startswith(SOURCE) for name in data.samples)
        return "the server's /metrics do not say" if is_read else "no server's /metrics were read"

    return lacks


def server_running(data: RunData) -> FloatArray:
    """Requests that the server was working on: mean over the measurement window."""
    return np.array([_level(data, "running")])


def server_waiting(data: RunData) -> FloatArray:
    """Requests that waited in the server's queue: mean over the measurement window."""
    return np.array([_level(data, "waiting")])


def kv_usage(data: RunData) -> FloatArray:
    """Share of the server's KV cache in use: the most seen in the measurement window."""
    values = _within(data, "kv_usage_share")
    return np.array([values.max() if len(values) else np.nan])


def prefix_hit_share(data: RunData) -> FloatArray:
    """Share of prompt tokens that the server found in its prefix cache, over the measurement
    window: hits / look-ups, or the server's own mean where it tells no counts."""
    hits, queries = _increase(data, "prefix_hits_total"), _increase(data, "prefix_queries_total")
    if queries > 0:
        return np.array([hits / queries])
    return np.array([_level(data, "prefix_hit_share")])


def preemptions(data: RunData) -> FloatArray:
    """Times that the server threw a running request out of its KV cache, in the measurement
    window."""
    return np.array([_increase(data, "preemptions_total")])


def server_ttft(data: RunData) -> FloatArray:
    """Time to first token as the server sees it, from the request's arrival there: mean over the
    first tokens of the measurement window."""
    return np.array([_mean_time(data, "ttft_s")])


def server_queue_time(data: RunData) -> FloatArray:
    """How long requests waited in the server's queue, as it says: mean over the measurement
    window."""
    return np.array([_mean_time(data, "queue_time_s")])


def ttft_outside_server(data: RunData) -> FloatArray:
    """Mean `ttft_sent` of the first tokens that came in the measurement window, less
    `server_ttft`: what network, proxies, the server's HTTP side and this client add."""
    start_s, end_s = data.window_s
    came = data.ok & (data.first_token_s >= start_s) & (data.first_token_s < end_s)
    ours = ttft_sent(data)[came]
    return np.array([ours.mean() - server_ttft(data)[0] if len(ours) else np.nan])


def checks(data: RunData) -> tuple[Check, ...]:
    """What must agree where both sides count: output tokens, and requests in flight. Soft: the
    server may serve others, or count otherwise."""
    return tuple(check for check in (_tokens(data), _little(data)) if check is not None)


def _tokens(data: RunData) -> Check | None:
    """Of the whole run, where it was read before the first request and after the last."""
    told = data.samples.get(SOURCE + "output_tokens_total")
    if told is None or len(told) < 2 or not len(data):
        return None
    if told[0, 0] > np.nanmin(data.sent_s) or told[-1, 0] < np.nanmax(data.finished_s):
        return None
    ours, theirs = float(data.output_tokens.sum()), float(told[-1, 1] - told[0, 1])
    error = abs(theirs - ours) / max(ours, 1.0)
    ok = error <= TOKEN_ERROR
    so = "" if ok else ": it serves others too, or answers were cut off"
    return Check(
        name="server_tokens",
        ok=ok,
        hard=False,
        value=error,
        limit=TOKEN_ERROR,
        unit="share",
        sentence=f"the server counted {theirs:,.0f} output tokens, this client {ours:,.0f}{so}",
    )


def _little(data: RunData) -> Check | None:
    """Little's law, L = lambda * W: requests in flight by the server's gauges, and by the client's
    own times (whose mean over a window is arrivals per second * time each was in flight)."""
    theirs = _level(data, "running") + _level(data, "waiting")
    if np.isnan(theirs) or len(_within(data, "running")) < LITTLE_READINGS:
        return None
    start_s, end_s = data.window_s
    at_s = np.linspace(start_s, end_s, NUM_TIMES, endpoint=False)
    ours = float(in_flight(data.sent_s, data.finished_s, at_s).mean())
    error, limit = abs(theirs - ours), max(LITTLE_REQUESTS, LITTLE_ERROR * ours)
    ok = error <= limit
    so = "it serves others too" if theirs > ours else "requests wait outside it"
    fact = f"{theirs:.1f} requests were in the server by its gauges, {ours:.1f} by this client"
    return Check(
        name="server_in_flight",
        ok=ok,
        hard=False,
        value=error,
        limit=limit,
        unit="requests",
        sentence=fact if ok else f"{fact}: {so}",
    )


def _within(data: RunData, name: str) -> FloatArray:
    """Readings of the measurement window, and the last before it, [k]."""
    readings = data.samples.get(SOURCE + name, np.empty((0, 2)))
    start_s, end_s = data.window_s
    first = max(int(np.searchsorted(readings[:, 0], start_s, side="right")) - 1, 0)
    last = int(np.searchsorted(readings[:, 0], end_s))
    values: FloatArray = readings[first:last, 1]
    return values


def _level(data: RunData, name: str) -> float:
    """Mean of a gauge over the window: straight lines between readings; NaN where it was not read
    at both ends."""
    readings = data.samples.get(SOURCE + name)
    if readings is None or not _spans(readings, data):
        return float("nan")
    start_s, end_s = data.window_s
    at_s, values = readings.T
    inside = (at_s > start_s) & (at_s < end_s)
    x = np.concatenate(([start_s], at_s[inside], [end_s]))
    y = np.interp(x, at_s, values)
    return float(np.sum((y[1:] + y[:-1]) / 2 * np.diff(x)) / (end_s - start_s))


def _increase(data: RunData, name: str) -> float:
    """Of a counter over the window; NaN where it was not read at both ends or started anew."""
    readings = data.samples.get(SOURCE + name)
    if readings is None or not _spans(readings, data) or (np.diff(readings[:, 1]) < 0).any():
        return float("nan")
    at_start, at_end = np.interp(data.window_s, readings[:, 0], readings[:, 1])
    return float(at_end - at_start)


def _spans(readings: FloatArray, data: RunData) -> bool:
    start_s, end_s = data.window_s
    return len(readings) > 1 and readings[0, 0] <= start_s < end_s <= readings[-1, 0]


def _mean_time(data: RunData, name: str) -> float:
    num = _increase(data, f"{name}_count")
    return _increase(data, f"{name}_sum") / num if num > 0 else float("nan")
