"""A timeline that Perfetto and chrome://tracing open: Chrome's JSON trace event format.

Requests overlap, so each is an asynchronous event (`b`, `e`) with its own id; its wait for the
first token and its decoding lie inside. Telemetry and requests in flight are counters (`C`).
"""

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from benchsuite.metrics.steady import in_flight
from benchsuite.records.table import RunData
from benchsuite.results.result import RunResult

Event = dict[str, Any]
NUM_TIMES = 1000  # at which requests in flight are counted


def write(result: RunResult, data: RunData) -> bytes:
    """Chrome's JSON trace, for Perfetto: every request from due to its end with its stages, what
    was read beside them as counters; times in microseconds from run start."""
    events = [
        {"ph": "M", "name": "process_name", "pid": 1, "args": {"name": result.name}},
        *_requests(data),
        *_counters(data),
    ]
    return msgspec.json.encode({"traceEvents": events, "displayTimeUnit": "ms"}) + b"\n"


def _requests(data: RunData) -> Iterator[Event]:
    for at in range(len(data)):
        begin_s, end_s = data.origin_s[at], data.finished_s[at]
        if np.isnan(begin_s) or np.isnan(end_s):
            continue  # never sent: it has no place on a time line
        about = {
            "request": int(data.request_id[at]),
            "session": int(data.session_id[at]),
            "class": data.slo_class[at],
            "status": data.status[at],
            "error": data.error[at],
            "prompt_tokens": int(data.prompt_tokens[at]),
            "output_tokens": int(data.output_tokens[at]),
        }
        stages = [
            ("request", begin_s, end_s, about),
            ("late", begin_s, data.sent_s[at], {}),
            ("first token", data.sent_s[at], data.first_token_s[at], {}),
            ("decode", data.first_token_s[at], data.last_token_s[at], {}),
        ]
        for name, start_s, stop_s, args in stages:
            if not (np.isnan(start_s) or np.isnan(stop_s)) and stop_s >= start_s:
                yield from _span(name, int(data.request_id[at]), start_s, stop_s, args)


def _span(name: str, number: int, start_s: float, stop_s: float, args: Event) -> Iterator[Event]:
    common = {"cat": "request", "name": name, "id": number, "pid": 1, "tid": 1}
    yield {"ph": "b", "ts": float(start_s) * 1e6, **common, "args": args}
    yield {"ph": "e", "ts": float(stop_s) * 1e6, **common}


def _counters(data: RunData) -> Iterator[Event]:
    if len(data):
        end_s = float(np.fmax.reduce(data.finished_s, initial=0.0))
        at_s = np.linspace(0.0, end_s, NUM_TIMES)
        yield from _counter("in flight", at_s, in_flight(data.sent_s, data.finished_s, at_s))
    for name, readings in sorted(data.samples.items()):
        yield from _counter(name, *readings.T)


def _counter(name: str, at_s: Any, values: Any) -> Iterator[Event]:
    for second, value in zip(at_s.tolist(), values.tolist(), strict=True):
        yield {"ph": "C", "ts": second * 1e6, "name": name, "pid": 1, "args": {"value": value}}
