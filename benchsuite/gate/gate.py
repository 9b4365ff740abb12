"""One scenario through the gate: runs are made and judged. Also the ten requests of smoke."""

import secrets
import statistics
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Final, Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from benchsuite.comparison.verdicts import Samples, Verdict, verdicts
from benchsuite.errors import ScenarioError
from benchsuite.gate import limits as absolute
from benchsuite.gate import stored
from benchsuite.gate.measuring import Measured, Measurement, Plan, Subject, reasons
from benchsuite.gate.order import Side, spendable
from benchsuite.gate.outcome import Outcome, SelfCheck, judged
from benchsuite.gate.quantities import (
    Quantity,
    declared,
    quantity,
    refuse_unknown,
    samples,
    stored_samples,
)
from benchsuite.results.facts import Facts
from benchsuite.results.result import RunResult
from benchsuite.scenario import Scenario, load
from benchsuite.streams import rng
from benchsuite.sweep.runs import Run

Mode = Literal["slo", "regression", "both", "smoke"]
SMOKE_REQUESTS: Final = 10
RELABELLED: Final = 128  # of an A/A check, at most
FIGURES: Final = ("ttft_p50", "ttft_p99", "tpot_p50", "tpot_p99", "goodput", "attainment")


class Asked(Struct, frozen=True, kw_only=True):
    """What a gate is asked to decide, and how."""

    scenario: Path
    mode: Mode
    settings: tuple[str, ...] = ()  # of both sides
    baseline_settings: tuple[str, ...] = ()  # of the baseline, over those
    command: str | None = None
    baseline_command: str | None = None
    ready_url: str | None = None
    baseline_ready_url: str | None = None
    ready_within_s: float = 300.0
    stored: Path | None = None  # the baseline, of another day
    save_baseline: Path | None = None
    told: Mapping[str, str] = {}  # more of the fingerprint
    repeats: int = 7
    warmup_runs: int = 1
    is_restarted: bool = False
    is_sequential: bool = False
    is_self_check: bool = False
    metrics: tuple[str, ...] = ()
    min_effects: Mapping[str, float]  # by name; the one for all others under ""
    limits: tuple[str, ...] = ()
    target: float | None = None
    confidence: float = 0.95

    @property
    def is_compared(self) -> bool:
        return self.mode in ("regression", "both")

    @property
    def has_two_sides(self) -> bool:
        return self.is_compared and self.stored is None


def gate(asked: Asked, folder: Path, *, run: Run, say: Callable[[str], None]) -> Outcome:
    """Measure and judge one scenario; `folder` keeps every run. Raises what a run raises."""
    if asked.mode == "smoke":
        return _smoke(asked, folder, run, say)
    now = load(asked.scenario, asked.settings)
    family = declared(asked.metrics, bool(now.slo))
    more = absolute.asked(asked.limits)
    refuse_unknown("--metric", family if asked.metrics else (), now.slo)
    refuse_unknown("--limit", [one for one, _ in more], now.slo)
    _refuse_nothing_to_judge(asked, now)
    subjects = _subjects(asked, now)
    before = None if asked.stored is None else stored.Stored.load(asked.stored)
    is_restarted = asked.is_restarted or _starts_anew(subjects)
    measurement = Measurement(
        subjects,
        _plan(asked, now).claim(folder),
        folder,
        run=run,
        say=say,
        is_restarted=is_restarted,
        ready_within_s=asked.ready_within_s,
        warmup_runs=0 if is_restarted else asked.warmup_runs,
    )
    judge = _Judge(asked, family, more, before)
    found = measurement.measure(asked.repeats, judge.is_settled)
    outcome = judge.outcome(found)
    if measurement.shares_server:
        said = "both sides ask one server: texts of a pair differ, lengths and times do not"
        outcome = replace(outcome, notes=(*outcome.notes, said))
    if asked.save_baseline is not None and found.partial is None and found.of("now"):
        _save_baseline(asked, family, found.of("now"), now.name)
    return outcome


def _refuse_nothing_to_judge(asked: Asked, now: Scenario) -> None:
    if asked.mode in ("slo", "both") and not (now.slo or asked.limits):
        raise ScenarioError(
            f"{asked.scenario}: mode {asked.mode} needs limits: an `slo` section, or --limit"
        )


