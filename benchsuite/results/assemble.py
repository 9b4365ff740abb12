"""From the records of a run to its result: pure, and the same for a live run and an old folder."""

from collections import Counter

import numpy as np
import pyarrow as pa

from benchsuite import __version__
from benchsuite.metrics import summarise
from benchsuite.metrics.generator import client_lag, send_delay
from benchsuite.metrics.slo import attainment
from benchsuite.metrics.statistics import measurement_window
from benchsuite.metrics.validity import checks, judge
from benchsuite.records.table import FloatArray, RunData
from benchsuite.results.facts import Facts
from benchsuite.results.result import Counts, Instrument, RunResult, Spread
from benchsuite.scenario import Scenario, dump


def data(table: pa.Table, scenario: Scenario, facts: Facts) -> RunData:
    """The records as columns, with the window that counts."""
    sent_s, due_s, finished_s = (
        table[name].to_numpy().astype(np.float64) for name in ("sent_s", "due_s", "finished_s")
    )
    limits = scenario.limits
    window_s = measurement_window(
        np.where(np.isnan(due_s), sent_s, due_s),
        finished_s,
        warmup_s=limits.warmup,
        duration_s=limits.duration if limits.requests is None else None,
    )
    return RunData.from_records(
        table,
        window_s=window_s,
        num_planned=len(table) if facts.num_planned is None else facts.num_planned,
        planned_due_s=np.asarray(facts.planned_due_s, dtype=np.float64),
        partial=facts.partial,
    )


def result(data: RunData, scenario: Scenario, facts: Facts) -> RunResult:
    """Everything that the run says about itself."""
    found = checks(data, scenario.validity)
    verdict = judge(found)
    return RunResult(
        benchsuite_version=__version__,
        name=scenario.name,
        description=scenario.description,
        verdict=verdict.verdict,
        reasons=verdict.reasons,
        warnings=(*verdict.warnings, *facts.warnings),
        checks=found,
        started_at=facts.started_at,
        duration_s=_last(data.finished_s),
        window_s=data.window_s,
        requests=_counts(data),
        errors=dict(Counter(name for name in data.error_class if name).most_common()),
        summaries=summarise(data, scenario.slo),
        attainment=attainment(data, scenario.slo),
        scenario=dump(scenario),
        environment=facts.environment,
        instrument=Instrument(
            stamp_source={
                source: num / len(data) for source, num in Counter(data.stamp_source).items()
            },
            send_delay=_spread(send_delay(data)),
            client_lag=_spread(client_lag(data)),
            timer_resolution_s=facts.environment.clock_resolution_s,
        ),
        command=facts.command,
        partial=facts.partial,
    )


def _last(values: FloatArray) -> float:
    return 0.0 if np.isnan(values).all() else float(np.nanmax(values))


def _counts(data: RunData) -> Counts:
    by_status = Counter(data.status)
    return Counts(
        planned=data.num_planned,
        sent=int(np.count_nonzero(~np.isnan(data.sent_s))),
        ok=by_status["ok"],
        error=by_status["error"],
        timeout=by_status["timeout"],
        cancelled=by_status["cancelled"],
        in_window=int(np.count_nonzero(data.in_window)),
    )


def _spread(values: FloatArray) -> Spread:
    known = values[~np.isnan(values)]
    if not len(known):
        return Spread(n=0)
    middle, high = np.percentile(known, (50, 99))
    return Spread(n=len(known), p50=float(middle), p99=float(high), max=float(known.max()))
