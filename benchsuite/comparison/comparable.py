"""What two runs must have in common to be compared, and what else they differ in. Pure.

The question must be the same: the load, its targets, the words it is counted in. Whatever may be
the reason for another answer (server, engine, machine, seed) may differ, and is listed.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Struct

from benchsuite.results.result import RunResult

Group = Literal["run", "load", "server", "machine", "instrument"]
MAX_SHOWN: Final = 60  # letters of a value
TOLERATED: Final = 0.05  # by which lengths may differ that nobody asked for
GUESSED: Final = frozenset({"concurrency", "delivered", "achieved_rate", "send_delay"})
"""Checks of what was asked."""
_ABSENT: Final = object()

# Of the scenario. Whatever is not here says nothing about what is measured.
GROUPS: Final[dict[str, Group]] = {
    "workload": "load",
    "arrivals": "load",
    "limits": "load",
    "slo": "load",
    "tokenizer": "load",
    "cache": "load",
    "seed": "load",
    "endpoint": "server",
    "deployment": "server",
    "validity": "instrument",
    "workers": "instrument",
    "telemetry": "instrument",
}
MUST_MATCH: Final = {
    "workload": "another workload asks for other work",
    "arrivals": "another load makes other queues",
    "limits": "another warm-up or length measures another part of the load",
    "slo": "attainment is told of other targets",
    "tokenizer": "lengths are counted in other tokens",
    "cache": "a cache that is warm answers sooner",
}


class Difference(Struct, frozen=True, kw_only=True):
    """Something that is not the same on all sides. Values are written as JSON, cut if they are
    long; a dash where a side has none."""

    group: Group
    key: str
    values: tuple[str, ...]  # one a side; of a side that is not of one mind, all of them
    why_not: str = ""  # why nothing can be compared so; "" if it can


class Seen(NamedTuple):
    """A run as far as it is asked whether it may be compared."""

    name: str
    result: RunResult

    @property
    def tool(self) -> str:
        """The tool that made it; "" where it was this one."""
        mark, name = "imported from ", self.result.name
        is_other = self.result.environment.python == "unknown" and name.startswith(mark)
        return name.removeprefix(mark) if is_other else ""

    @property
    def faults(self) -> tuple[str, ...]:
        """Why its numbers do not describe the server; () if they do. What load a peer's file was
        asked for is a guess, and cannot be held against it."""
        if not self.tool:
            return self.result.reasons
        failed = (one for one in self.result.checks if one.hard and not one.ok)
        return tuple(one.sentence for one in failed if one.name not in GUESSED)


Side = Sequence[Seen]


def differences(sides: Sequence[Side]) -> tuple[Difference, ...]:
    """Everything in which the sides differ, what forbids a comparison first."""
    runs = [run for side in sides for run in side]
    found = [*_of_runs(sides), *_versions(sides)]
    if any(run.tool for run in runs):
        found += [*_of_peers(sides), *_delivered(sides, "they asked for other work")]
    else:
        found += [*_of_scenarios(sides), *_delivered(sides, "")]
    found += [*_of_machines(sides)]
    return tuple(sorted(found, key=lambda one: not one.why_not))


def refusals(found: Sequence[Difference]) -> tuple[str, ...]:
    """Why these sides are not to be compared, a sentence each; none: they are."""
    return tuple(
        f"{one.key}: {one.why_not}"
        if one.group == "run"
        else f"{one.key} differs ({' against '.join(one.values)}): {one.why_not}"
        for one in found
        if one.why_not
    )


def _of_runs(sides: Sequence[Side]) -> Iterator[Difference]:
    """A run that says nothing of its server says nothing of another either."""
    for number, side in enumerate(sides):
        for run in side:
            reasons = "; ".join(run.faults) or run.result.partial
            if reasons is None:
                continue
            how = "invalid" if run.faults else "incomplete"
            values = tuple(how if at == number else "–" for at in range(len(sides)))
            yield Difference(group="run", key=run.name, values=values, why_not=f"{how}: {reasons}")


def _versions(sides: Sequence[Side]) -> Iterator[Difference]:
    """Of what worked the numbers out."""
    found = _collected(sides, lambda run: run.result.benchsuite_version)
    why = "metrics may be defined otherwise; `benchsuite report` works them out anew from records"
    yield from _difference("instrument", "benchsuite", found, why)


def _of_peers(sides: Sequence[Side]) -> Iterator[Difference]:
    """A peer's file says little of its load: what it does say is held together."""
    tools = _collected(sides, lambda run: run.tool or "benchsuite")
    yield from _difference("instrument", "measured by", tools, "")
    types = _collected(sides, lambda run: run.result.scenario["arrivals"])
    kinds = {one["type"] for side in types for one in side}
    if kinds == {"closed_loop"} or len(kinds) > 1:  # what was in flight, perhaps, or was asked
        yield from _difference("load", "arrivals", types, "")
    else:
        yield from _walk("load", "arrivals", types, MUST_MATCH["arrivals"])
    models = _collected(sides, lambda run: run.result.scenario["endpoint"].get("model"))
    yield from _difference("server", "endpoint.model", models, "")


