"""RunResult: what one run found, as `result.json` in its run folder. Knows no clock, no server.

The schema has its own version: another major is refused, a missing or additional field is not.
"""

import os
from collections import Counter
from pathlib import Path
from typing import Any, Final, Literal, Self

import msgspec
import numpy as np
from msgspec import Struct

from benchsuite.errors import RunError
from benchsuite.metrics import metrics_for, server, stationarity, summarise
from benchsuite.metrics.attainment import Attainment, attainment
from benchsuite.metrics.base import Summary
from benchsuite.metrics.slo import DEFAULT_CLASS, Slos
from benchsuite.metrics.summaries import absent
from benchsuite.metrics.system import UNTOLD, System
from benchsuite.metrics.token_costs import Gamma, gammas
from benchsuite.metrics.validity import Check, Validity, checks, judge
from benchsuite.records.client import Client
from benchsuite.records.node import Node
from benchsuite.records.table import RunData
from benchsuite.results import instrument, sender
from benchsuite.results.curve import Curve
from benchsuite.results.environment import Environment
from benchsuite.results.instrument import Instrument
from benchsuite.results.sender import Sender

SCHEMA_VERSION: Final = "1.0"
FILE_NAME: Final = "result.json"


class Counts(Struct, frozen=True, kw_only=True):
    """Requests of the whole run, warm-up and drain included. `sent` = ok + error + timeout +
    cancelled ones that had left; `in_window` are those that the summaries can draw from."""

    planned: int
    sent: int
    ok: int
    error: int
    timeout: int
    cancelled: int
    in_window: int

    @classmethod
    def of(cls, data: RunData) -> Self:
        by_status = Counter(data.status)
        return cls(
            planned=data.num_planned,
            sent=int(np.count_nonzero(~np.isnan(data.sent_s))),
            ok=by_status["ok"],
            error=by_status["error"],
            timeout=by_status["timeout"],
            cancelled=by_status["cancelled"],
            in_window=int(np.count_nonzero(data.in_window)),
        )


