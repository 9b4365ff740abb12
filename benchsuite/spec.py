"""What every section of a scenario is made of: frozen, keyword-only, unknown keys refused.

A choice in the YAML (an arrival process, a workload, an endpoint ...) is one `Spec` with a `tag`;
the union of such classes is its whole registry.
"""

import os
import re
from typing import Annotated, Final

from msgspec import Meta, Struct


class Spec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every section of a scenario file. A choice adds `tag="its_name"`."""


Seconds = Annotated[
    float,
    Meta(ge=0, extra={"unit": "s"}, extra_json_schema={"type": ["number", "string"]}),
]
"""A duration: a number of seconds, or text such as `500ms`, `2s`, `3m`, `1h`."""

PerSecond = Annotated[float, Meta(gt=0)]
Positive = Annotated[float, Meta(gt=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=1)]
"""A whole number of at least one (tokens, requests, connections)."""

DataPath = Annotated[str, Meta(min_length=1, extra={"path": True})]
"""A file named in a scenario. `load` makes it absolute, relative to the scenario's own folder."""

_DURATION: Final = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*(us|ms|s|m|h)\s*")
_UNIT_S: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_ENV: Final = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")


def seconds(text: str) -> float | None:
    """The duration `text` says (`500ms` -> 0.5), or None if it is not a duration."""
    match = _DURATION.fullmatch(text)
    return float(match[1]) * _UNIT_S[match[2]] if match else None


def env_reference(text: str) -> str | None:
    """NAME if `text` is exactly `${env:NAME}`, else None."""
    match = _ENV.fullmatch(text)
    return match[1] if match else None


def resolve_env(text: str) -> str:
    """`text`, or the value of the environment variable that it refers to.

    Called where the value is used, never when it is stored: what is written to disk keeps the
    reference. Raises KeyError(NAME) if the variable is not set.
    """
    name = env_reference(text)
    return text if name is None else os.environ[name]
