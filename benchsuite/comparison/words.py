"""What a comparison says, in words and rows of text, for a terminal and a page alike. Pure."""

from collections.abc import Sequence
from typing import Final

from benchsuite.comparison.comparable import Difference
from benchsuite.comparison.compare import Against, Comparison, Row
from benchsuite.comparison.verdicts import Verdict, Word
from benchsuite.metrics.base import Interval
from benchsuite.report.sections import quantity

MARKS: Final[dict[Word, str]] = {
    "worse": "✗",
    "better": "✓",
    "equivalent": "=",
    "inconclusive": "?",
}
TITLES: Final[dict[Word, str]] = {
    "worse": "Worse",
    "better": "Better",
    "equivalent": "Equivalent",
    "inconclusive": "Inconclusive",
}
HEAD: Final = ("metric", "verdict", "change", "95 % interval", "baseline", "now", "runs")
GROUPS: Final = {
    "run": "runs",
    "load": "what was asked",
    "server": "what was measured",
    "machine": "where",
    "instrument": "with what",
}


def headline(one: Against) -> str:
    """The verdict on one side, in one line: `✗ Worse: ttft_p99 +23 %`."""
    names = [row.verdict for row in one.rows if row.is_declared and row.verdict.word == one.word]
    if one.word in ("better", "worse"):
        said = ", ".join(
            f"{each.metric} {change(each.effect, each)} (95 %: {interval(each.interval)})"
            for each in names
        )
        return f"{MARKS[one.word]} {TITLES[one.word]}: {said}"
    if one.word == "equivalent":
        bound = names[0].min_effect * 100 if names else 0.0
        return f"= Equivalent: every declared metric within ±{bound:g} %"
    if min(one.num_baseline, one.num_now) < 2:
        side = "a side" if one.num_baseline == one.num_now else "of a side"
        return f"? Inconclusive between runs: one run {side} does not tell how far runs differ"
    return f"? Inconclusive: {', '.join(each.metric for each in names)}"


def sentences(one: Against) -> tuple[str, ...]:
    """What stands below it: how many runs of which kind, and the other verdicts."""
    kind = "pairs of equal seeds" if one.is_paired else "not paired"
    if one.is_paired and one.num_now == 1:
        kind = "of equal seeds"
    found = [f"{_runs(one.num_baseline)} against {_runs(one.num_now)}, {kind}."]
    for word in MARKS:
        names = [r.verdict.metric for r in one.rows if r.is_declared and r.verdict.word == word]
        if names and word != one.word:
            found.append(f"{TITLES[word]}: {', '.join(names)}.")
    return (*found, *one.notes)


def _runs(num: int) -> str:
    return "1 run" if num == 1 else f"{num} runs"


def change(effect: float | None, one: Verdict) -> str:
    """`+23 %`; of a share in points: `+1.2 points`."""
    if effect is None:
        return "–"
    name = " points" if one.scale == "difference" else " %"
    return f"{signed(effect * 100)}{name}"


def signed(value: float) -> str:
    text = f"{value:+.1f}" if abs(value) < 9.95 else f"{value:+.0f}"
    return ("0" if float(text) == 0 else text).replace("-", "−")


def interval(found: Interval | None) -> str:
    if found is None:
        return "–"
    return f"{signed(found[0] * 100)} to {signed(found[1] * 100)}"


def cells(row: Row) -> tuple[str, ...]:
    """One row under HEAD."""
    one = row.verdict
    known = one.interval or row.within_runs
    mark = " (within runs)" if one.interval is None and row.within_runs is not None else ""
    return (
        one.metric,
        f"{MARKS[one.word]} {one.word}" if one.better != "neither" else "neither way is better",
        change(one.effect, one),
        f"{interval(known)}{mark}",
        "–" if one.baseline is None else quantity(one.baseline, one.unit),
        "–" if one.now is None else quantity(one.now, one.unit),
        _needed(row),
    )


def _needed(row: Row) -> str:
    """Of this many runs, and how many it would take."""
    one = row.verdict
    has = f"{one.num_baseline}+{one.num_now}"
    if one.word != "inconclusive":
        return has
    if one.runs_needed is None:
        return has if one.interval is None else f"{has}, needs more than can be told"
    least = "at least " if one.interval is None else ""
    return f"{has}, needs {least}{one.runs_needed} a side"


def difference_rows(found: Comparison) -> tuple[tuple[str, ...], ...]:
    """What differs, a side a column; the last column says whether it may."""
    return tuple(
        (one.key, GROUPS[one.group], *one.values, *([_why(one)] if found.is_forced else []))
        for one in found.differences
    )


def _why(one: Difference) -> str:
    return f"✗ {one.why_not}" if one.why_not else ""


def difference_head(found: Comparison) -> tuple[str, ...]:
    last = ["forbids a comparison"] if found.is_forced else []
    return ("what differs", "of", *labels(found), *last)


def labels(found: Comparison) -> tuple[str, ...]:
    """The sides, told apart by what is left of their names without what they share."""
    return short((found.baseline, *(one.name for one in found.against)))


def short(names: Sequence[str]) -> tuple[str, ...]:
    """Names without the folders that all of them lie in."""
    parts = [name.split("/") for name in names]
    shared = 0
    while all(len(one) > shared + 1 and one[shared] == parts[0][shared] for one in parts):
        shared += 1
    told = tuple("/".join(one[shared:]) for one in parts)
    return told if len(set(told)) == len(told) else tuple(names)
