"""Outcome: what a gate says of one scenario, and the exit code of all; stored as `ci.json`."""

from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Struct

from benchsuite.comparison.verdicts import Verdict
from benchsuite.errors import ScenarioError
from benchsuite.gate.limits import Limit
from benchsuite.results.environment import Environment

FILE_NAME: Final = "ci.json"
PASS, INVALID, REGRESSION, SLO, INTERRUPTED = 0, 4, 98, 99, 130
CAUSES: Final = ("slo", "regression", "invalid", "inconclusive")
Word = Literal["pass", "fail", "error", "invalid", "inconclusive"]  # error: not carried out


class Made(Struct, frozen=True, kw_only=True):
    """One run, where it lies, and whether it counts."""

    name: str
    folder: str  # from the gate's own
    side: str
    pair: int
    seed: int
    verdict: str  # valid, or invalid: it does not count
    reasons: tuple[str, ...] = ()


class SelfCheck(Struct, frozen=True, kw_only=True):
    """A/A: nothing differs, so whatever is found is a false alarm.

    The rate is measured on the pairs at hand: how often their 2^pairs (or a sample of) relabelled
    versions, each as likely where nothing differs, are called worse in any metric.
    """

    num_relabelled: int
    num_alarms: int
    rate: float


class Outcome(Struct, frozen=True, kw_only=True):
    """One scenario."""

    scenario: str
    mode: str
    verdict: Word
    reasons: tuple[str, ...]
    limits: tuple[Limit, ...] = ()
    comparisons: tuple[Verdict, ...] = ()
    runs: tuple[Made, ...] = ()
    pairs_planned: int = 0
    pairs_used: int = 0
    spent: float | None = None  # the level at the last look, where it may stop early
    self_check: SelfCheck | None = None
    notes: tuple[str, ...] = ()
    figures: dict[str, float] = {}  # name -> median over the runs that count
    partial: str | None = None

    @property
    def regressions(self) -> tuple[str, ...]:
        return tuple(one.metric for one in self.comparisons if one.word == "worse")

    @property
    def missed(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.limits if one.standing == "missed")


class Report(Struct, frozen=True, kw_only=True):
    """All scenarios of one command."""

    schema_version: str = "1.0"
    benchsuite_version: str
    verdict: Word
    exit_code: int
    fail_on: tuple[str, ...]
    started_at: str
    command: str
    environment: Environment
    outcomes: tuple[Outcome, ...]


def causes(text: str) -> tuple[str, ...]:
    """`slo,regression,invalid`, or `never`."""
    names = tuple(filter(None, (name.strip() for name in text.split(","))))
    if names == ("never",):
        return ()
    for name in names:
        if name not in CAUSES:
            raise ScenarioError(f"--fail-on {name}: expected {', '.join(CAUSES)}, or never")
    return names


def judged(
    limits: Sequence[Limit],
    comparisons: Sequence[Verdict],
    invalid: Sequence[str],
    incomparable: Sequence[str] = (),
) -> tuple[Word, tuple[str, ...]]:
    """The word and why. `invalid`: why nothing can be said; `incomparable`: why less can be."""
    missed = [f"{one.name} misses its limit" for one in limits if one.standing == "missed"]
    worse = [f"{one.metric} is worse" for one in comparisons if one.word == "worse"]
    if missed or worse:
        return "fail", (*missed, *worse, *invalid, *incomparable)
    if invalid:
        return "invalid", tuple(invalid)
    unsettled = [f"{one.name} may be on either side" for one in limits if one.standing == "open"]
    unsettled += [f"{one.metric} is unsettled" for one in comparisons if one.word == "inconclusive"]
    if incomparable or unsettled:
        return "inconclusive", (*incomparable, *unsettled)
    return "pass", ()


def overall(outcomes: Sequence[Outcome]) -> Word:
    """The gravest of all."""
    order: tuple[Word, ...] = ("error", "fail", "invalid", "inconclusive", "pass")
    return next((word for word in order if any(one.verdict == word for one in outcomes)), "pass")


def exit_code(outcomes: Sequence[Outcome], fail_on: Sequence[str]) -> int:
    """A missed limit before a regression, both before runs that say nothing."""
    if any(one.partial == "interrupted" for one in outcomes):
        return INTERRUPTED
    if "slo" in fail_on and any(one.missed for one in outcomes):
        return SLO
    if "regression" in fail_on and any(one.regressions for one in outcomes):
        return REGRESSION
    words = {one.verdict for one in outcomes}
    if words & {"invalid", "inconclusive"} & set(fail_on):
        return INVALID
    return PASS
