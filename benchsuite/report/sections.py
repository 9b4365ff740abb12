"""What the report's tables say: rows of text from a result. Pure; knows no HTML and no terminal."""

import io
from typing import Final, NamedTuple

import numpy as np
from ruamel.yaml import YAML

from benchsuite.metrics.attainment import Target
from benchsuite.metrics.base import Interval, Summary
from benchsuite.metrics.latency import e2e_latency, tpot, ttft
from benchsuite.metrics.statistics import values_needed
from benchsuite.metrics.validity import Check
from benchsuite.records.table import RunData
from benchsuite.report.charts.base import slowest
from benchsuite.report.quantities import bounds, milliseconds, number, percent
from benchsuite.results.result import RunResult

HEADLINE: Final = ("ttft", "tpot", "itl", "e2e_latency", "pte_paper", "pte_cache")
WHOLE: Final = frozenset(
    {
        "request_rate", "output_token_rate", "total_token_rate", "accuracy", "correct_rate",
        "attainment", "good_rate", "worst_class_attainment", "smooth_goodput", "pte_per_correct",
        "joules_per_output_token", "usd_per_million_output_tokens",
    }
)  # fmt: skip
"""Numbers of the whole run that most people came for."""
QUANTILES: Final = ("p50", "p90", "p99")
MAX_MESSAGE: Final = 300


class Fact(NamedTuple):
    """One of the few large numbers under the verdict."""

    name: str
    value: str
    more: str


class Cell(NamedTuple):
    """A number, and what stands small below it."""

    value: str
    more: str = ""


class MetricRow(NamedTuple):
    title: str
    name: str
    target: str  # where all classes share one
    cells: tuple[Cell, ...]


class MetricTable(NamedTuple):
    caption: str
    head: tuple[str, ...]
    rows: tuple[MetricRow, ...]
    is_headline: bool


class TargetRow(NamedTuple):
    slo_class: str
    target: str
    limit: str
    met: str
    share: str
    interval: str
    shown: str  # requests that MLPerf's early stopping takes, and whether there were as many


class CheckRow(NamedTuple):
    name: str
    passed: str
    is_ok: bool
    value: str
    limit: str
    sentence: str


Rows = tuple[tuple[str, ...], ...]


def facts(result: RunResult) -> tuple[Fact, ...]:
    """Counts, window, and the numbers that most people came for."""
    counts, (start_s, end_s) = result.requests, result.window_s
    found = [
        Fact("Ended well", f"{counts.ok:,}", f"of {counts.sent:,} requests sent"),
        Fact(
            "Measured",
            f"{number(end_s - start_s)} s",
            f"{counts.in_window:,} requests, of {number(result.duration_s)} s in all",
        ),
    ]
    for name, quantile, title in (
        ("attainment", "mean", "Met every target"),
        ("ttft", "p50", "First token, median"),
        ("ttft", "p99", "First token, p99"),
        ("output_token_rate", "mean", "Output tokens/s"),
    ):
        summary = result.summaries.get(name)
        value = getattr(summary, quantile) if summary else None
        if summary is not None and value is not None:
            interval = getattr(summary, f"{quantile}_ci")
            more = f"95 %: {_bounds(interval, summary.unit)}" if interval else ""
            found.append(Fact(title, quantity(value, summary.unit), more))
    return tuple(found)


def metrics(result: RunResult) -> tuple[MetricTable, ...]:
    """Headline distributions, numbers of the whole run, and then all other distributions."""
    every = result.summaries.values()
    whole = tuple(s for s in every if _is_whole(s) and s.n and s.metric in WHOLE)
    parts = tuple(s for s in every if _is_whole(s) and s.n and s.metric not in WHOLE)
    head = tuple(s for s in every if s.metric in HEADLINE and not _is_whole(s))
    rest = tuple(s for s in every if s.metric not in HEADLINE and not _is_whole(s) and s.n)
    has_target = any(only_limit(result, summary.metric) is not None for summary in head)
    marks = " ✓ within the target, ✗ beyond it." if has_target else ""
    columns = ("metric", "unit", *QUANTILES, "mean", "n")
    tables = (
        MetricTable(
            f"Requests of the measured window; small below: 95 % intervals.{marks}",
            columns,
            tuple(_spread_row(summary, result) for summary in head),
            True,
        ),
        MetricTable(
            "The measured window as a whole; small below: 95 % intervals where there are any.",
            ("metric", "unit", "value"),
            tuple(_whole_row(summary) for summary in whole),
            True,
        ),
        MetricTable(
            "More of the window as a whole.",
            ("metric", "unit", "value"),
            tuple(_whole_row(summary) for summary in parts),
            False,
        ),
        MetricTable("More metrics", columns, tuple(_spread_row(s, result) for s in rest), False),
    )
    return tuple(table for table in tables if table.rows)


