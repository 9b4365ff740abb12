"""Comparison: what is said of each side against the first. Pure, from runs that were read.

With one run a side nothing is better or worse: requests of one run shared its queue and its
machine's mood, and two runs of an unchanged server differ by more than requests tell. What the two
runs say of themselves stands there, and how many runs it would take at least.
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from benchsuite import __version__
from benchsuite.comparison.comparable import Difference
from benchsuite.comparison.effects import Effect, runs_needed
from benchsuite.comparison.shift import CONFIDENCE, Step, shift, within
from benchsuite.comparison.sides import Run, Side
from benchsuite.comparison.verdicts import Samples, Verdict, Word, verdicts
from benchsuite.errors import ScenarioError
from benchsuite.metrics.base import Interval, Summary
from benchsuite.metrics.statistics import Quantile

SCHEMA_VERSION: Final = "1.0"
MIN_EFFECT: Final = 0.05
FEW_PAIRS: Final = (
    "These are so few pairs that chance in one metric can hide from a paired test what happened to "
    "another: worse is decided as if they were no pairs, which errs on the side of caution."
)
Z: Final = 1.959963984540054
COLUMNS: Final = ("p50", "p75", "p90", "p95", "p99", "p999", "mean")
TAILS: Final = ("p99", "p95", "p90")
OTHERS: Final = (
    "ttft_p90", "tpot_p99", "itl_p50", "itl_p99", "e2e_latency_p50", "e2e_latency_p99",
    "longest_stall_p90", "request_rate", "output_token_rate", "attainment", "good_rate", "accuracy",
    "tokens_per_correct", "joules_per_output_token", "usd_per_million_output_tokens",
    "prefix_hit_share", "pte_cache_p50",
)  # fmt: skip
FROM_SENT: Final = {"ttft": "ttft_sent", "e2e_latency": "e2e_latency_sent"}
"""Peers do not know when a request was due: both sides then count from when it was sent."""
FROM_DUE: Final = frozenset({"attainment", "good_rate"})
DRAWN: Final = ("ttft", "tpot", "itl", "e2e_latency")
"""Metrics whose whole distributions are held together."""


class Quantity(NamedTuple):
    """`ttft_p99` is the column p99 of ttft; of a metric without quantiles its one value."""

    metric: str
    column: str

    @property
    def name(self) -> str:
        return self.metric if self.column == "mean" else f"{self.metric}_{self.column}"

    def of(self, run: Run) -> float | None:
        """With requests that failed as infinitely late: nobody gains by failing the slow ones."""
        summary = run.result.summaries.get(self.metric)
        if summary is None:
            return None
        value: float | None = getattr(summary, self.column)
        return summary.with_failures.get(self.column, value)

    def within(self, run: Run) -> Quantile:
        """With what the run alone leaves open."""
        told = run.distributions.get(self.metric)
        if told is not None and self.column in told.quantiles:
            return told.quantiles[self.column]
        summary = run.result.summaries.get(self.metric)
        return Quantile(self.of(run), getattr(summary, f"{self.column}_ci", None), None)


class Row(Struct, frozen=True, kw_only=True):
    """One number of both sides."""

    verdict: Verdict
    is_declared: bool  # of the family that the verdict rests on
    within_runs: Interval | None = None  # of one run a side: 95 %, of these two runs alone


class Against(Struct, frozen=True, kw_only=True):
    """One side against the first."""

    name: str
    word: Word
    num_baseline: int
    num_now: int
    is_paired: bool  # runs of equal seeds, side by side
    rows: tuple[Row, ...]
    shifts: dict[str, tuple[Step, ...]]  # by metric
    notes: tuple[str, ...] = ()


class Comparison(Struct, frozen=True, kw_only=True):
    """Everything that was found. The first side is the baseline."""

    schema_version: str = SCHEMA_VERSION
    benchsuite_version: str
    baseline: str
    min_effect: float
    is_forced: bool  # what differs forbids it, and it was asked for nonetheless
    differences: tuple[Difference, ...]
    word: Word  # of all sides together
    against: tuple[Against, ...]


def overall(words: Sequence[Word]) -> Word:
    """Worse if anything is; better if something is and nothing is worse; equivalent if all are."""
    for word in ("worse", "better"):
        if word in words:
            return word
    return "equivalent" if words and set(words) == {"equivalent"} else "inconclusive"


def quantity(name: str) -> Quantity:
    """Raises nothing: whether a run has it is asked of the runs."""
    metric, _, column = name.rpartition("_")
    return Quantity(metric, column) if metric and column in COLUMNS else Quantity(name, "mean")


def declared(runs: Sequence[Run], names: Sequence[str]) -> tuple[Quantity, ...]:
    """The family that decides: what was asked for; else ttft and tpot, their tail as far as every
    run has requests enough for, and the good rate, or tokens/s where no SLO says what is good."""
    if names:
        found = tuple(map(quantity, dict.fromkeys(names)))
        for one in found:
            if not any(one.metric in run.result.summaries for run in runs):
                raise ScenarioError(f"--metric {one.name}: no run has a metric {one.metric!r}")
        return found
    has_slo = any("good_rate" in run.result.summaries for run in runs)
    has_slo = has_slo and not _counts_from_sent(runs)
    ttft = _known("ttft", runs)
    tails = [Quantity(ttft, each) for each in TAILS]
    tail = next((q for q in tails if all(q.of(run) is not None for run in runs)), tails[0])
    rate = "good_rate" if has_slo else "output_token_rate"
    return Quantity(ttft, "p50"), tail, Quantity("tpot", "p50"), Quantity(rate, "mean")


def _known(metric: str, runs: Sequence[Run]) -> str:
    """The metric, or its twin that all of these runs can have."""
    return FROM_SENT.get(metric, metric) if _counts_from_sent(runs) else metric


def _counts_from_sent(runs: Sequence[Run]) -> bool:
    return any(run.seen.tool for run in runs)


def paired(baseline: Side, now: Side) -> tuple[tuple[Run, ...], tuple[Run, ...]] | None:
    """Runs of equal seeds side by side, if each side has each seed once: they were asked the same
    at the same times, and what that does to both cancels. None where they are no pairs."""
    if any(run.seen.tool for run in (*baseline.runs, *now.runs)):
        return None
    by_seed = [
        {run.result.scenario.get("seed"): run for run in side.runs} for side in (baseline, now)
    ]
    is_once = all(len(f) == len(s.runs) for f, s in zip(by_seed, (baseline, now), strict=True))
    if not is_once or set(by_seed[0]) != set(by_seed[1]):
        return None
    seeds = sorted(by_seed[0], key=str)
    return tuple(by_seed[0][seed] for seed in seeds), tuple(by_seed[1][seed] for seed in seeds)


def can_decide(num_pairs: int, num_metrics: int) -> bool:
    """Whether a paired test of so many metrics has assignments of signs enough: with its own, each
    metric has one under which all of its differences are above 0, and its sum may be the largest.
    Where these alone exceed the level, Welch's test of the same runs finds more (97 % of +10 % with
    5 pairs rather than 77 %, benchmarks/README.md) and errs on the side of caution: what pairs
    share makes its interval too wide, and never too narrow."""
    return 0.5**num_pairs * num_metrics <= 1 - CONFIDENCE


def compare(
    sides: Sequence[Side],
    found: Sequence[Difference],
    *,
    metrics: Sequence[str] = (),
    min_effect: float = MIN_EFFECT,
) -> Comparison:
    """Every side against the first. Whether they may be compared was asked before."""
    family = declared([run for side in sides for run in side.runs], metrics)
    against = tuple(_against(sides[0], side, family, min_effect) for side in sides[1:])
    return Comparison(
        benchsuite_version=__version__,
        baseline=sides[0].name,
        min_effect=min_effect,
        is_forced=any(one.why_not for one in found),
        differences=tuple(found),
        word=overall([one.word for one in against]),
        against=against,
    )


def _against(baseline: Side, now: Side, family: Sequence[Quantity], min_effect: float) -> Against:
    pairs = paired(baseline, now)
    a, b = pairs or (baseline.runs, now.runs)
    is_paired = pairs is not None
    others = [each for each in _others((*a, *b)) if each not in family]
    told = verdicts([_samples(q, a, b, is_paired, min_effect) for q in family])
    too_few = is_paired and not can_decide(len(a), len(family))
    if too_few:
        free = verdicts([_samples(q, a, b, False, min_effect) for q in family])
        told = tuple(
            w if w.word in ("worse", "better") else p for p, w in zip(told, free, strict=True)
        )
    rows = [_row(q, one, a, b, len(family), True) for q, one in zip(family, told, strict=True)]
    for q in others:
        (one,) = verdicts([_samples(q, a, b, is_paired, min_effect)])
        rows.append(_row(q, one, a, b, 1, False))
    return Against(
        name=now.name,
        word=overall([row.verdict.word for row in rows if row.is_declared]),
        num_baseline=len(a),
        num_now=len(b),
        is_paired=is_paired,
        rows=tuple(rows),
        shifts=_shifts(a, b, is_paired),
        notes=(*([FEW_PAIRS] if too_few and len(a) > 1 else []), *_notes(a, b)),
    )


def _others(runs: Sequence[Run]) -> list[Quantity]:
    """What else all runs tell; it decides nothing."""
    every = [Quantity(_known(one.metric, runs), one.column) for one in map(quantity, OTHERS)]
    left_out = FROM_DUE if _counts_from_sent(runs) else frozenset[str]()
    return [
        one
        for one in every
        if one.metric not in left_out and all(one.of(run) is not None for run in runs)
    ]


def _samples(
    one: Quantity, a: Sequence[Run], b: Sequence[Run], is_paired: bool, min_effect: float
) -> Samples:
    summary = _summary(one, (*a, *b))
    return Samples(
        metric=one.name,
        title=summary.title,
        unit=summary.unit,
        better=summary.better,
        baseline=tuple(map(one.of, a)),
        now=tuple(map(one.of, b)),
        is_paired=is_paired,
        scale="difference" if summary.unit == "share" else "ratio",
        min_effect=min_effect,
    )


def _summary(one: Quantity, runs: Sequence[Run]) -> Summary:
    found = (run.result.summaries.get(one.metric) for run in runs)
    unknown = Summary(metric=one.metric, title=one.metric, unit="", better="neither", n=0)
    return next((each for each in found if each is not None), unknown)


def _row(
    one: Quantity,
    verdict: Verdict,
    a: Sequence[Run],
    b: Sequence[Run],
    family: int,
    is_declared: bool,
) -> Row:
    if len(a) == len(b) == 1 and verdict.scale == "ratio":
        before, after = one.within(a[0]), one.within(b[0])
        if before.value and after.value and before.value > 0 and after.value > 0:
            told = within(before, after)
            effect = math.log(after.value / before.value)
            return Row(
                verdict=replace(
                    verdict,
                    effect=math.expm1(effect),
                    runs_needed=told and _at_least(told, effect, verdict, family),
                ),
                is_declared=is_declared,
                within_runs=told and (math.expm1(told[0]), math.expm1(told[1])),
            )
    return Row(verdict=verdict, is_declared=is_declared)


def _at_least(interval: Interval, effect: float, verdict: Verdict, family: int) -> int | None:
    """Runs a side if runs differed by no more than their requests say; they differ by more."""
    spread = (interval[1] - interval[0]) / (2 * Z)
    seen = Effect(
        estimate=effect,
        centre=effect,
        error=spread,
        degrees=1.0,
        least_p=0.5,
        spread=spread,
        p_exact=1.0 if verdict.is_paired else None,
    )
    size = max(abs(effect), math.log1p(verdict.min_effect))
    return runs_needed(seen, size, (1 - verdict.confidence) / family)


def _shifts(a: Sequence[Run], b: Sequence[Run], is_paired: bool) -> dict[str, tuple[Step, ...]]:
    found = {}
    for metric in (_known(name, (*a, *b)) for name in DRAWN):
        sides = [[r.distributions[metric] for r in s if metric in r.distributions] for s in (a, b)]
        if (len(sides[0]), len(sides[1])) == (len(a), len(b)):
            steps = shift(*sides, is_paired=is_paired)
            if steps:
                found[metric] = steps
    return found


def _notes(a: Sequence[Run], b: Sequence[Run]) -> list[str]:
    """What the reader has to know of these two sides."""
    found = []
    if len(a) != len(b) and min(len(a), len(b)) < 2:
        found.append(
            "One side has a single run. How far its runs differ is not known, so nothing here is "
            "better or worse; give it another run."
        )
    elif min(len(a), len(b)) < 2:
        found.append(
            "One run a side: intervals are of the requests within these runs. Two runs of an "
            "unchanged server differ by more, so nothing here is better or worse; the runs that it "
            "would take are a least number."
        )
    elif _is_apart(a, b):
        found.append(
            "Every run of one side was made before every run of the other: whatever changed in "
            "between (heat, neighbours, other load) counts as a difference. Runs in turns would "
            "tell it apart."
        )
    if _counts_from_sent((*a, *b)):
        found.append(
            "A peer's file does not say when a request was due: latencies count from when it was "
            "sent, on both sides."
        )
    if not all(run.distributions for run in (*a, *b)):
        found.append("A result without its records has no distributions to draw.")
    return found


def _is_apart(a: Sequence[Run], b: Sequence[Run]) -> bool:
    if any("virtual" in run.result.instrument.stamp_source for run in (*a, *b)):
        return False  # virtual time knows no weather
    times = [[run.result.started_at for run in side] for side in (a, b)]
    return max(times[0]) < min(times[1]) or max(times[1]) < min(times[0])
