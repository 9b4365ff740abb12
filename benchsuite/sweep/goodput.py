"""The goodput search carried out: runs at the rates that the decision asks for.

`benchsuite/metrics/goodput.py` decides; this makes the run, reads it, and asks again. The same
folder taken up again reads what was run and goes on.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from benchsuite import runner
from benchsuite.errors import RunError, ScenarioError
from benchsuite.metrics import METRICS
from benchsuite.metrics.attainment import met_each
from benchsuite.metrics.goodput import Goal, Goodput, Reading, decide
from benchsuite.metrics.steady import growth
from benchsuite.records.table import FloatArray, RunData
from benchsuite.results.facts import Facts
from benchsuite.results.result import RunResult
from benchsuite.scenario import Scenario, load
from benchsuite.spec import seconds
from benchsuite.sweep.runs import Run, once, seed

FILE_NAME: Final = "goodput.json"
LOAD_KEYS: Final = {
    "constant": "arrivals.rate",
    "poisson": "arrivals.rate",
    "gamma": "arrivals.rate",
    "timestamps": "arrivals.speed",
    "closed_loop": "arrivals.concurrency",
}
_OF_REQUESTS: Final = {one.name: one for one in METRICS if one.shape == "request"}
# Checks that speak of the client or of what it could deliver: where one fails, the rate was not
# measured. A server that fails requests or answers late is a result.
OF_THE_CLIENT: Final = frozenset(
    {
        "complete", "delivered", "achieved_rate", "send_delay", "concurrency", "client_lag",
        "stamp_error", "shared_reads", "tokens_known",
    }
)  # fmt: skip


class Criterion(NamedTuple):
    """What has to hold at a rate."""

    target: float  # least share of requests that meet their SLOs; or
    metric: str | None = None  # the mean of this metric
    limit: float | None = None  # is at most this

    @property
    def title(self) -> str:
        if self.metric is None:
            return f"attainment ≥ {self.target:g}"
        return f"mean {self.metric} ≤ {self.limit:g}"


class Found(Struct, frozen=True, kw_only=True):
    """What `goodput.json` holds."""

    schema_version: str = "1.0"
    scenario: str
    settings: tuple[str, ...]
    key: str  # what was varied: the rate
    criterion: str
    goal: Goal
    num_gpus: int | None = None
    goodput: Goodput
    per_gpu: float | None = None  # rate / num_gpus
    per_gpu_interval: tuple[float | None, float | None] = (None, None)
    output_token_rate: float | None = None  # tokens/s at the highest rate that passes
    readings: tuple[Reading, ...] = ()
    runs: tuple[str, ...] = ()  # their folders, in order


def search(
    path: Path,
    settings: tuple[str, ...],
    goal: Goal,
    criterion: Criterion,
    folder: Path,
    *,
    run: Run,
    say: Callable[[str], None],
    num_gpus: int | None = None,
) -> Found:
    """Search until the decision is made; everything lies in `folder`."""
    plain = load(path, settings)
    key = load_key(plain)
    _refuse_unjudged(plain, criterion)
    readings: list[Reading] = []
    rates: list[tuple[float, float | None]] = []
    folders: list[str] = []
    while not isinstance(step := decide(goal, readings), Goodput):
        number = len(readings)
        scenario = _at(path, settings, key, step, seed(plain, repeat=number, number=number))
        name = f"runs/{number:03d}-{step:.6g}"
        result = once(scenario, folder / name, run)
        if result.partial == "interrupted":
            raise KeyboardInterrupt
        reading = read(folder / name, result, step, criterion)
        readings.append(reading)
        folders.append(name)
        rates.append((step, _mean(result, "output_token_rate")))
        say(_told(number, reading, criterion))
    found = Found(
        scenario=str(path),
        settings=settings,
        key=key,
        criterion=criterion.title,
        goal=goal,
        num_gpus=num_gpus,
        goodput=step,
        per_gpu=_shared(step.rate, num_gpus),
        per_gpu_interval=(
            _shared(step.interval[0], num_gpus),
            _shared(step.interval[1], num_gpus),
        ),
        output_token_rate=_at_rate(rates, step.interval[0]),
        readings=tuple(readings),
        runs=tuple(folders),
    )
    text = msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"
    (folder / FILE_NAME).write_bytes(text)
    return found


def criterion(target: float, at_most: str | None) -> Criterion:
    """`target`, or of `at_most` as `tpot=50ms`. Raises ScenarioError."""
    if at_most is None:
        return Criterion(target)
    metric, _, text = at_most.partition("=")
    limit = seconds(text)
    if limit is None:
        try:
            limit = float(text)
        except ValueError:
            raise ScenarioError(
                f"--at-most {at_most!r}: expected METRIC=LIMIT, such as tpot=50ms"
            ) from None
    return Criterion(target, metric, limit)


def load_key(scenario: Scenario) -> str:
    """The key that sets how much is asked of the server."""
    kind = str(scenario.arrivals.__struct_config__.tag)
    if kind not in LOAD_KEYS:
        raise ScenarioError(
            f"arrivals: {kind} has no one rate to search over; choose {', '.join(LOAD_KEYS)}"
        )
    return LOAD_KEYS[kind]


def is_whole(scenario: Scenario) -> bool:
    """Whether that key takes whole numbers alone."""
    return load_key(scenario) == LOAD_KEYS["closed_loop"]


def current_rate(scenario: Scenario) -> float:
    """What the scenario itself asks for: where a search begins."""
    return float(getattr(scenario.arrivals, load_key(scenario).rpartition(".")[2]))


def read(folder: Path, result: RunResult, rate: float, criterion: Criterion) -> Reading:
    """What a run says about its rate."""
    scenario, facts = load(folder / runner.SCENARIO_NAME), Facts.load(folder)
    data = runner.read(folder, scenario, facts)
    grown = None
    if not np.isnan(data.due_s).all():  # a closed loop has no backlog
        grown = growth(data.origin_s, data.finished_s, data.window_s)
    if criterion.metric is None:
        met = met_each(data, scenario.slo)
        if not len(met):
            raise RunError(f"{folder}: no request counts: a longer duration, or a shorter warm-up")
        reading = Reading.of_share(rate, met, criterion.target, grown)
    else:
        assert criterion.limit is not None
        values = _values(data, criterion.metric)
        if len(values) < 2:
            raise RunError(f"{folder}: {len(values)} values of {criterion.metric}: too few")
        reading = Reading.of_mean(rate, values, criterion.limit, grown)
    failed = {check.name for check in result.checks if check.hard and not check.ok}
    return replace(reading, trusted=not failed & OF_THE_CLIENT)


def _values(data: RunData, name: str) -> FloatArray:
    """Of the requests of the window that ended well, in order of origin."""
    values = _OF_REQUESTS[name].values(data)
    found: FloatArray = values[data.in_window & data.ok & ~np.isnan(values)]
    return found


def _at(path: Path, settings: tuple[str, ...], key: str, rate: float, seed: int) -> Scenario:
    value = repr(int(rate) if key == LOAD_KEYS["closed_loop"] else rate)
    plain = load(path, (*settings, f"{key}={value}"))
    return replace(plain, name=f"{plain.name}: {value}", seed=seed)


def _refuse_unjudged(scenario: Scenario, criterion: Criterion) -> None:
    if criterion.metric is None and not scenario.slo:
        raise ScenarioError(
            "slo: a goodput search needs limits to attain, such as "
            "`slo: {default: {ttft: 1s, tpot: 50ms}}`, or --at-most tpot=50ms"
        )
    if criterion.metric is not None and criterion.metric not in _OF_REQUESTS:
        raise ScenarioError(
            f"{criterion.metric!r} is no metric of single requests "
            f"(known: {', '.join(_OF_REQUESTS)})"
        )


def _told(number: int, reading: Reading, criterion: Criterion) -> str:
    of_share = criterion.metric is None
    value = f"{reading.value:.1%}" if of_share else f"{reading.value * 1e3:.4g} ms"
    error = f"{reading.error:.1%}" if of_share else f"{reading.error * 1e3:.2g} ms"
    grows = ""
    if reading.growth is not None and reading.growth.is_beyond(0.01, 3.0):
        grows = f"; the backlog grows by {reading.growth.share:.1%} of the arrivals"
    doubt = "" if reading.trusted else "; the client could not deliver it"
    return f"{number + 1}: at {reading.rate:.4g}: {value} ± {error}{grows}{doubt}"


def _shared(rate: float | None, num_gpus: int | None) -> float | None:
    return None if rate is None or num_gpus is None else rate / num_gpus


def _at_rate(rates: list[tuple[float, float | None]], wanted: float | None) -> float | None:
    """Mean over the runs at one rate."""
    found = [value for rate, value in rates if rate == wanted and value is not None]
    return float(np.mean(found)) if found else None


def _mean(result: RunResult, name: str) -> float | None:
    summary = result.summaries.get(name)
    return None if summary is None else summary.mean
