"""report.html: one file that opens offline, says its verdict first, and runs nothing but its own.

Its content policy (CSP) allows no network and no script but the two whose hashes it lists: ours,
and plotly's, which travels compressed and is unpacked by ours when a chart comes into view.
Text from outside is made visible and escaped where the template writes it, in one place.
"""

import base64
import hashlib
from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from benchsuite.records.table import RunData
from benchsuite.report import costs, instrument_rows, sections
from benchsuite.report.charts import charts
from benchsuite.report.charts.base import Chart
from benchsuite.report.plotly_script import library
from benchsuite.report.quantities import visible
from benchsuite.results.result import RunResult


class Drawing(NamedTuple):
    """A chart and its figure as the page's script reads it."""

    chart: Chart
    json: Markup


def write(result: RunResult, data: RunData, path: Path) -> None:
    """Write the report of one run to `path`; all of it is in this one file."""
    path.write_text(render(result, data), encoding="utf-8")


def render(result: RunResult, data: RunData) -> str:
    """The page. The same run gives the same page, letter by letter."""
    return page(
        "run.html.jinja",
        charts(result, data),
        result=result,
        facts=sections.facts(result),
        metrics=sections.metrics(result),
        targets=sections.targets(result),
        classes_head=sections.CLASSES_HEAD,
        classes=sections.classes(result, data),
        costs_head=costs.HEAD,
        costs=costs.costs(result),
        has_costs=costs.has_any(result),
        instrument=instrument_rows.instrument(result),
        checks=sections.checks(result),
        slowest_head=sections.SLOWEST_HEAD,
        slowest=sections.slowest_requests(data),
        failures=sections.failures(data),
        scenario=sections.scenario_text(result),
        environment=sections.environment(result),
    )


def page(
    template: str, drawn: Iterable[Chart], *, package: str = "benchsuite.report", **words: object
) -> str:
    """A page of ours: style, script and charts, and the words that its template asks for.

    The template lies in `package` and extends `frame.html.jinja`; `parts.html.jinja` has macros
    for tables and charts. A page without charts carries no script, and may run none.
    """
    drawings = [_drawing(chart) for chart in drawn]
    script, plotly = _beside("page.js"), library() if drawings else None
    policy = content_policy(script.encode(), plotly.text) if plotly else content_policy()
    return (
        _templates(package)
        .get_template(template)
        .render(
            policy=Markup(policy),
            style=Markup(_beside("style.css")),
            script=Markup(script),
            library=plotly.packed if plotly else "",
            drawings=drawings,
            **words,
        )
    )


def content_policy(*scripts: bytes) -> str:
    """A Content-Security-Policy under which nothing is fetched and only `scripts` run.

    Styles may be inline because plotly writes some; with nowhere to fetch from they can reach
    nothing.
    """
    hashes = (base64.b64encode(hashlib.sha256(script).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _drawing(chart: Chart) -> Drawing:
    # Only "<" could end the script element that holds it, or open a comment there.
    return Drawing(chart, Markup(chart.figure.to_json().replace("<", "\\u003c")))


def _beside(name: str) -> str:
    return (resources.files("benchsuite.report") / name).read_text(encoding="utf-8")


@cache  # compiling the templates takes longer than filling them
def _templates(package: str) -> Environment:
    return Environment(
        loader=ChoiceLoader([PackageLoader(name, "") for name in (package, __package__)]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
    )


def _finalize(value: object) -> object:
    """Every value on its way into the page; jinja escapes what this gives back."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