def _delivered(sides: Sequence[Side], why_not: str) -> Iterator[Difference]:
    """Lengths as they came about."""
    for metric in ("prompt_tokens", "output_tokens"):
        means = []
        for side in sides:
            told = [run.result.summaries.get(metric) for run in side]
            known = [one.mean for one in told if one is not None and one.mean is not None]
            means.append(math.fsum(known) / len(known) if known else math.nan)
        if max(means) - min(means) > TOLERATED * max(means):  # never of what is not known
            yield Difference(
                group="load",
                key=f"{metric}, mean",
                values=tuple(f"{mean:.4g}" for mean in means),
                why_not=why_not,
            )


def _of_scenarios(sides: Sequence[Side]) -> Iterator[Difference]:
    for key, group in GROUPS.items():
        values = _collected(sides, lambda run, key=key: run.result.scenario.get(key, _ABSENT))
        if key == "seed":
            seeds = [sorted(map(str, side)) for side in values]
            if any(one != seeds[0] for one in seeds):
                said = tuple(_shown(", ".join(one)) for one in seeds)
                yield Difference(group=group, key=key, values=said)
        else:
            yield from _walk(group, key, values, MUST_MATCH.get(key, ""))
    for number, side in enumerate(sides):
        yield from _mixed(number, len(sides), side)


def _mixed(number: int, num_sides: int, side: Side) -> Iterator[Difference]:
    """Runs of one side are repeats of each other."""
    endpoints = [[run.result.scenario.get("endpoint")] for run in side]
    for one in _walk("server", "endpoint", endpoints, "runs of one side repeat one another"):
        at = ["–"] * num_sides
        at[number] = _shown(" | ".join(dict.fromkeys(one.values)))
        key = f"{one.key}, within a side"
        yield Difference(group="server", key=key, values=tuple(at), why_not=one.why_not)


def _of_machines(sides: Sequence[Side]) -> Iterator[Difference]:
    environments = _collected(sides, lambda run: _environment(run.result))
    yield from _walk("machine", "environment", environments, "")
    stamps = _collected(sides, lambda run: sorted(run.result.instrument.stamp_source))
    yield from _difference("instrument", "stamps", stamps, "")


def _environment(result: RunResult) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(result.environment)
    return found


Values = list[list[Any]]
"""Of each side, of each of its runs."""


def _collected(sides: Sequence[Side], of: Any) -> Values:
    return [[of(run) for run in side] for side in sides]


def _walk(group: Group, key: str, values: Values, why_not: str) -> Iterator[Difference]:
    """Down to the deepest keys that differ; choices of another type differ as a whole."""
    every = [one for side in values for one in side]
    are_maps = all(isinstance(one, dict) for one in every)
    if are_maps and len({one.get("type") for one in every}) == 1:
        for name in dict.fromkeys(name for one in every for name in one):
            inner = [[one.get(name, _ABSENT) for one in side] for side in values]
            yield from _walk(group, f"{key}.{name}", inner, why_not)
    else:
        yield from _difference(group, key, values, why_not)


def _difference(group: Group, key: str, values: Values, why_not: str) -> Iterator[Difference]:
    sides = [list(dict.fromkeys(map(_text, side))) for side in values]
    if len({text for side in sides for text in side}) > 1:
        shown = tuple(_shown(" | ".join(side)) for side in sides)
        yield Difference(group=group, key=key, values=shown, why_not=why_not)


def _text(value: Any) -> str:
    if value is _ABSENT or value is None:
        return "–"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _shown(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"
