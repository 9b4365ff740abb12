"""One run, as a story: a scenario becomes a schedule, the schedule is sent, what happened is
recorded, and everything else is a pure function of the records.

`report` starts at the records; `recover` where a killed run left its spool.
"""

import dataclasses
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from msgspec.structs import replace
from rich.console import Console

from benchsuite.endpoints.reference_engine import EMIT_LOG_NAME
from benchsuite.errors import InterruptedRunError, RunError, ScenarioError
from benchsuite.loadgen import workers
from benchsuite.loadgen.interrupts import handlers_kept
from benchsuite.loadgen.schedule import Schedule
from benchsuite.loadgen.workers import Ended
from benchsuite.metrics.grading import grades_of
from benchsuite.metrics.statistics import measurement_window
from benchsuite.records import arrow, telemetry
from benchsuite.records import client as client_file
from benchsuite.records import requests as requests_file
from benchsuite.records.loading import run_data
from benchsuite.records.record import Record
from benchsuite.records.spool import read_facts, read_spool
from benchsuite.records.table import RunData
from benchsuite.results import curve, tables, truth
from benchsuite.results.environment import Environment
from benchsuite.results.facts import RUNNING, Facts
from benchsuite.results.frontier import Frontier, frontier, measured, throughput
from benchsuite.results.imports.base import Imported
from benchsuite.results.result import RunResult
from benchsuite.results.truth import Truth
from benchsuite.scenario import Scenario, dump, load, salted, save
from benchsuite.workloads import tokenizer as tokenizers
from benchsuite.workloads.tokenizer import Tokenizer

SCENARIO_NAME: Final = "scenario.yaml"
SPOOL_NAME: Final = "spool"


Send = Callable[[Scenario, Schedule, Tokenizer, Path, Console], Ended]


@handlers_kept()
def run(
    scenario: Scenario,
    folder: Path,
    *,
    command: str = "",
    console: Console,
    send: Send = workers.send_all,
) -> RunResult:
    """Run one scenario and leave its run folder at `folder`, which must be new or empty."""
    scenario = salted(scenario, secrets.token_hex(4))  # stands in the run's scenario.yaml
    tokenizer = tokenizers.load(scenario.tokenizer)
    schedule = Schedule.plan(scenario, tokenizer)  # everything random happens here, from one seed
    with _folder_of(scenario, folder):
        save(scenario, folder / SCENARIO_NAME)
        environment = Environment.capture()
        facts = Facts(
            started_at=Facts.now(),
            command=command,
            environment=environment,
            endpoint=scenario.endpoint.title,
            num_planned=schedule.num_requests,
            planned_due_s=schedule.due_s or (),
            issuing_end_s=schedule.end_s,
            warnings=(
                *scenario.endpoint.notes(),
                *scenario.workload.notes(),
                *schedule.notes,
            ),
            system=scenario.deployment.resolve(),
            selftest=curve.last(curve.Machine.of(environment)),
        )
        facts.save(folder)
        ended = send(scenario, schedule, tokenizer, folder, console)  # the only network traffic
        replace(
            facts,
            partial=ended.early,
            num_workers=ended.num_workers,
            start_s=min(_starts_s(folder / SPOOL_NAME), default=None),
            nodes=ended.nodes,
            clients=client_file.read(folder / SPOOL_NAME),
        ).save(folder)
        if not keep_records(scenario, folder):
            if ended.early == "interrupted":
                raise InterruptedRunError("interrupted before any request was recorded")
            raise RunError("no request was recorded")
    return report(folder)


def keep_records(scenario: Scenario, folder: Path) -> int:
    """Decode the spool into `requests.parquet`, then let the spool go; how many there are.

    Where there are none, nothing is written and the spool stays.
    """
    spool, path = folder / SPOOL_NAME, folder / requests_file.FILE_NAME
    num = requests_file.write(_records(scenario, spool), path)
    if num == 0:
        path.unlink()
    else:
        start_s = min(_starts_s(spool))
        telemetry.keep(spool, folder / telemetry.FILE_NAME, start_s)
        shutil.rmtree(spool)
    return num