def _subjects(asked: Asked, now: Scenario) -> dict[Side, Subject]:
    """What is measured. A baseline at the address of now, with no command of its own, is asked of
    the same server, and restarted as that one is."""
    of_now = Subject(scenario=now, command=asked.command, ready_url=asked.ready_url)
    if not asked.has_two_sides:
        return {"now": of_now}
    baseline = Subject(
        scenario=load(asked.scenario, (*asked.settings, *asked.baseline_settings)),
        command=asked.baseline_command,
        ready_url=asked.baseline_ready_url,
    )
    if baseline.command and not of_now.command and baseline.url() == of_now.url():
        raise ScenarioError(
            f"both sides are at {of_now.url()}, and --baseline-server-command alone would be asked "
            "as both: give --server-command, or --baseline-set endpoint.url=ANOTHER"
        )
    if asked.is_restarted and baseline.command is None and baseline.url() == of_now.url():
        baseline = replace(baseline, command=asked.command)
    return {"baseline": baseline, "now": of_now}


def _starts_anew(subjects: Mapping[Side, Subject]) -> bool:
    """Servers that have one address cannot be up together; the bundled engine is of its run."""
    urls = [one.url() for one in subjects.values()]
    commands = [one.command for one in subjects.values() if one.command is not None]
    return all(url is None for url in urls) or (len(commands) > 1 and len(set(urls)) < len(urls))


def _plan(asked: Asked, now: Scenario) -> Plan:
    sides: dict[str, tuple[str, ...]] = {"now": asked.settings}
    if asked.has_two_sides:
        sides["baseline"] = (*asked.settings, *asked.baseline_settings)
    commands = {"now": asked.command, "baseline": asked.baseline_command}
    return Plan(
        scenario=str(asked.scenario),
        settings=sides,
        commands={side: text for side, text in commands.items() if text is not None},
        seed=now.seed,
        salt=secrets.token_hex(4),
    )


def _save_baseline(
    asked: Asked, family: Sequence[Quantity], runs: Sequence[RunResult], name: str
) -> None:
    assert asked.save_baseline is not None
    stored.store(name, family, runs, stored.fingerprint(runs[0], asked.told), Facts.now()).save(
        asked.save_baseline
    )


class _Compared(NamedTuple):
    family: list[Samples]
    verdicts: tuple[Verdict, ...]


class _Judge:
    """What can be said of the runs so far. Reads results, makes none."""

    def __init__(
        self,
        asked: Asked,
        family: Sequence[Quantity],
        more: Sequence[tuple[Quantity, float]],
        before: "stored.Stored | None",
    ) -> None:
        self._asked, self._family, self._more, self._before = asked, family, more, before
        self._spent = 1 - asked.confidence

    def is_settled(self, found: Measured) -> bool:
        """After a pair, with early stopping: one metric is worse already, or none is open. What is
        spent depends on the number of pairs begun, whether they count or not."""
        asked = self._asked
        begun = 1 + max(one.pair for one in found.made)
        level = spendable(begun, asked.repeats, 1 - asked.confidence, asked.is_sequential)
        self._spent = level
        if not (asked.is_sequential and asked.has_two_sides and level):
            return False
        words = {one.word for one in self._compared(found).verdicts}
        return "worse" in words or (bool(words) and "inconclusive" not in words)

    def _compared(self, found: Measured) -> _Compared:
        now, baseline = found.of("now"), found.of("baseline")
        family = []
        for one in self._family:
            least = self._asked.min_effects.get(one.name, self._asked.min_effects[""])
            if self._before is None:
                made = samples(one, baseline, now, least)
            else:
                made = stored_samples(one, self._before.values.get(one.name, ()), now, least)
            if self._asked.metrics or any(x is not None for x in (*made.baseline, *made.now)):
                family.append(made)
        level = self._spent if self._asked.is_sequential else None
        return _Compared(family, verdicts(family, confidence=self._asked.confidence, alpha=level))

    def outcome(self, found: Measured) -> Outcome:
        asked, now = self._asked, found.of("now")
        compared = _Compared([], ())
        incomparable: tuple[str, ...] = ()
        held: tuple[absolute.Limit, ...] = ()
        notes: list[str] = []
        if asked.is_compared and now:
            if self._before is not None:
                incomparable = self._before.refusals(stored.fingerprint(now[0], asked.told))
            if not incomparable:
                compared = self._compared(found)
            kept = {one.metric for one in compared.family}
            notes += [
                f"{one.name}: no run has enough requests for it; left out of the family"
                for one in self._family
                if one.name not in kept and not incomparable
            ]
        if asked.mode in ("slo", "both"):
            held = absolute.limits(now, self._more, asked.target)
        word, why = judged(held, compared.verdicts, self._invalid(found, now), incomparable)
        if found.partial is not None and word == "pass":
            word, why = "inconclusive", ("it was interrupted",)
        return Outcome(
            scenario=load(asked.scenario, asked.settings).name,
            mode=asked.mode,
            verdict=word,
            reasons=why,
            limits=held,
            comparisons=compared.verdicts,
            runs=tuple(found.made),
            pairs_planned=asked.repeats,
            pairs_used=len(now),
            spent=self._spent if asked.is_sequential else None,
            self_check=self._self_check(compared.family) if asked.is_self_check else None,
            notes=tuple(notes),
            figures=figures(now),
            partial=found.partial,
        )

    def _invalid(self, found: Measured, now: Sequence[RunResult]) -> tuple[str, ...]:
        """Why it cannot be trusted: runs that were made twice and do not count. To leave their
        pairs out in silence would hide a server that fails."""
        lost = [one for one in found.invalid if one.name.endswith("-again")]
        if lost:
            pairs = len({one.pair for one in lost})
            return (f"{pairs} of {self._asked.repeats} pairs do not count", *reasons(lost))
        return () if now else ("nothing was measured to the end",)

    def _self_check(self, family: Sequence[Samples]) -> SelfCheck:
        """How often the pairs at hand, with the sides of each swapped by chance, raise an alarm."""
        num = max((len(one.now) for one in family), default=0)
        drawn = list(product((False, True), repeat=num)) if num <= 7 else _drawn(num)
        alarms = 0
        for swaps in drawn:
            swapped = [_swapped(one, swaps) for one in family]
            found = verdicts(swapped, confidence=self._asked.confidence)
            alarms += any(one.word == "worse" for one in found)
        return SelfCheck(
            num_relabelled=len(drawn), num_alarms=alarms, rate=alarms / max(1, len(drawn))
        )


