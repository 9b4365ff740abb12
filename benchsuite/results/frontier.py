"""Frontier: which of several runs are worth having, by accuracy and by requests per second.

Tokens per second and milliseconds per token do not survive a change in how much a model has to say.
Requests per second do, if answers end where the model wants (Puzzle, arXiv:2602.11937): throughput
over tokens per answer. Runs of one model at several efforts make a curve; curves are compared at
equal accuracy and at equal speed, between points and never beyond them. Intervals are a bootstrap
over prompts, the same draws for every run.

Throughput may also come from a run of demanded lengths, as papers give it: over the tokens of a
natural answer it is a request rate again, which the natural run's own stands beside, since
answers of mixed lengths make other batches.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from msgspec import Struct

from benchsuite.errors import RunError
from benchsuite.metrics.answers import counted_grades
from benchsuite.metrics.base import Interval
from benchsuite.metrics.statistics import MIN_SESSIONS, percentile_interval, resampled
from benchsuite.metrics.throughput import output_token_rate, request_rate
from benchsuite.records.table import BoolArray, FloatArray, IntArray, RunData

_NOT_NATURAL: Final = "answers had to be of a demanded length; a frontier is of natural ends"
_NOT_FIXED: Final = "answers ended where the model wanted; a throughput is of demanded lengths"


class Measured(NamedTuple):
    """What a run has to say."""

    name: str
    group: str  # runs of one group are one curve
    request_rate: float  # per second; of answers, where requests asked for several
    prompt: IntArray  # [k]; the same number is the same question in every run
    is_right: BoolArray  # [k]
    tokens: IntArray | FloatArray  # [k]; of the answer; its share, where several came at once


class OfThroughput(Struct, frozen=True, kw_only=True):
    """A run's tokens per answer at the throughput that its model has at demanded lengths."""

    token_rate: float  # tokens per second
    request_rate: float  # token_rate / tokens per answer
    relative_rate: float | None  # to the baseline's; None where its model's throughput is not told
    relative_rate_ci: Interval | None
    natural: float  # times this rate that the natural run had


class Point(Struct, frozen=True, kw_only=True):
    """A run on the plane."""

    name: str
    group: str
    accuracy: float
    accuracy_ci: Interval | None
    request_rate: float
    relative_rate: float  # to the baseline's
    relative_rate_ci: Interval | None
    tokens_per_answer: float
    tokens_per_correct: float | None
    correct_rate: float  # right answers per second
    is_on_frontier: bool
    dominated_by: tuple[str, ...]  # as accurate and as fast, and better in one
    of_throughput: OfThroughput | None = None  # None: the throughput of its model was not told


class Gap(Struct, frozen=True, kw_only=True):
    """A curve against the baseline's, at one of the baseline's points."""

    group: str
    at: str  # the baseline's point
    faster: float | None  # times the requests per second at its accuracy
    faster_ci: Interval | None
    more_accurate: float | None  # share, at its requests per second
    more_accurate_ci: Interval | None


class Frontier(Struct, frozen=True, kw_only=True):
    """Several runs together."""

    baseline: str
    points: tuple[Point, ...]
    gaps: tuple[Gap, ...]


def measured(name: str, group: str, data: RunData) -> Measured:
    """Of the graded answers in the window. Raises RunError if there are none, or of forced ends."""
    grades = data.once(counted_grades)
    if not len(grades.request):
        raise RunError(f"{name}: no answer was graded")
    if data.must_reach_asked.any():
        raise RunError(f"{name}: {_NOT_NATURAL}")
    return Measured(
        name,
        group,
        float(request_rate(data)[0]) * len(grades.request) / len(np.unique(grades.request)),
        data.request_id[grades.request] if data.item_grades is None else grades.question,
        grades.is_right,
        data.output_tokens[grades.request] / data.num_items[grades.request],
    )


def throughput(name: str, data: RunData) -> float:
    """Output tokens per second of a run of demanded lengths; RunError where it is none."""
    if not data.must_reach_asked[data.ok].all() or not data.ok.any():
        raise RunError(f"{name}: {_NOT_FIXED}")
    return float(output_token_rate(data)[0])


def relative_request_rate(
    throughput: float, tokens: float, of_throughput: float, of_tokens: float
) -> float:
    """(Throughput / tokens per answer) over the same of the baseline. The two may come from a run
    of demanded lengths and one of natural ends; of a natural run it is the ratio of its requests
    per second."""
    return (throughput / tokens) / (of_throughput / of_tokens)


