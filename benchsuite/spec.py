"""What every section of a scenario is made of: frozen, unknown keys refused.

A choice in the YAML (an arrival process, a workload, an endpoint ...) is one `Spec` with a `tag`;
the union of such classes is its whole registry.
"""

import os
import re
from decimal import Decimal
from typing import Annotated, Final

from msgspec import Meta, Struct


class Spec(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every section of a scenario file. A choice adds `tag="its_name"`."""


_DURATION: Final = r"\s*(\d{1,12}(?:\.\d{1,12})?|\.\d{1,12})\s*(us|ms|s|m|h)\s*"

Seconds = Annotated[
    float,
    Meta(ge=0, extra={"unit": "s"}, extra_json_schema={"pattern": f"^{_DURATION}$"}),
]
"""A duration: a number of seconds, or text such as `500ms`, `2s`, `3m`, `1h`."""

LongerThan0 = Annotated[
    float,
    Meta(gt=0, extra={"unit": "s"}, extra_json_schema={"pattern": f"^{_DURATION}$"}),
]
"""A duration that is not zero."""

PerSecond = Annotated[float, Meta(gt=0)]
Positive = Annotated[float, Meta(gt=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=1)]
"""A whole number of at least one (tokens, requests, connections)."""

DataPath = Annotated[str, Meta(min_length=1, extra={"path": True})]
"""A file named in a scenario. `load` makes it absolute, relative to the scenario's own folder."""

NameOrPath = Annotated[str, Meta(min_length=1, extra={"path": "or name"})]
"""A name (of a preset, at a hub), or a path, which has a `/` or a `.` and exists."""

EnvText = Annotated[str, Meta(extra={"env": True})]
"""Text in which `${env:NAME}` stands for a variable. What is written to disk keeps that."""

_UNIT_S: Final = {
    unit: Decimal(text)
    for unit, text in {"us": "1e-6", "ms": "1e-3", "s": "1", "m": "60", "h": "3600"}.items()
}
_ENV: Final = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")


def seconds(text: str) -> float | None:
    """The duration `text` says (`500ms` -> 0.5), or None if it is not a duration."""
    match = re.fullmatch(_DURATION, text, re.ASCII)
    return float(Decimal(match[1]) * _UNIT_S[match[2]]) if match else None  # 35ms is 0.035


def resolve_env(text: str) -> str:
    """`text` with the value of each environment variable that it refers to.

    Called where the value is used, never when it is stored: what is written to disk keeps the
    reference. Raises KeyError(NAME) if a variable is not set.
    """
    return _ENV.sub(lambda match: os.environ[match[1]], text)


def has_broken_reference(text: str) -> bool:
    """Whether something in `text` looks like a reference to a variable, and is none."""
    return "${" in _ENV.sub("", text)