def _drawn(num: int) -> list[tuple[bool, ...]]:
    draws = rng(0, "self_check", num).integers(0, 2, (RELABELLED, num))
    return [tuple(bool(x) for x in row) for row in draws]


def _swapped(one: Samples, swaps: Sequence[bool]) -> Samples:
    pairs = [
        (b, a) if swap else (a, b) for a, b, swap in zip(one.baseline, one.now, swaps, strict=True)
    ]
    return replace(one, baseline=tuple(a for a, _ in pairs), now=tuple(b for _, b in pairs))


def figures(runs: Sequence[RunResult]) -> dict[str, float]:
    """Medians over runs of what a gate's outputs name; what no run has is left out."""
    found = {}
    for one in (*map(quantity, FIGURES), Quantity("pte", "pte_paper", "mean")):
        values = [x for run in runs if (x := one.value(run)) is not None]
        if values:
            found[one.name] = statistics.median(values)
    return found


def _smoke(asked: Asked, folder: Path, run: Run, say: Callable[[str], None]) -> Outcome:
    """The scenario is read, then ten of its requests are sent; all must end well. Whether enough
    was sent to trust a latency is not asked."""
    plain = load(asked.scenario, asked.settings)
    few = replace(plain.limits, requests=SMOKE_REQUESTS, duration=None, warmup=0.0)
    subject = Subject(
        scenario=replace(plain, limits=few), command=asked.command, ready_url=asked.ready_url
    )
    measurement = Measurement(
        {"now": subject},
        _plan(asked, plain).claim(folder),
        folder,
        run=run,
        say=say,
        is_restarted=False,
        ready_within_s=asked.ready_within_s,
        warmup_runs=0,
    )
    found, result = measurement.once()
    told = () if result is None else _not_well(result)
    return Outcome(
        scenario=plain.name,
        mode="smoke",
        verdict="invalid" if told or result is None else "pass",
        reasons=told if result is not None else ("no request was recorded",),
        runs=tuple(found.made),
        partial=found.partial,
    )


def _not_well(result: RunResult) -> tuple[str, ...]:
    counts = result.requests
    if counts.ok == counts.planned:
        return ()
    by_class = ", ".join(f"{number} {name}" for name, number in result.errors.items())
    return (f"{counts.ok} of {counts.planned} requests ended well ({by_class or 'not sent'})",)
