"""A comparison as a page: the verdict, what differs, the numbers, where in the distributions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchsuite.comparison import words
from benchsuite.comparison.charts import charts
from benchsuite.comparison.compare import Against, Comparison
from benchsuite.comparison.sides import Run, Side
from benchsuite.report import html

LOOKS: Final = {
    "worse": "invalid",
    "better": "valid",
    "equivalent": "valid",
    "inconclusive": "open",
}


def write(found: Comparison, sides: Sequence[Side], path: Path) -> None:
    """One file that opens offline. Raises OSError where it cannot be written."""
    path.write_text(render(found, sides), encoding="utf-8")


def render(found: Comparison, sides: Sequence[Side]) -> str:
    """The same comparison gives the same page, letter by letter."""
    return html.page(
        "compare.html.jinja",
        charts(found, sides),
        package="benchsuite.comparison",
        found=found,
        labels=words.labels(found),
        looks=LOOKS,
        headline=words.headline,
        sentences=words.sentences,
        differences_head=words.difference_head(found),
        differences=words.difference_rows(found),
        head=words.HEAD,
        rows=_rows,
        runs=[_run(side, run) for side in sides for run in side.runs],
    )


def _rows(one: Against, is_declared: bool) -> list[tuple[str, ...]]:
    return [words.cells(row) for row in one.rows if row.is_declared is is_declared]


def _run(side: Side, run: Run) -> tuple[str, ...]:
    result = run.result
    counts = result.requests
    return (
        run.name,
        side.name,
        ("✓ " if result.verdict == "valid" else "✗ ") + result.verdict,
        "–" if run.seen.tool else str(result.scenario.get("seed", "–")),
        result.started_at.replace("T", " ")[:16],
        f"{counts.sent:,}",
        f"{counts.error + counts.timeout:,}",
    )