def _starts_s(spool: Path) -> Iterator[float]:
    """Of each worker: the run's zero on its machine's clock."""
    for path in sorted(spool.glob("*.arrows")):
        try:
            yield float(read_facts(path)["start_s"])
        except pa.ArrowInvalid:
            continue  # its worker was killed before the head of the file was written


def holds_records(scenario: Scenario, folder: Path) -> bool:
    """Whether a report can be made of what lies in a run folder."""
    if (folder / requests_file.FILE_NAME).exists():
        return True
    return next(_records(scenario, folder / SPOOL_NAME), None) is not None


def _records(scenario: Scenario, spool: Path) -> Iterator[Record]:
    count = tokenizers.load(scenario.tokenizer).count
    for path in sorted(spool.glob("*.arrows")):
        try:
            start_s = float(read_facts(path)["start_s"])
        except pa.ArrowInvalid:
            continue  # its worker was killed before the head of the file was written
        for asked, exchange in read_spool(path):
            response = scenario.endpoint.decode(exchange, count)
            yield requests_file.record_of(
                asked,
                exchange,
                response,
                start_s=start_s,
                grades=grades_of(asked, response),
                keep_text=scenario.capture == "text",
            )


def report(folder: Path) -> RunResult:
    """Everything derived, from the records on disk: result.json, the CSVs, report.html."""
    result, data = analyse(folder)
    result.save(folder)
    tables.write(result, data, folder)
    from benchsuite.report import html  # a fifth of all a run imports: not before the numbers stand

    html.write(result, data, folder / "report.html")
    return result


def analyse(folder: Path) -> tuple[RunResult, RunData]:
    """What the records on disk say, and the records; writes nothing."""
    scenario, facts = load(folder / SCENARIO_NAME), Facts.load(folder)
    data = read(folder, scenario, facts)
    result = RunResult.of(
        data,
        name=scenario.name,
        description=scenario.description,
        slos=scenario.slo,
        validity=scenario.validity,
        scenario=dump(scenario),
        environment=facts.environment,
        started_at=facts.started_at,
        command=facts.command,
        notes=facts.warnings,
        nodes=facts.nodes,
        clients=facts.clients,
        system=facts.system,
        selftest=None if len(facts.nodes) > 1 else facts.selftest,  # it is of this machine
    )
    return result, data


def truth_of(folder: Path, log: Path | None = None) -> Truth:
    """A run's latencies against its server's log; RunError if they cannot be held against it."""
    facts = Facts.load(folder)
    if facts.start_s is None:
        raise RunError(f"{folder}: does not say when it began: an older run, or a recovered one")
    if len(facts.nodes) > 1:
        raise RunError(f"{folder}: several machines sent, and each has a clock of its own")
    written = truth.read(log or folder / EMIT_LOG_NAME)
    bounds_s = RunResult.load(folder).instrument.error_s
    return truth.held(data_of(folder), facts.start_s, written, bounds_s)


def data_of(folder: Path) -> RunData:
    """The records of a run folder as columns, for whoever wants nothing else of it."""
    return read(folder, load(folder / SCENARIO_NAME), Facts.load(folder))


def read(folder: Path, scenario: Scenario, facts: Facts) -> RunData:
    """The records of a run folder, and what was read beside them."""
    path = folder / requests_file.FILE_NAME
    data = _columns(path, facts, warmup_s=scenario.limits.warmup)
    return dataclasses.replace(data, samples=telemetry.read(folder / telemetry.FILE_NAME))


def _columns(path: Path, facts: Facts, *, warmup_s: float) -> RunData:
    """The records as columns, with the window that counts."""
    table = requests_file.read(path, chunks=False)
    ran_out = not facts.planned_due_s and len(table) == facts.num_planned  # of a closed loop
    is_short = ran_out or facts.partial is not None  # it ended before its duration did
    sent_s, due_s, finished_s = (
        arrow.numbers(table[name], np.nan).astype(np.float64)
        for name in ("sent_s", "due_s", "finished_s")
    )
    return run_data(
        table,
        window_s=measurement_window(
            np.where(np.isnan(due_s), sent_s, due_s),
            finished_s,
            warmup_s=warmup_s,
            duration_s=None if is_short else facts.issuing_end_s,
        ),
        num_planned=len(table) if facts.num_planned is None else facts.num_planned,
        planned_due_s=np.asarray(facts.planned_due_s, dtype=np.float64),
        partial=facts.partial,
        column=partial(requests_file.read_column, path),
    )