def _is_whole(summary: Summary) -> bool:
    """One number for the run: it has no quantiles, and none was refused."""
    return summary.p50 is None and not summary.refused


def _spread_row(summary: Summary, result: RunResult) -> MetricRow:
    limit = only_limit(result, summary.metric)
    cells = [_quantile_cell(summary, name, limit) for name in QUANTILES]
    return MetricRow(
        summary.title,
        summary.metric,
        f"≤ {milliseconds(limit)}" if limit is not None else "",
        (
            Cell(unit(summary.unit)),
            *cells,
            _cell(summary.mean, summary.mean_ci, summary.unit),
            Cell(f"{summary.n:,}"),
        ),
    )


def _whole_row(summary: Summary) -> MetricRow:
    value = _cell(summary.mean, summary.mean_ci, summary.unit)
    return MetricRow(summary.title, summary.metric, "", (Cell(unit(summary.unit)), value))


def _quantile_cell(summary: Summary, name: str, limit: float | None) -> Cell:
    value = getattr(summary, name)
    if value is None:
        return Cell("–", f"n < {summary.refused[name]:,}" if name in summary.refused else "")
    cell = _cell(value, getattr(summary, f"{name}_ci"), summary.unit)
    if limit is None:
        return cell
    return Cell(f"{'✓' if value <= limit else '✗'} {cell.value}", cell.more)


def only_limit(result: RunResult, metric: str) -> float | None:
    """The target set for a metric, if all classes that have one agree."""
    limits = {a.slos[metric].limit for a in result.attainment.values() if metric in a.slos}
    return limits.pop() if len(limits) == 1 else None


def _cell(value: float | None, interval: Interval | None, unit: str) -> Cell:
    if value is None:
        return Cell("–")
    return Cell(bare(value, unit), _bounds(interval, unit) if interval else "")


def _bounds(interval: Interval, unit: str) -> str:
    return f"{bare(interval[0], unit)} to {bare(interval[1], unit)}"


def bare(value: float, unit: str) -> str:
    """A value without its unit, as a column of that unit holds it; shares are per cent."""
    if unit == "share":
        return percent(value)
    return number(value * 1e3) if unit in ("s", "s/token") else number(value)


def unit(unit: str) -> str:
    """What stands in a column of units: people read milliseconds."""
    return {"s": "ms", "s/token": "ms/token", "share": ""}.get(unit, unit)


def quantity(value: float, of_unit: str) -> str:
    """A value with its unit, but for a rate whose title says it."""
    return milliseconds(value) if of_unit == "s" else bare(value, of_unit)


def gammas(result: RunResult) -> tuple[str, ...]:
    """What each kind of PTE was worked out with, a line each."""
    return tuple(
        f"PTE, {name}: gamma {found.value:.5f}, of {found.active_params / 1e9:.3g}B active "
        f"parameters and the {found.peak} peak ({found.flops_per_byte:,.1f} FLOP/byte)"
        for name, found in result.gammas.items()
    )


def targets(result: RunResult) -> tuple[TargetRow, ...]:
    """Each class's attainment, then each of its targets alone."""
    rows: list[TargetRow] = []
    for name, found in result.attainment.items():
        joint = _share(found.share, found.is_met if found.is_joint else None)
        wanted = f"≥ {percent(found.target)}" if found.target is not None else ""
        met = f"{found.met:,} of {found.num:,}"
        rows.append(TargetRow(name, "all together", wanted, met, joint, bounds(found.interval), ""))
        rows += [
            TargetRow(
                name,
                slo if target.at == "request" or slo.endswith(target.at) else f"{slo} {target.at}",
                target.in_words.removeprefix("≤ "),
                f"{target.met:,} of {target.num or found.num:,}",
                _share(target.share, target.is_met),
                bounds(target.interval),
                _shown(target),
            )
            for slo, target in found.slos.items()
        ]
    return tuple(rows)


def _shown(target: Target) -> str:
    """By MLPerf's early stopping: enough requests, or how many it takes."""
    if target.needed is None:
        return ""
    return f"{'✓' if target.is_shown else '✗'} {target.needed:,}"


