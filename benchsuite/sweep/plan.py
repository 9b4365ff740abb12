"""Which scenarios a sweep runs: a grid over fields, with exceptions, in an order that is shuffled.

A pure function of what was asked. Every run has an id made of its overrides and its repeat alone,
so that a sweep can be taken up again, and a longer one finds what a shorter one measured.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from msgspec import Struct

from benchsuite.errors import ScenarioError
from benchsuite.scenario_file import convert
from benchsuite.spec import Count, Spec
from benchsuite.streams import rng
from benchsuite.yaml_file import read

_SPACED: Final = re.compile(r"([\d.]+)\.\.([\d.]+):(\d+)")
_CHOSEN: Final = re.compile(r"\{\s*\"?type\"?:\s*\"?(\w+)\"?\s*\}")
Values = tuple[str, ...]
"""What one key is set to, one run after the other; each as YAML."""


class Matrix(Spec, frozen=True):
    """A sweep as a file: `vary` is a grid, `exclude` takes points out, `include` adds some."""

    vary: dict[str, list[Any]] = {}
    include: tuple[dict[str, Any], ...] = ()
    exclude: tuple[dict[str, Any], ...] = ()  # a point that has all of these values
    repeats: Count = 1


class Point(Struct, frozen=True):
    """One run of a sweep."""

    overrides: dict[str, str]  # key -> value, as YAML
    repeat: int  # from 0

    @property
    def id(self) -> str:
        """The same for the same overrides and repeat, whatever else the sweep holds."""
        text = json.dumps([sorted(self.overrides.items()), self.repeat])
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    @property
    def title(self) -> str:
        """For people: `rate=4 #2`."""
        said = [f"{key.rsplit('.', 1)[-1]}={said_of(v)}" for key, v in self.overrides.items()]
        return " ".join([*said, f"#{self.repeat + 1}"] if self.repeat else said) or "as it is"

    @property
    def settings(self) -> tuple[str, ...]:
        """As `--set` takes them."""
        return tuple(f"{key}={value}" for key, value in self.overrides.items())


def said_of(value: str) -> str:
    """A setting for people: what is chosen and nothing more is called by its type."""
    chosen = _CHOSEN.fullmatch(value)
    return chosen[1] if chosen else value


class Axis(NamedTuple):
    key: str
    values: Values


def axis(text: str) -> Axis:
    """`arrivals.rate=1,2,4`, or `arrivals.rate=1..32:6`: six rates, evenly spaced on a logarithmic
    scale. Ends without a point give whole numbers."""
    key, equals, values = text.partition("=")
    if not (key and equals and values):
        raise ScenarioError(f"--vary {text!r}: expected KEY=VALUE,VALUE or KEY=LOW..HIGH:COUNT")
    spaced = _SPACED.fullmatch(values)
    return Axis(key, _log_spaced(text, *spaced.groups()) if spaced else tuple(_split(values)))


def _log_spaced(text: str, low: str, high: str, count: str) -> Values:
    try:
        ends = float(low), float(high)
    except ValueError:
        raise ScenarioError(f"--vary {text!r}: {low!r} to {high!r} is no range") from None
    if not 0 < ends[0] < ends[1] or int(count) < 2:
        raise ScenarioError(f"--vary {text!r}: expected 0 < LOW < HIGH and at least 2 values")
    found = np.geomspace(*ends, int(count))
    if "." in low + high:
        return tuple(f"{value:.6g}" for value in found)
    return tuple(dict.fromkeys(str(round(value)) for value in found))


def _split(values: str) -> Iterator[str]:
    """At commas that stand outside of brackets and quotes."""
    depth, quote, start = 0, "", 0
    for at, letter in enumerate(values):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "[{":
            depth += 1
        elif letter in "]}":
            depth -= 1
        elif letter == "," and not depth:
            yield values[start:at].strip()
            start = at + 1
    yield values[start:].strip()


def matrix(path: Path) -> Matrix:
    """The sweep in a file; errors name file, line, column, key."""
    return convert(read(path), Matrix)


def axes(found: Matrix) -> list[Axis]:
    return [Axis(key, tuple(map(_yaml, values))) for key, values in found.vary.items()]


def points(
    varied: Sequence[Axis],
    *,
    include: Sequence[dict[str, Any]] = (),
    exclude: Sequence[dict[str, Any]] = (),
    repeats: int = 1,
    seed: int = 0,
    source: str = "--vary",
) -> tuple[Point, ...]:
    """Every run, in the order in which they are made: repeat after repeat, each shuffled anew, so
    that a server that warms up or ages favours no point. Raises ScenarioError, which names the
    `source`, for a key without values, an exclusion that can hit nothing, or if none is left."""
    _refuse_void(varied, exclude, source)
    doubled = [one.key for one in varied if [other.key for other in varied].count(one.key) > 1]
    if doubled:
        raise ScenarioError(f"{doubled[0]} is varied twice")
    grid = [
        dict(zip([one.key for one in varied], values, strict=True))
        for values in product(*(one.values for one in varied))
    ]
    taken_out = [{key: _yaml(value) for key, value in one.items()} for one in exclude]
    kept = [one for one in grid if not any(out.items() <= one.items() for out in taken_out)]
    kept += [{key: _yaml(value) for key, value in one.items()} for one in include]
    unique = list({json.dumps(sorted(one.items())): one for one in kept}.values())
    if not unique:
        raise ScenarioError("the sweep is empty: everything is excluded")
    return tuple(
        Point(unique[at], repeat)
        for repeat in range(repeats)
        for at in rng(seed, "sweep", repeat).permutation(len(unique)).tolist()
    )


def _refuse_void(varied: Sequence[Axis], exclude: Sequence[dict[str, Any]], source: str) -> None:
    for one in varied:
        if not one.values:
            raise ScenarioError(f"{source}: vary.{one.key}: expected at least one value")
    known = [one.key for one in varied]
    for at, excluded in enumerate(exclude):
        for key in excluded:
            if key not in known:
                raise ScenarioError(
                    f"{source}: exclude[{at}].{key}: expected a key that is varied "
                    f"({', '.join(known) or 'none is'})"
                )


def _yaml(value: Any) -> str:
    """JSON is YAML; plain words stay plain."""
    return value if isinstance(value, str) else json.dumps(value)
