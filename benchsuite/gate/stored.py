"""A baseline that is kept in a file: values of runs, and of what they were made.

Another day and another machine move latencies by more than most changes do. So a stored baseline
counts only where its fingerprint is that of now, and holds LEAST runs from which to see how far
runs differ; else nothing is compared and the reason is said.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from benchsuite.errors import ScenarioError
from benchsuite.gate.quantities import Quantity
from benchsuite.results.result import RunResult

LEAST: Final = 8
_NOT_ASKED: Final = ("name", "description", "seed", "salt", "endpoint", "capture")


class Stored(Struct, frozen=True, kw_only=True):
    """What a baseline file holds; a list's values are of the runs in their order."""

    schema_version: str = "1.0"
    scenario: str
    created_at: str  # UTC, ISO 8601
    fingerprint: dict[str, str]
    values: dict[str, tuple[float | None, ...]]  # quantity -> a run each

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.tmp")
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n")
        draft.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Stored":
        """Raises ScenarioError if it is missing or broken."""
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except OSError as error:
            raise ScenarioError(f"--baseline file:{path}: {error.strerror}") from error
        except msgspec.DecodeError as error:
            raise ScenarioError(f"--baseline file:{path}: no stored baseline: {error}") from error

    def refusals(self, now: Mapping[str, str]) -> tuple[str, ...]:
        """Why it cannot be held against runs of `now`; empty if it can."""
        before = self.fingerprint
        found = [
            f"not comparable: {key} was {before.get(key, '?')!r}, is {now.get(key, '?')!r}"
            for key in dict.fromkeys((*before, *now))
            if before.get(key) != now.get(key)
        ]
        num = max(map(len, self.values.values()), default=0)
        if num < LEAST:
            found.append(f"not comparable: the baseline holds {num} runs of at least {LEAST}")
        return tuple(found)


def store(
    scenario: str,
    family: Sequence[Quantity],
    results: Sequence[RunResult],
    fingerprint: dict[str, str],
    created_at: str,
) -> Stored:
    values = {one.name: tuple(one.value(run) for run in results) for one in family}
    return Stored(scenario=scenario, created_at=created_at, fingerprint=fingerprint, values=values)


def fingerprint(result: RunResult, told: Mapping[str, str]) -> dict[str, str]:
    """What must be the same for runs of two days to be compared. `told` is what only the user can
    know, such as the driver and the engine's version."""
    machine = result.environment
    return {
        "cpu": machine.cpu_model,
        "cores": str(machine.cores),
        "memory_gib": str(round((machine.memory_bytes or 0) / 2**30)),
        "platform": machine.platform,
        "benchsuite": result.benchsuite_version,
        "model": _model(result.scenario.get("endpoint", {})),
        "accelerators": json.dumps(msgspec.to_builtins(result.system), sort_keys=True),
        "scenario": _digest(
            {key: value for key, value in result.scenario.items() if key not in _NOT_ASKED}
        ),
        **told,
    }


def _model(endpoint: Mapping[str, Any]) -> str:
    """What answers: the name asked for, or the bundled engine's whole configuration."""
    if "engine" in endpoint:
        return f"{endpoint.get('type')} {_digest(endpoint['engine'])}"
    return f"{endpoint.get('type')} {endpoint.get('model', '')}"


def _digest(data: Any) -> str:
    text = json.dumps(data, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