def _share(share: float | None, is_met: bool | None) -> str:
    """Marked where it is held against a target."""
    mark = "" if is_met is None else "✓ " if is_met else "✗ "
    return "–" if share is None else mark + percent(share)


CLASSES_HEAD: Final = (
    "class", "requests", "ended well", "ttft p50", "ttft p99", "tpot p50", "tpot p99", "e2e p50",
    "e2e p99", "met all targets",
)  # fmt: skip


def classes(result: RunResult, data: RunData) -> Rows:
    """The columns of CLASSES_HEAD, milliseconds, where there are several classes of requests."""
    of_class = np.array(data.slo_class, dtype=str)
    names = sorted(set(data.slo_class))
    if len(names) < 2:
        return ()
    columns = (ttft(data), tpot(data), e2e_latency(data))
    rows = []
    for name in names:
        inside = data.in_window & (of_class == name)
        cells = []
        for values_s in columns:
            known_s = values_s[inside & data.ok & ~np.isnan(values_s)]
            cells += [
                _ms(np.quantile(known_s, p)) if len(known_s) >= values_needed(p) else "–"
                for p in (0.5, 0.99)
            ]
        found = result.attainment.get(name)
        share = "" if found is None or found.share is None else percent(found.share)
        num_ok = int(np.count_nonzero(inside & data.ok))
        rows.append((name, f"{int(inside.sum()):,}", f"{num_ok:,}", *cells, share))
    return tuple(rows)


def checks(result: RunResult) -> tuple[CheckRow, ...]:
    """Every check; those that failed first."""
    ordered = sorted(result.checks, key=lambda check: (check.ok, not check.hard))
    return tuple(_check_row(check) for check in ordered)


def _check_row(check: Check) -> CheckRow:
    failed = "✗ no" if check.hard else "! no (soft)"
    return CheckRow(
        check.name.replace("_", " "),
        "✓ yes" if check.ok else failed,
        check.ok,
        _measured(check.value, check.unit),
        _measured(check.limit, check.unit),
        check.sentence,
    )


def _measured(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    if unit == "s":
        return milliseconds(value)
    return percent(value) if unit == "share" else f"{number(value)} {unit}".rstrip()


SLOWEST_HEAD: Final = (
    "request", "class", "ended", "due at s", "sent after ms", "ttft ms", "tpot ms", "e2e ms",
    "prompt tokens", "output tokens",
)  # fmt: skip


def slowest_requests(data: RunData) -> Rows:
    """The columns of SLOWEST_HEAD, worst first."""
    first_s, pace_s, origin_s = ttft(data), tpot(data), data.origin_s
    return tuple(
        (
            str(int(data.request_id[i])),
            data.slo_class[i],
            data.error_class[i] or data.status[i],
            number(float(origin_s[i])),
            _ms(data.sent_s[i] - origin_s[i]),
            _ms(first_s[i]),
            _ms(pace_s[i]),
            _ms(data.finished_s[i] - origin_s[i]),
            f"{int(data.prompt_tokens[i]):,}",
            f"{int(data.output_tokens[i]):,}",
        )
        for i in slowest(data).tolist()
    )


def _ms(value_s: float | np.floating) -> str:
    return number(float(value_s) * 1e3)


def failures(data: RunData) -> Rows:
    """Error class, an example of its message, and how often; the most frequent first."""
    found: dict[str, list[int]] = {}
    for i in np.flatnonzero(~data.ok).tolist():
        found.setdefault(data.error_class[i] or data.status[i], []).append(i)
    rows = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    return tuple(
        (name, data.error[which[0]][:MAX_MESSAGE] or "–", f"{len(which):,}") for name, which in rows
    )


def scenario_text(result: RunResult) -> str:
    """The resolved scenario as YAML, in its own order."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    text = io.StringIO()
    yaml.dump(result.scenario, text)
    return text.getvalue()


def environment(result: RunResult) -> Rows:
    """The machine and the versions."""
    found, memory = result.environment, result.environment.memory_bytes
    return (
        ("benchsuite", found.benchsuite),
        ("git commit", found.git_commit or "none"),
        ("Python", found.python),
        ("platform", found.platform),
        ("processor", found.cpu_model),
        ("cores", f"{found.cores} for this process"),
        ("memory", "unknown" if memory is None else f"{memory / 2**30:.1f} GiB"),
        *sorted(found.libraries.items()),
    )
