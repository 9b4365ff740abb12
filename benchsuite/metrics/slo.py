"""Slo: what a class of requests is promised; its keys in a scenario, and its presets."""

import difflib
from collections.abc import Mapping
from typing import Any, Final

from msgspec import structs

from benchsuite.metrics.objectives import SHARES, At, Idle, Limit, Line, Objective, Pace
from benchsuite.metrics.slo_presets import PRESETS, SPLITWISE
from benchsuite.spec import Seconds, Share, Spec

DEFAULT_CLASS: Final = "default"

OBSERVED: Final = ("ttft", "ttfo", "tpot", "itl_p99", "e2e_latency", "normalised_latency")
OVER_PACE: Final = ("fluidity", "qoe", "idle_latency")
_LEAST: Final = frozenset({"fluidity", "qoe"})  # met at or above the limit


class Slo(Spec, frozen=True):
    """Limits for one class of requests; each is met by a value at or below it. Unset: no limit.

    A request that did not end well misses every limit. `tpot` and `itl_p99` do not exist for an
    answer of one token (or one arrival), so it cannot miss them; an answer without any token, or
    without a visible one, misses the others that it leaves undefined.

    A limit is a duration, or a sum that depends on the request: `{base: 150ms, per_image: 620ms}`.
    With `at: p99` a limit is kept if 99 % of all requests keep it, with `at: mean` if their mean
    does; a mean and `itl`, which is of tokens, say nothing of a single request and are in no
    attainment. `preset` sets what a paper or a rule sets; keys beside it override it.
    """

    ttft: Limit | None = None
    ttfo: Limit | None = None
    tpot: Limit | None = None
    itl_p99: Limit | None = None  # 99th percentile of the request's own token gaps
    e2e_latency: Limit | None = None
    normalised_latency: Limit | None = None
    itl: Seconds | None = None  # gaps of all requests' tokens together; takes an `at`
    fluidity: Share | None = None  # least share of token deadlines met, by `pace`
    qoe: Share | None = None  # least quality of experience, by `pace`
    idle_latency: Seconds | None = None  # the longest wait for a token, by `pace`
    pace: Pace | None = None  # when tokens are wanted; unset: `ttft` and `tpot`, if plain
    idle: Idle | None = None  # what the idle server takes; for `splitwise-9`
    at: At | None = None  # unset: `request`, each for itself
    target: Share | None = None  # least share of requests that meet the limits, to be good enough
    joint: bool | None = None  # the target is of requests that meet all limits (unset), or of each
    strict: bool | None = None  # a value at its limit misses it
    preset: str | None = None  # `benchsuite list slo_presets`

    def __post_init__(self) -> None:
        if self.preset is not None and self.preset not in PRESETS:
            close = difflib.get_close_matches(self.preset, PRESETS, 1)
            meant = f"did you mean {close[0]!r}?" if close else "see `benchsuite list slo_presets`"
            raise ValueError(f"unknown preset {self.preset!r} ({meant})")
        whole = self._merged()
        missing = [name for name in self._preset_needs() if whole.get(name) is None]
        if missing:
            raise ValueError(f"the preset {self.preset!r} needs `{'`, `'.join(missing)}` as well")
        if self.itl is not None and whole.get("at") not in SHARES:
            raise ValueError(
                "itl is of all tokens: say `at: p99`, or set `itl_p99` of each request"
            )
        over_pace = [name for name in OVER_PACE if whole.get(name) is not None]
        if over_pace and _pace(whole) is None:
            raise ValueError(f"{over_pace[0]} needs `pace`, or plain `ttft` and `tpot`")

    def _preset_needs(self) -> tuple[str, ...]:
        return PRESETS[self.preset].needs if self.preset else ()

    def _merged(self) -> dict[str, Any]:
        """Key -> value: its own where it is set, else the preset's."""
        own = {name: value for name, value in structs.asdict(self).items() if value is not None}
        return {**(PRESETS[self.preset].keys if self.preset else {}), **own}

    @property
    def objectives(self) -> dict[str, Objective]:
        """What is judged, by name; the preset's too."""
        whole = self._merged()
        at: At = whole.get("at", "request")
        found = [
            Objective(
                metric=name,
                limit=whole[name],
                at=at,
                is_least=name in _LEAST,
                is_strict=whole.get("strict", False),
            )
            for name in (*OBSERVED, "itl", *OVER_PACE)
            if name in whole
        ]
        named = {each.metric: each for each in found}
        return named | (_slowdowns(whole["idle"]) if self.preset == "splitwise-9" else {})

    @property
    def reader(self) -> Pace | None:
        """When tokens are wanted, if the class says so."""
        return _pace(self._merged())

    @property
    def wanted(self) -> float | None:
        """Least share of the requests, where one is stated."""
        return self._merged().get("target")

    @property
    def is_joint(self) -> bool:
        """Whether a request has to meet all limits at once."""
        return bool(self._merged().get("joint", True))


def _pace(whole: Mapping[str, Any]) -> Pace | None:
    """The pace that is given, or that of the limits."""
    first, gap = whole.get("ttft"), whole.get("tpot")
    if (given := whole.get("pace")) is not None:
        return given if isinstance(given, Pace) else None
    if isinstance(first, float | int) and isinstance(gap, float | int) and gap > 0:
        return Pace(float(first), float(gap))
    return None


def _slowdowns(idle: Idle) -> dict[str, Objective]:
    """Splitwise's nine limits, as multiples of what the idle server takes."""
    found = {}
    for metric, factors in SPLITWISE.items():
        base = getattr(idle, metric)
        for at, factor in factors.items():
            limit = base.times(factor) if isinstance(base, Line) else base * factor
            found[f"{metric}_{at}"] = Objective(metric=metric, limit=limit, at=at)  # type: ignore[arg-type]
    return found


Slos = Mapping[str, Slo]
"""SLO class -> limits. A class that is not named has those of `default`, if that is named."""


def slo_of(slos: Slos, name: str) -> Slo:
    """What holds for a class: its own, else the default's, else nothing."""
    return slos.get(name, slos.get(DEFAULT_CLASS, _NONE))


_NONE: Final = Slo()
