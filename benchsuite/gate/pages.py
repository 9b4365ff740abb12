"""What a gate found, as Markdown for a pull request and as JUnit XML for every other CI.

Names come from scenarios and servers: each form escapes what it could mistake for its own.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final
from xml.etree import ElementTree as ET

from benchsuite.comparison.verdicts import Verdict
from benchsuite.gate.limits import Limit
from benchsuite.gate.outcome import Outcome, Report
from benchsuite.metrics.base import Interval
from benchsuite.report.quantities import milliseconds, number, percent, visible

MARKS: Final = {
    "pass": "✅", "fail": "❌", "error": "❌", "invalid": "⚠️", "inconclusive": "❔",
    "kept": "✅", "missed": "❌", "open": "❔",
    "better": "✅", "worse": "❌", "equivalent": "✅",
}  # fmt: skip
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]()#+!|~<>&@:])")


def inline(text: str) -> str:
    """Text as itself within a line or a cell of Markdown: no markup, no HTML, no mention."""
    return _MARKDOWN.sub(lambda found: f"&#{ord(found[1])};", flat(text))


def markdown(report: Report) -> str:
    """The step summary."""
    return "\n".join(_markdown(report)) + "\n"


def _markdown(report: Report) -> Iterator[str]:
    yield f"## {MARKS[report.verdict]} benchsuite: {report.verdict}"
    yield ""
    for outcome in report.outcomes:
        yield f"### {MARKS[outcome.verdict]} {inline(outcome.scenario)}: {outcome.verdict}"
        yield ""
        for reason in outcome.reasons:
            yield f"- {inline(reason)}"
        yield ""
        yield from _table(outcome)
        yield from _details(outcome)
    machine = report.environment
    yield (
        f"<sub>benchsuite {inline(report.benchsuite_version)} · {inline(machine.cpu_model)}, "
        f"{machine.cores} cores · {inline(machine.platform)} · exit code {report.exit_code}</sub>"
    )


def _table(outcome: Outcome) -> Iterator[str]:
    if not (outcome.limits or outcome.comparisons):
        return
    yield "| metric | baseline | now | change (interval) | limit | verdict |"
    yield "| :-- | --: | --: | --: | --: | :-- |"
    for limit in outcome.limits:
        yield (
            f"| {inline(limit.name)} | | {value(limit, limit.value)} {_within(limit)} | "
            f"| {value(limit, limit.limit)} | {MARKS[limit.standing]} {limit.standing} |"
        )
    for one in outcome.comparisons:
        needed = f", needs about {one.runs_needed} pairs" if one.runs_needed else ""
        yield (
            f"| {inline(one.metric)} | {value(one, one.baseline)} | {value(one, one.now)} | "
            f"{change(one)} | | {MARKS[one.word]} {one.word}{needed} |"
        )
    yield ""


def _details(outcome: Outcome) -> Iterator[str]:
    invalid = [run for run in outcome.runs if run.verdict != "valid"]
    yield "<details><summary>Runs</summary>"
    yield ""
    yield f"- {len(outcome.runs)} runs, {len(invalid)} invalid; pairs used: {outcome.pairs_used}"
    for run in invalid:
        yield f"- {inline(run.name)}: {inline('; '.join(run.reasons))}"
    if outcome.self_check is not None:
        check = outcome.self_check
        yield f"- A/A: {check.num_alarms} alarms in {check.num_relabelled} relabelled pair sets"
    for note in outcome.notes:
        yield f"- {inline(note)}"
    yield ""
    yield "</details>"
    yield ""


def value(of: "Limit | Verdict", x: float | None) -> str:
    if x is None:
        return "–"
    if of.unit == "s":
        return milliseconds(x)
    is_share = of.unit == "" and 0 <= x <= 1
    return percent(x) if is_share else f"{number(x)} {inline(of.unit)}".strip()


def _within(limit: Limit) -> str:
    if limit.interval is None:
        return ""
    low, high = limit.interval
    return f"({value(limit, low)} to {value(limit, high)})"


def change(one: Verdict) -> str:
    """`+12.1 % (+8.3 to +15.9 %)`; of shares in points."""
    if one.effect is None or one.interval is None:
        return "–"
    unit = "%" if one.scale == "ratio" else "points"
    low, high = _signed(one.interval)
    return f"{one.effect * 100:+.1f} {unit} ({low} to {high} {unit})"


def _signed(interval: Interval) -> tuple[str, str]:
    return f"{interval[0] * 100:+.1f}", f"{interval[1] * 100:+.1f}"


def sentence(one: "Limit | Verdict") -> str:
    """One line: what is wrong."""
    if isinstance(one, Limit):
        return (
            f"{one.name} is {value(one, one.value)} {_within(one)}, limit {value(one, one.limit)}"
        )
    held = f"p {one.p_adjusted:.2g}" if one.p_adjusted is not None else "no p"
    return (
        f"{one.metric} is {one.word}: {change(one)}, from {value(one, one.baseline)} to "
        f"{value(one, one.now)} over {one.num_now} runs ({held})"
    )


def junit(report: Report) -> bytes:
    """One suite a scenario, one case a limit or comparison, and one for the runs themselves."""
    root = ET.Element("testsuites", name="benchsuite")
    for outcome in report.outcomes:
        cases = list(_cases(outcome))
        suite = ET.SubElement(
            root,
            "testsuite",
            name=_xml(outcome.scenario),
            tests=str(len(cases)),
            failures=str(sum(kind == "failure" for _, kind, _ in cases)),
            errors=str(sum(kind == "error" for _, kind, _ in cases)),
            skipped=str(sum(kind == "skipped" for _, kind, _ in cases)),
        )
        for name, kind, said in cases:
            case = ET.SubElement(
                suite, "testcase", name=_xml(name), classname=_xml(outcome.scenario)
            )
            if kind is not None:
                ET.SubElement(case, kind, message=_xml(said))
    text = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'.encode()


def _cases(outcome: Outcome) -> Iterator[tuple[str, str | None, str]]:
    told = "; ".join(outcome.reasons)
    is_broken = outcome.verdict in ("invalid", "error") or outcome.partial is not None
    yield "runs", "error" if is_broken else None, told
    for limit in outcome.limits:
        yield limit.name, _kind(limit.standing), sentence(limit)
    for one in outcome.comparisons:
        yield one.metric, _kind(one.word), sentence(one)


def _kind(word: str) -> str | None:
    if word in ("missed", "worse"):
        return "failure"
    return "skipped" if word in ("open", "inconclusive") else None


def _xml(text: str) -> str:
    """XML 1.0 has no way to hold control characters."""
    return _NOT_XML.sub("�", text)


def lines(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """For a terminal or a log. None begins with two colons: GitHub's runner would obey it."""
    for outcome in outcomes:
        yield f"{MARKS[outcome.verdict]} {flat(outcome.scenario)}: {outcome.verdict}"
        yield from (f"  - {flat(reason)}" for reason in outcome.reasons)
        yield from (f"  {MARKS[one.standing]} {flat(sentence(one))}" for one in outcome.limits)
        for one in outcome.comparisons:
            needed = f"; needs about {one.runs_needed} pairs" if one.runs_needed else ""
            yield f"  {MARKS[one.word]} {flat(sentence(one))}{needed}"
        if outcome.self_check is not None:
            check = outcome.self_check
            yield (
                f"  A/A: {check.num_alarms} false alarms in {check.num_relabelled} relabelled "
                f"pair sets ({check.rate:.1%})"
            )
        yield from (f"  - {flat(note)}" for note in outcome.notes)


def flat(text: str) -> str:
    """On one line, with nothing invisible in it."""
    return " ".join(visible(text).split())
