"""report.html of a sweep or a search: what was found, and every run beside the others."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchsuite.report import html
from benchsuite.report.sections import bare, unit
from benchsuite.results.result import RunResult
from benchsuite.sweep.charts import Run, number_of, sweep_charts
from benchsuite.sweep.goodput import Found
from benchsuite.sweep.grid import Sweep
from benchsuite.sweep.knee import knee
from benchsuite.sweep.plan import Point

FILE_NAME: Final = "report.html"
EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh")
STARTS_ANEW: Final = frozenset({"in_process", "reference_engine"})
_COLUMNS: Final = (
    ("ttft", "p50"),
    ("ttft", "p99"),
    ("tpot", "p50"),
    ("tpot", "p99"),
    ("output_token_rate", "mean"),
    ("attainment", "mean"),
    ("good_rate", "mean"),
    ("accuracy", "mean"),
    ("joules_per_output_token", "mean"),
    ("usd_per_million_output_tokens", "mean"),
)


def write_sweep(found: Sweep, folder: Path) -> None:
    """The page of a grid, beside its table."""
    order = sorted(found.entries, key=lambda one: (_in_order(one.point), one.point.repeat))
    runs = [
        Run(entry.title, entry.point.overrides, RunResult.load(folder / entry.folder))
        for entry in order
        if entry.verdict is not None
    ]
    invalid = [run.title for run in runs if run.result.verdict != "valid"]
    said = f"{len(runs)} runs of {found.scenario}. {order_and_caches(runs)}"
    word = "✓ Every run is valid" if not invalid else f"! {len(invalid)} runs are invalid"
    drop = "Charts leave them out: they do not describe the server: " + ", ".join(invalid)
    reasons = (said,) if not invalid else (said, drop)
    _write(folder, found.scenario, word, reasons, runs, not invalid, found.settings, None)


def order_and_caches(runs: Sequence[Run]) -> str:
    """How far the order of running, and what earlier runs left in a cache, can favour a point."""
    said = "Each repeat took all points in a shuffled order of its own, so that a server that "
    said += "warms up or ages favours none. "
    scenarios = [run.result.scenario for run in runs]
    endpoints = {str(one.get("endpoint", {}).get("type")) for one in scenarios}
    if endpoints <= STARTS_ANEW:
        return said + "The engine was started anew for every run, with empty caches."
    salts = [str(one["salt"]) for one in scenarios if one.get("salt") is not None]
    if len(set(salts)) == len(scenarios):
        return said + (
            "Made-up texts were other ones in every run: none found those of another in a prefix "
            "cache. Texts of data sets are the same in all."
        )
    return said + (
        "The server ran on and runs share texts (cache: warm, or a salt of the scenario's): what "
        "is cached depends on the order, and so may differences between points."
    )


def _in_order(point: Point) -> tuple[tuple[float, str], ...]:
    """Numbers by their size, efforts by what they ask, other words by the alphabet."""
    values = point.overrides.values()
    return tuple((_size(value), value) for value in values)


def _size(value: str) -> float:
    size = number_of(value)
    if size is not None:
        return size
    return float(EFFORTS.index(value)) if value in EFFORTS else float("inf")


def write_goodput(found: Found, sentence: str, folder: Path) -> None:
    """The page of a search: the rate with its interval, the knee, and every run."""
    runs = [
        Run(name.rpartition("/")[2], {found.key: repr(reading.rate)}, RunResult.load(folder / name))
        for name, reading in zip(found.runs, found.readings, strict=True)
    ]
    _write(
        folder, found.scenario, sentence, (), runs, found.goodput.rate is not None,
        found.settings, found,
    )  # fmt: skip


def _write(
    folder: Path,
    scenario: str,
    word: str,
    reasons: Sequence[str],
    runs: Sequence[Run],
    is_good: bool,
    settings: Sequence[str],
    search: Found | None,
) -> None:
    at_knee = knee(search) if search is not None else None
    drawn = sweep_charts(runs)
    if at_knee is not None:  # it says what that of the attainment says, and more
        drawn = (at_knee, *(chart for chart in drawn if chart.key != "sweep-attainment"))
    head, rows = table(runs)
    page = html.page(
        "sweep.html.jinja",
        drawn,
        package="benchsuite.sweep",
        name=Path(scenario).stem,
        kind="goodput search" if search is not None else "sweep",
        word=word,
        look="valid" if is_good else "invalid",
        reasons=reasons,
        head=head,
        rows=rows,
        settings=settings,
        command=runs[0].result.command if runs else "",
        versions=sorted({run.result.benchsuite_version for run in runs}),
    )
    (folder / FILE_NAME).write_text(page, encoding="utf-8")


def table(runs: Sequence[Run]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Heads and rows: a run each, and of the usual metrics those that any of them has."""
    columns = [
        (metric, column, summary)
        for metric, column in _COLUMNS
        for summary in [_first(runs, metric)]
        if summary is not None
    ]
    head = [
        f"{metric} {column} {unit(of)}".replace(" mean", "").strip()
        for metric, column, of in columns
    ]
    rows = []
    for run in runs:
        cells = []
        for metric, column, of in columns:
            summary = run.result.summaries.get(metric)
            value = getattr(summary, column) if summary is not None else None
            cells.append("–" if value is None else bare(value, of))
        mark = "✓" if run.result.verdict == "valid" else "✗"
        verdict = f"{mark}\u00a0{run.result.verdict}"  # on one line
        rows.append((run.title, verdict, *cells))
    return ("run", "verdict", *head), tuple(rows)


def _first(runs: Sequence[Run], metric: str) -> str | None:
    """The unit of a metric that some run has a value of."""
    found = (run.result.summaries.get(metric) for run in runs)
    return next((each.unit for each in found if each is not None and each.n), None)