def frontier(
    runs: Sequence[Measured], baseline: str, throughputs: Mapping[str, float] | None = None
) -> Frontier:
    """All `runs` held against the one named `baseline`. `throughputs`: tokens per second of groups,
    of runs of demanded lengths."""
    base = next((run for run in runs if run.name == baseline), None)
    if base is None:
        known = ", ".join(run.name for run in runs)
        raise RunError(f"{baseline}: not among the runs ({known})")
    drawn, told = _drawn(runs), throughputs or {}
    if unknown := set(told) - {run.group for run in runs}:
        raise RunError(f"a throughput of {min(unknown)}, of which there is no graded run")
    accuracy = np.array([run.is_right.mean() for run in runs])
    rate = np.array([run.request_rate for run in runs])
    dominators = [_dominators(i, accuracy, rate) for i in range(len(runs))]
    relative = drawn.rate / drawn.rate[:, [runs.index(base)]]
    has_interval = len(np.unique(base.prompt)) >= MIN_SESSIONS
    points = tuple(
        Point(
            name=run.name,
            group=run.group,
            accuracy=float(accuracy[i]),
            accuracy_ci=percentile_interval(drawn.accuracy[:, i]) if has_interval else None,
            request_rate=run.request_rate,
            relative_rate=relative_request_rate(
                run.request_rate * float(run.tokens.mean()),
                float(run.tokens.mean()),
                base.request_rate,
                1.0,
            ),
            relative_rate_ci=percentile_interval(relative[:, i]) if has_interval else None,
            tokens_per_answer=float(run.tokens.mean()),
            tokens_per_correct=float(run.tokens.sum() / run.is_right.sum())
            if run.is_right.any()
            else None,
            correct_rate=run.request_rate * float(accuracy[i]),
            is_on_frontier=not dominators[i],
            dominated_by=tuple(runs[j].name for j in dominators[i]),
            of_throughput=_of_throughput(runs, i, runs.index(base), told, drawn, has_interval),
        )
        for i, run in enumerate(runs)
    )
    groups = dict.fromkeys(run.group for run in runs if run.group != base.group)
    gaps = tuple(
        _gap(runs, base.group, group, at, accuracy, rate, drawn if has_interval else None)
        for group in groups
        for at, run in enumerate(runs)
        if run.group == base.group
    )
    return Frontier(baseline=baseline, points=points, gaps=gaps)


def _of_throughput(
    runs: Sequence[Measured],
    i: int,
    base: int,
    told: Mapping[str, float],
    drawn: "_Drawn",
    has_interval: bool,
) -> OfThroughput | None:
    run, parent = runs[i], runs[base]
    token_rate, of_parent = told.get(run.group), told.get(parent.group)
    if token_rate is None:
        return None
    tokens, parent_tokens = float(run.tokens.mean()), float(parent.tokens.mean())
    relative, interval = None, None
    if of_parent is not None:
        relative = relative_request_rate(token_rate, tokens, of_parent, parent_tokens)
        per_answer = drawn.tokens
        relatives = token_rate / per_answer[:, i] / (of_parent / per_answer[:, base])
        interval = percentile_interval(relatives) if has_interval else None
    return OfThroughput(
        token_rate=token_rate,
        request_rate=token_rate / tokens,
        relative_rate=relative,
        relative_rate_ci=interval,
        natural=run.request_rate / (token_rate / tokens),
    )


class _Drawn(NamedTuple):
    accuracy: FloatArray  # [resamples, runs]
    rate: FloatArray  # [resamples, runs]
    tokens: FloatArray  # [resamples, runs]; per answer


def _drawn(runs: Sequence[Measured]) -> _Drawn:
    """Every run over the same draws of prompts. Throughput is held; tokens per answer are not."""
    prompts = np.unique(np.concatenate([run.prompt for run in runs]))
    columns = []
    for run in runs:
        index = np.searchsorted(prompts, run.prompt)
        for values in (np.ones(len(index)), run.is_right, run.tokens):
            columns.append(np.bincount(index, values, minlength=len(prompts)))
    totals = resampled(np.stack(columns, axis=1).astype(np.float64))
    num, right, tokens = totals[:, 0::3], totals[:, 1::3], totals[:, 2::3]
    with np.errstate(invalid="ignore", divide="ignore"):
        token_rate = np.array([run.request_rate * run.tokens.mean() for run in runs])
        return _Drawn(right / num, token_rate / (tokens / num), tokens / num)


def _dominators(i: int, accuracy: FloatArray, rate: FloatArray) -> list[int]:
    """Who is at least as good in both and better in one."""
    as_good = (accuracy >= accuracy[i]) & (rate >= rate[i])
    better = (accuracy > accuracy[i]) | (rate > rate[i])
    return np.flatnonzero(as_good & better).tolist()


def _gap(
    runs: Sequence[Measured],
    base: str,
    group: str,
    at: int,
    accuracy: FloatArray,
    rate: FloatArray,
    drawn: _Drawn | None,
) -> Gap:
    members = np.array([i for i, run in enumerate(runs) if run.group == group])
    faster, more = _differences(accuracy, rate, members, at)
    if drawn is None:
        intervals: list[Interval | None] = [None, None]
    else:
        pairs = np.array(
            [
                _differences(each_accuracy, each_rate, members, at)
                for each_accuracy, each_rate in zip(drawn.accuracy, drawn.rate, strict=True)
            ]
        )
        intervals = [
            None if np.isnan(one).mean() > 0.5 else percentile_interval(one) for one in pairs.T
        ]
    return Gap(
        group=group,
        at=runs[at].name,
        faster=None if np.isnan(faster) else faster,
        faster_ci=None if np.isnan(faster) else intervals[0],
        more_accurate=None if np.isnan(more) else more,
        more_accurate_ci=None if np.isnan(more) else intervals[1],
    )


def _differences(
    accuracy: FloatArray, rate: FloatArray, members: IntArray, at: int
) -> tuple[float, float]:
    """(times as fast at equal accuracy, more accurate at equal speed); NaN beyond the curve."""
    kept = members[
        [not _dominators(i, accuracy[members], rate[members]) for i in range(len(members))]
    ]
    order = kept[np.argsort(rate[kept])]  # faster and faster, less and less accurate
    fast, right = rate[order], accuracy[order]
    faster = np.interp(accuracy[at], right[::-1], fast[::-1], np.nan, np.nan) / rate[at]
    more = np.interp(rate[at], fast, right, np.nan, np.nan) - accuracy[at]
    return float(faster), float(more)
