"""Scenario: one question as a YAML file, checked and frozen. Errors name file, line, column, key.

`load` finds everything that is wrong at once: unknown keys (with what would have been right),
values of the wrong kind, variables that are not set. Paths become absolute, relative to the file.
"""

from pathlib import Path
from typing import Any, Literal

import msgspec

from benchsuite.arrivals import Arrivals
from benchsuite.endpoints import Endpoint
from benchsuite.errors import ScenarioError
from benchsuite.metrics.slo import Slo
from benchsuite.metrics.validity import Validity
from benchsuite.scenario_file import SourceFile, check, read
from benchsuite.spec import Count, DataPath, Seconds, Spec
from benchsuite.workloads import Workload


class Limits(Spec, frozen=True):
    """What bounds a run. The measurement window leaves out the warm-up and the drain."""

    requests: Count | None = None  # over all sessions
    duration: Seconds | None = None  # no session is due (or, in a closed loop, begun) later
    warmup: Seconds = 0.0  # requests due earlier are sent, but not measured
    drain: Seconds = 60.0  # how long answers are waited for after the last request was issued


class Scenario(Spec, frozen=True, kw_only=True):
    """A question: what is asked of which server, when, for how long, and what counts as good."""

    name: str
    description: str = ""
    seed: int = 0  # of everything random
    endpoint: Endpoint
    workload: Workload
    arrivals: Arrivals
    limits: Limits = Limits()
    slo: dict[str, Slo] = {}  # by class; `default` is the class of requests that name none
    validity: Validity = Validity()  # when the run's numbers may not be used
    tokenizer: DataPath = "bundled"  # bundled, a tokenizer.json (or its folder), or a hub id
    capture: Literal["none", "text"] = "none"  # text: keep what the model wrote


def load(path: Path, overrides: tuple[str, ...] = ()) -> Scenario:
    """The scenario in a file, with `a.b=value` overrides. Raises ScenarioError."""
    source = read(path)
    for override in overrides:
        source.override(override)
    return _build(source)


def _build(source: SourceFile) -> Scenario:
    value = check(source, Scenario)
    try:
        return msgspec.convert(value, Scenario)
    except msgspec.ValidationError as error:
        raise ScenarioError(source.explain(error)) from None


def dump(scenario: Scenario) -> dict[str, Any]:
    """The resolved scenario as plain data: every default written out, secrets as references."""
    data: dict[str, Any] = msgspec.to_builtins(scenario)
    return data


def save(scenario: Scenario, path: Path) -> None:
    """Write it as YAML that `load` reads back to an equal scenario."""
    from benchsuite.scenario_file import write

    write(dump(scenario), path)


def json_schema() -> dict[str, Any]:
    """For editors: what a scenario file may hold."""
    return msgspec.json.schema(Scenario)