class RunResult(Struct, frozen=True, kw_only=True):
    """Everything that a run says about itself, short of its records."""

    schema_version: str = SCHEMA_VERSION
    benchsuite_version: str
    name: str
    description: str = ""
    verdict: Literal["valid", "invalid"]
    reasons: tuple[str, ...] = ()  # why it is invalid: the sentences of the hard checks that failed
    warnings: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    started_at: str  # UTC, ISO 8601
    duration_s: float  # from run start to the end of the last request
    window_s: tuple[float, float]  # measured: requests whose origin lies in [start, end)
    requests: Counts
    errors: dict[str, int] = {}  # error class -> requests, of the whole run
    summaries: dict[str, Summary] = {}
    absent: dict[str, str] = {}  # metric that this run cannot have -> what it lacks
    attainment: dict[str, Attainment] = {}  # SLO class -> attainment
    system: System = UNTOLD  # model, accelerators and prices, as the scenario tells them
    gammas: dict[str, Gamma] = {}  # kind of PTE -> what it was worked out with
    scenario: dict[str, Any] = {}  # resolved, as written in scenario.yaml
    environment: Environment
    instrument: Instrument
    nodes: tuple[Sender, ...] = ()  # the machines that sent, where they were several
    command: str = ""
    partial: str | None = None  # why the run is incomplete, if it is

    @classmethod
    def of(
        cls,
        data: RunData,
        *,
        name: str,
        slos: Slos,
        validity: Validity,
        scenario: dict[str, Any],
        environment: Environment,
        started_at: str,
        description: str = "",
        command: str = "",
        notes: tuple[str, ...] = (),
        nodes: tuple[Node, ...] = (),
        clients: tuple[Client, ...] = (),
        selftest: Curve | None = None,
        system: System = UNTOLD,
    ) -> Self:
        """Everything that can be said about `data`. Pure: the same records, the same result.

        `notes` are further warnings, `clients` and `selftest` what there is to know of the
        instrument: all from outside the records.
        """
        measured_by = Instrument.of(data, environment.clock_resolution_s, clients, selftest)
        found = (
            checks(data, validity)
            + instrument.checks(data, measured_by, validity)
            + server.checks(data)
            + stationarity.checks(data)
        )
        verdict = judge(found)
        told = summarise(data, slos, system)
        sent_by = sender.senders(data, nodes)
        return cls(
            benchsuite_version=environment.benchsuite,
            name=name,
            description=description,
            verdict=verdict.verdict,
            reasons=verdict.reasons,
            warnings=(
                *verdict.warnings,
                *notes,
                *_unasked(data, slos),
                *_with_failures(told),
                *sender.notes(sent_by, validity.send_delay),
            ),
            checks=found,
            started_at=started_at,
            duration_s=float(np.fmax.reduce(data.finished_s, initial=0.0)),  # passes over NaN
            window_s=data.window_s,
            requests=Counts.of(data),
            errors=dict(sorted(Counter(filter(None, data.error_class)).items())),
            summaries=told,
            absent=absent(metrics_for(slos, system), data),
            system=system,
            gammas=_gammas(system),
            attainment=attainment(data, slos),
            scenario=scenario,
            environment=environment,
            instrument=measured_by,
            nodes=sent_by,
            command=command,
            partial=data.partial,
        )

    def save(self, folder: Path) -> Path:
        """Write `result.json`, all or nothing; returns its path. NaN and infinity become null."""
        path = folder / FILE_NAME
        draft = folder / f".{FILE_NAME}.tmp"
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n")
        os.replace(draft, path)
        return path

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read it back. Raises RunError if it is missing, broken, or of another major schema."""
        path = folder / FILE_NAME if folder.is_dir() else folder
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise RunError(
                f"{path}: cannot be read ({error.strerror}); is this a run folder?"
            ) from error
        try:
            _refuse_other_schemas(path, raw)
            return msgspec.json.decode(raw, type=cls)
        except msgspec.DecodeError as error:
            raise RunError(f"{path}: not a result of benchsuite: {error}") from error


def _gammas(system: System) -> dict[str, Gamma]:
    if system.model is None or system.accelerator is None:
        return {}
    return gammas(system.model, system.accelerator)


def _unasked(data: RunData, slos: Slos) -> tuple[str, ...]:
    """A class that no request is of may be a misspelt one, whose limits nobody would miss."""
    missing = sorted(set(slos) - {DEFAULT_CLASS, *data.slo_class}) if len(data) else []
    return tuple(
        f"slo: no request is of the class {name!r}; its limits say nothing" for name in missing
    )


def _with_failures(told: dict[str, Summary]) -> tuple[str, ...]:
    """The quantiles of ttft that failures would move, beside those of whoever got an answer."""
    ttft = told["ttft"]
    moved = [
        f"{name} {_shown(adjusted)} (not {_shown(getattr(ttft, name))})"
        for name, adjusted in ttft.with_failures.items()
        if name in ("p50", "p90", "p99") and adjusted != getattr(ttft, name)
    ]
    fact = "with the requests that did not end well as infinitely late, ttft is"
    return (f"{fact} {', '.join(moved)}",) if moved else ()


def _shown(value_s: float | None) -> str:
    return "∞" if value_s is None else f"{value_s * 1e3:.0f} ms"


class _Version(Struct):
    schema_version: str


def _refuse_other_schemas(path: Path, raw: bytes) -> None:
    found = msgspec.json.decode(raw, type=_Version).schema_version
    if found.split(".")[0] != SCHEMA_VERSION.split(".")[0]:
        raise RunError(
            f"{path}: schema {found}, but this benchsuite reads {SCHEMA_VERSION.split('.')[0]}.x; "
            "read it with the version that wrote it, or run `benchsuite report` on the folder"
        )
