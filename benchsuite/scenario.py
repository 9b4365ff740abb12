"""Scenario: one question as a YAML file, checked and frozen. Errors name file, line, column, key.

`load` finds everything that is wrong at once: unknown keys (with what would have been right),
values of the wrong kind or out of range. Paths become absolute, relative to the file. What they
and `${env:NAME}` name is looked for only where it is used: a run folder can be read anywhere.
"""

from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from benchsuite.arrivals import Arrivals
from benchsuite.deployment import Deployment
from benchsuite.endpoints import Endpoint
from benchsuite.metrics.slo import Slo
from benchsuite.metrics.validity import Validity
from benchsuite.scenario_file import convert
from benchsuite.spec import Count, NameOrPath, Seconds, Spec
from benchsuite.workloads import Workload
from benchsuite.yaml_file import read, write


class Limits(Spec, frozen=True):
    """What bounds a run. The measurement window leaves out the warm-up and the drain."""

    requests: Count | None = None  # over all sessions
    duration: Seconds | None = None  # no session is due (or, in a closed loop, begun) later
    warmup: Seconds = 0.0  # requests due earlier are sent, but not measured
    drain: Seconds = 60.0  # how long answers are waited for after the last request was issued

    def __post_init__(self) -> None:
        if self.duration is not None and self.warmup >= self.duration:
            raise ValueError(
                f"the warm-up of {self.warmup:g} s leaves nothing of {self.duration:g} s to measure"
            )


class Telemetry(Spec, frozen=True):
    """What is read beside the requests while they run."""

    server: str = "auto"
    every: Seconds = 1.0  # between two readings
    energy: Literal["auto", "on", "off"] = "auto"  # of this machine; auto: if the server is on it

    def __post_init__(self) -> None:
        if self.server not in ("auto", "off") and not self.server.startswith(
            ("http://", "https://")
        ):
            raise ValueError(f"server: expected auto, off or http://..., got {self.server!r}")
        if not self.every:
            raise ValueError("every: expected more than 0")


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
    deployment: Deployment = Deployment()  # what stands behind the endpoint
    validity: Validity = Validity()  # when the run's numbers may not be used
    telemetry: Telemetry = Telemetry()  # what is read beside the requests
    tokenizer: NameOrPath = "bundled"  # bundled, a tokenizer.json (or its folder), or a hub id
    workers: Count | None = None  # processes that send; None: chosen from the load and the cores
    capture: Literal["none", "text"] = "none"  # text: keep what the model wrote
    cache: Literal["cold", "warm"] = "cold"  # cold: other made-up texts in each run (see `salt`)
    salt: str | None = None  # of made-up texts; unset: drawn for the run where the cache is cold


def load(path: Path, overrides: tuple[str, ...] = ()) -> Scenario:
    """The scenario in a file, with `a.b=value` overrides. Raises ScenarioError."""
    source = read(path)
    for override in overrides:
        source.override(override)
    return convert(source, Scenario)


def salted(scenario: Scenario, fresh: str) -> Scenario:
    """The scenario with `fresh` as its salt, if its texts have to be other than the last run's.

    A server that has been asked the same before would find the prompts in its prefix cache. On
    virtual time there is no server before the run, and a run is to be the same each time.
    """
    is_salted = scenario.salt is not None or scenario.cache == "warm"
    if is_salted or not scenario.endpoint.is_real_time:
        return scenario
    return replace(scenario, salt=fresh)


def dump(scenario: Scenario) -> dict[str, Any]:
    """The resolved scenario as plain data: every default written out, secrets as references."""
    data: dict[str, Any] = msgspec.to_builtins(scenario)
    return data


def save(scenario: Scenario, path: Path) -> None:
    """Write it as YAML that `load` reads back to an equal scenario."""
    write(dump(scenario), path)


def json_schema() -> dict[str, Any]:
    """For editors: what a scenario file may hold."""
    schema = "https://json-schema.org/draft/2020-12/schema"
    found = _text_too(msgspec.json.schema(Scenario))
    return {"$schema": schema, "title": "benchsuite scenario", **found}


def _text_too(node: Any) -> Any:
    """Numbers that have a pattern are durations, and may be text as well."""
    if isinstance(node, list):
        return [_text_too(one) for one in node]
    if not isinstance(node, dict):
        return node
    found = {key: _text_too(one) for key, one in node.items()}
    return found | {"type": ["number", "string"]} if _is_duration(found) else found


def _is_duration(node: dict[str, Any]) -> bool:
    return node.get("type") == "number" and "pattern" in node