def keep_imported(found: Imported, folder: Path, *, command: str) -> RunResult:
    """Another tool's run as a run folder, with everything that is derived."""
    place_imported(found, folder, command=command)
    return report(folder)


def place_imported(found: Imported, folder: Path, *, command: str) -> None:
    """Another tool's run as a run folder, of which nothing is derived yet."""
    with _folder_of(found.scenario, folder):
        save(found.scenario, folder / SCENARIO_NAME)
        facts = Facts(
            started_at=found.started_at,
            command=command,
            environment=Environment.unknown(),
            endpoint=found.scenario.endpoint.title,
            num_planned=len(found.records),
            planned_due_s=(),
            warnings=found.notes,
            partial=None,
        )
        facts.save(folder)
        requests_file.write(found.records, folder / requests_file.FILE_NAME)


def frontier_of(folders: Sequence[Path], baseline: Path, fixed: Sequence[Path] = ()) -> Frontier:
    """Graded runs held against one of them; runs of one model are one curve. `fixed`: runs of
    demanded lengths, one of a model, that say its throughput."""
    runs, throughputs = [], {}
    for folder in folders:
        runs.append(measured(_label(folder), Facts.load(folder).endpoint, data_of(folder)))
    for folder in fixed:
        model = Facts.load(folder).endpoint
        if model in throughputs:
            raise RunError(f"{folder}: a second throughput of {model}; one of a model is wanted")
        throughputs[model] = throughput(_label(folder), data_of(folder))
    return frontier(runs, _label(baseline), throughputs)


def _label(folder: Path) -> str:
    return folder.resolve().name


def recover(folder: Path) -> RunResult:
    """The report of a run that was killed, or whose disk was full: of all that reached the disk."""
    scenario, facts = load(folder / SCENARIO_NAME), Facts.load(folder)
    if (folder / SPOOL_NAME).is_dir():
        clients = client_file.read(folder / SPOOL_NAME)
        try:
            if not keep_records(scenario, folder):
                raise RunError(f"{folder}: no request was recorded")
        except (pa.ArrowInvalid, OSError) as error:
            raise RunError(f"{folder}: the spool cannot be read: {error}") from error
        replace(facts, partial=facts.partial or RUNNING, clients=clients).save(folder)
    return report(folder)


@contextmanager
def _folder_of(scenario: Scenario, folder: Path) -> Iterator[None]:
    """A new folder, or an empty one: a run never overwrites another.

    A run that sent nothing leaves it empty, or what the engine's log says, so that the same
    command can be given again.
    """
    is_new = not folder.exists()
    _make(folder)
    try:
        yield
    finally:
        if not (holds_records(scenario, folder) or _has_log(folder)):
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            if is_new:
                folder.rmdir()


def _has_log(folder: Path) -> bool:
    return any(path.stat().st_size for path in folder.glob("*.log"))


def _make(folder: Path) -> None:
    try:
        str(folder).encode()  # Arrow opens no other paths
        folder.mkdir(parents=True, exist_ok=True)
    except UnicodeEncodeError as error:
        raise ScenarioError(f"--out {str(folder)!r}: the name is not UTF-8 text") from error
    except OSError as error:
        raise ScenarioError(f"--out {folder}: {error.strerror}") from error
    if any(folder.iterdir()):
        raise ScenarioError(f"--out {folder}: not empty; name a new folder")


def default_folder(scenario: Scenario) -> Path:
    """`runs/<UTC>-<name>`."""
    slug = re.sub(r"[^a-z0-9._-]+", "-", scenario.name.lower()).strip("-.")[:64] or "run"
    stamp = re.sub(r"[^0-9T]", "", Facts.now().split("+")[0])
    return Path("runs") / f"{stamp}-{slug}"
