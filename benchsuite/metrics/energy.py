"""Joules: from energy counters where there are any, else from power, with the error of reading.

Accelerators (`gpu0`, `gpu1` ...: whole boards, NVML) and processors (`cpu0` ...: packages and their
memory, RAPL) are told apart, and never added to what was not measured. Nothing is zero for want of
a meter: it is absent.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from benchsuite.metrics.answers import lacks_grades, right_answers
from benchsuite.metrics.base import Interval, Metric
from benchsuite.metrics.throughput import output_tokens_inside, prompt_tokens_inside
from benchsuite.records.table import FloatArray, RunData

MIN_WINDOW_S: Final = 5.0  # counters move some ten times a second, and power is averaged
AVERAGED_S: Final = 1.0  # that a power sensor's reading may be the mean of
MAX_GAP_S: Final = 3.0  # between two readings; more, and what was between them is not known
Scope = str  # "gpu" or "cpu": how the names of its meters begin
Measure = Callable[[RunData], FloatArray]


class Energy(NamedTuple):
    """Joules of the measurement window."""

    joules: float
    error: float  # of reading, at most; what the meter itself is off by is its maker's to say


def energy(data: RunData, scope: Scope) -> Energy | str:
    """All meters of a scope together; why not, where one of them cannot tell."""
    start_s, end_s = data.window_s
    meters = sorted({key.split(".")[0] for key in data.samples if key.startswith(scope)})
    if not meters:
        return f"no energy was read of any {scope}"
    if end_s - start_s < MIN_WINDOW_S:
        return f"a window of {end_s - start_s:.3g} s; energy takes {MIN_WINDOW_S:g} s"
    joules, error = 0.0, 0.0
    for meter in meters:
        found = _of_meter(data.samples, meter, start_s, end_s)
        if isinstance(found, str):
            return found
        joules, error = joules + found.joules, error + found.error
    return Energy(joules, error)


def _of_meter(
    samples: dict[str, FloatArray], meter: str, start_s: float, end_s: float
) -> Energy | str:
    """By its counter; without one by its power."""
    readings = samples.get(f"{meter}.energy_j", samples.get(f"{meter}.power_w"))
    if readings is None or len(readings) < 2:
        return f"{meter} was read less than twice"
    at_s = readings[:, 0]
    if at_s[0] > start_s or at_s[-1] < end_s:
        return f"{meter} was not read over the whole window"
    inside = at_s[(at_s >= start_s) & (at_s <= end_s)]
    gap_s = float(np.diff(np.concatenate(([start_s], inside, [end_s]))).max())
    if gap_s > MAX_GAP_S:
        return f"{meter} was not read for {gap_s:.3g} s; at most {MAX_GAP_S:g} s may be missing"
    if f"{meter}.energy_j" in samples:
        return from_counter(readings, start_s, end_s)
    return from_power(readings, start_s, end_s)


def from_counter(readings: FloatArray, start_s: float, end_s: float) -> Energy:
    """`readings` [k, 2]: s, J. Between two steps of a counter it is taken to rise evenly; at worst
    it did all of that just before or after the window's edge.

    A counter that moves less often than it is read stands still and then jumps: what counts are
    its steps, not the readings.
    """
    steps = np.concatenate(([True], np.diff(readings[:, 1]) > 0))
    at_s, joules = readings[steps, 0], readings[steps, 1]
    at_edges = np.interp([start_s, end_s], at_s, joules)
    error = sum(_step_around(edge_s, at_s, joules) for edge_s in (start_s, end_s))
    return Energy(float(at_edges[1] - at_edges[0]), error)


def _step_around(edge_s: float, at_s: FloatArray, joules: FloatArray) -> float:
    """How much the counter rose in the step that holds an edge."""
    after = int(np.clip(np.searchsorted(at_s, edge_s, side="right"), 1, len(at_s) - 1))
    return float(joules[after] - joules[after - 1])


def from_power(readings: FloatArray, start_s: float, end_s: float) -> Energy:
    """`readings` [k, 2]: s, W, over more than the window. By the trapezoid rule; the error is what
    changes if only every other reading is used, and what the sensor may have been behind at the
    window's edges: it shows the mean of up to the last second. On an H200 that was 5.6 % less than
    the counter where the load began and ended at the edges, 1.4 % where it did not."""
    every = _trapezoid(readings, start_s, end_s)
    ends = np.unique(np.concatenate((np.arange(0, len(readings), 2), [len(readings) - 1])))
    coarse = abs(every - _trapezoid(readings[ends], start_s, end_s))
    behind = sum(AVERAGED_S * _range_w(readings, edge_s) for edge_s in (start_s, end_s))
    return Energy(every, coarse + behind)


def _range_w(readings: FloatArray, edge_s: float) -> float:
    """How much power changed within what a sensor averages on either side of an edge."""
    near = np.abs(readings[:, 0] - edge_s) <= AVERAGED_S
    return float(np.ptp(readings[near, 1])) if near.any() else 0.0


def _trapezoid(readings: FloatArray, start_s: float, end_s: float) -> float:
    at_s, watts = readings[:, 0], readings[:, 1]
    inside = (at_s > start_s) & (at_s < end_s)
    points_s = np.concatenate(([start_s], at_s[inside], [end_s]))
    return float(np.trapezoid(np.interp(points_s, at_s, watts), points_s))


def energy_metrics(num_good: Measure | None) -> tuple[Metric, ...]:
    """Of both scopes. `num_good`: good requests per second, where there are SLOs."""
    return _of_scope("gpu", "", "the accelerators' boards", num_good) + _of_scope(
        "cpu", "cpu_", "the processors of the machine that sends", None
    )


def _of_scope(scope: Scope, prefix: str, what: str, num_good: Measure | None) -> tuple[Metric, ...]:
    title = prefix.upper().replace("_", " ")

    def per(name: str, words: str, unit: str, count: Measure, doc: str) -> Metric:
        """Energy of the window over what `count` gives."""

        def lacks(data: RunData) -> str | None:
            found = energy(data, scope)
            if isinstance(found, str):
                return found
            return lacks_grades(data) if count is right_answers else None

        def bounds(data: RunData) -> tuple[float, float, float]:
            found, num = energy(data, scope), float(count(data)[0])
            assert isinstance(found, Energy), "absent"
            num = num if num > 0 else np.nan
            low = max(found.joules - found.error, 0.0)
            return low / num, found.joules / num, (found.joules + found.error) / num

        def value(data: RunData) -> FloatArray:
            return np.array([bounds(data)[1]])

        def interval(data: RunData) -> Interval | None:
            low, _, high = bounds(data)
            return low, high

        value.__doc__ = (
            f"Energy of {what} over the window{doc}. Interval: the error of reading, no more. "
            "Source: InferenceMAX."
        )
        return Metric(f"{prefix}{name}", f"{title}{words}", unit, "lower", "run", value,
                      interval=interval, lacks=lacks)  # fmt: skip

    found = [
        per("energy", "Energy", "J", _one, ""),
        per("power", "Power", "W", _length, " / its length"),
        per("joules_per_output_token", "J per output token", "J", _output,
            " / output tokens that arrived in it"),
        per("joules_per_token", "J per token", "J", _tokens,
            " / prompt and output tokens of it: as papers on prefill count, and far below "
            "`joules_per_output_token`"),
        per("joules_per_request", "J per request", "J", _requests,
            " / requests that ended well in it"),
        per("joules_per_correct", "J per right answer", "J", right_answers,
            " / right answers that ended in it"),
    ]  # fmt: skip
    if num_good is not None:
        found.append(
            per("joules_per_good_request", "J per good request", "J",
                lambda data: num_good(data) * _length(data),
                " / requests that met every SLO and ended in it: what was spent on the others is "
                "paid for as well")
        )  # fmt: skip
    return tuple(found)


def _one(data: RunData) -> FloatArray:
    return np.ones(1)


def _length(data: RunData) -> FloatArray:
    return np.array([data.window_s[1] - data.window_s[0]])


def _output(data: RunData) -> FloatArray:
    return np.array([output_tokens_inside(data)])


def _tokens(data: RunData) -> FloatArray:
    return np.array([output_tokens_inside(data) + prompt_tokens_inside(data)])


def _requests(data: RunData) -> FloatArray:
    start_s, end_s = data.window_s
    ended = data.ok & (data.finished_s >= start_s) & (data.finished_s < end_s)
    return np.array([float(np.count_nonzero(ended))])
