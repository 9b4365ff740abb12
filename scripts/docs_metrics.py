"""Writes docs/metrics.md from the catalogue of metrics. A test asserts that the file is current."""

import inspect
import textwrap
from pathlib import Path
from typing import Final

from benchsuite.metrics import (
    METRICS,
    attainment,
    bound,
    energy,
    pte,
    smoothness,
    statistics,
    validity,
)
from benchsuite.metrics.accelerators import ACCELERATORS
from benchsuite.metrics.base import Metric
from benchsuite.metrics.cost import cost_metrics, use_metrics
from benchsuite.metrics.energy import energy_metrics
from benchsuite.metrics.model_shapes import MODELS
from benchsuite.metrics.objectives import Pace
from benchsuite.metrics.pte import pte_metrics
from benchsuite.metrics.slo import Slo
from benchsuite.metrics.slo_presets import PRESETS, Preset
from benchsuite.metrics.statistics import QUANTILES, values_needed
from benchsuite.metrics.system import UNTOLD
from benchsuite.metrics.throughput import request_rate
from benchsuite.metrics.token_costs import PAPER_PEAK, gamma_exact, gamma_paper

PATH: Final = Path(__file__).parents[1] / "docs" / "metrics.md"
_SHAPES: Final = {
    "request": "one value per request",
    "session": "one value per session",
    "token": "one value per output token",
    "chunk": "one value per chunk",
    "run": "one value per run",
}
_OVER: Final = {"ok": "requests that ended well", "sent": "all requests that were sent"}
_BETTER: Final = {"lower": "lower is better", "higher": "higher is better", "neither": "a fact"}

_INTRO: Final = """\
# Metrics

Written by `scripts/docs_metrics.py` from the catalogue in `benchsuite/metrics/`; change it there.
`benchsuite list metrics` prints the same catalogue.

All times are seconds on one monotonic clock. A request has four moments: **due** (when it should
be sent), **sent** (its first byte left), **first token** (the first generated token of any kind
arrived), **finished** (its response stream ended). In an open loop everything is due at a planned
time; a later turn of a session is due when the turn before it finished plus the gap; the first
turn of a session in a closed loop is never due, and there latency counts from sent.

## Which requests count

"""

_FAILED: Final = """
Latency is that of requests that ended well. A request that failed after its first token is not
among them, because a cut answer is no service and because the requests that survive an overload
are its fastest ones; it is a miss in attainment, it is counted by its error class, and its tokens
stay in `requests.parquet`. For the same reason a run in which more than a few requests failed is
invalid: the latencies of the others would flatter the server.

## Quantiles and intervals

"""

_REFUSED: Final = """
A quantile is refused, with the number of values that it would take, when its interval would run
off the sample:

| quantile | values needed |
|---|---|
"""

_EFFECTIVE: Final = """
These are independent values. Where several values come from one session (tokens of one answer,
turns of one conversation) more are needed, by the design effect that is measured in the run.
"""

_SYSTEM: Final = """
## Prefill-token equivalents

"""

_USE: Final = """
## Use and cost

"""

_ENERGY: Final = """
## Energy

"""

_SLO: Final = """
## Service-level objectives

"""

_SLO_PRESETS: Final = """
Presets, for `slo: {default: {preset: distserve-chat-13b}}`.

| preset | sets | source |
|---|---|---|
"""

_WORDS: Final = """
### In words

"""

_SMOOTH: Final = """
### Smoothness

"""

_CHECKS: Final = """
## Validity

"""


def page() -> str:
    """The whole page."""
    parts = [
        _INTRO,
        _paragraph(inspect.getdoc(statistics.measurement_window)),
        _FAILED,
        _paragraph(inspect.getdoc(statistics)),
        _REFUSED,
        "".join(f"| {name} | {values_needed(p):,} |\n" for name, p in QUANTILES.items()),
        _EFFECTIVE,
        "\n## The catalogue\n",
        *(_metric(metric) for metric in METRICS),
        _SYSTEM,
        _paragraph(inspect.getdoc(pte)),
        _gamma_table(),
        *(_metric(metric) for metric in pte_metrics(UNTOLD)),
        _USE,
        *(_metric(metric) for metric in use_metrics(UNTOLD) + cost_metrics(UNTOLD)),
        _ENERGY,
        _paragraph(inspect.getdoc(energy)),
        *(_metric(metric) for metric in energy_metrics(request_rate)),
        _SLO,
        _paragraph(inspect.getdoc(Slo)),
        _SLO_PRESETS,
        "".join(f"| `{name}` | {_keys(one)} | {one.source} |\n" for name, one in PRESETS.items()),
        _WORDS,
        _paragraph(inspect.getdoc(attainment)),
        _SMOOTH,
        _paragraph(inspect.getdoc(smoothness)),
        *(_metric(metric) for metric in bound({})),
        _CHECKS,
        _paragraph(inspect.getdoc(validity)),
        _limits(),
    ]
    return "".join(parts)


def _paragraph(doc: str | None) -> str:
    assert doc, "a definition without words"
    return f"{doc}\n"


def _metric(metric: Metric) -> str:
    facts = [f"unit {metric.unit}", _BETTER[metric.better], _SHAPES[metric.shape]]
    if metric.shape != "run":
        facts.append(f"over {_OVER[metric.over]}")
    doc = textwrap.fill(metric.doc, 100, break_on_hyphens=False)
    if metric.source:
        doc += f"\n\nSource: {metric.source}."
    return f"\n### `{metric.name}`: {metric.title}\n\n*{'; '.join(facts)}.*\n\n{doc}\n"


PAPER_ACCELERATORS: Final = ("h100-pcie", "h200-nvl", "a100-pcie", "rtx-4090", "v100")


def _gamma_table() -> str:
    """The paper's models and accelerators, and the exact gamma beside it."""
    names = " | ".join(PAPER_ACCELERATORS)
    text = "\ngamma as the paper has it, sparse peaks (V100: dense), and exact with a dense one:\n"
    text += f"\n| model | {names} | exact, {PAPER_ACCELERATORS[0]} |\n"
    text += "|---" * (len(PAPER_ACCELERATORS) + 2) + "|\n"
    for model, shape in MODELS.items():
        ridges = [ACCELERATORS[one].flops_per_byte(PAPER_PEAK) for one in PAPER_ACCELERATORS]
        paper = " | ".join(f"{gamma_paper(shape, ridge):.5f}" for ridge in ridges)
        dense = ACCELERATORS[PAPER_ACCELERATORS[0]].flops_per_byte("dense")
        text += f"| {model} | {paper} | {gamma_exact(shape, dense):.5f} |\n"
    return text


def _keys(preset: Preset) -> str:
    """What it sets, as a scenario would."""
    parts = [f"{name} {_value(value)}" for name, value in preset.keys.items()]
    needs = [f"and your own `{name}`" for name in preset.needs]
    return "; ".join(parts + needs)


def _value(value: object) -> str:
    if isinstance(value, Pace):
        return f"first {value.first}, then {value.gap * 1e3:g} ms"
    if isinstance(value, float) and not isinstance(value, bool):
        return f"{value * 1e3:g} ms" if value not in (0.9, 0.99) else f"{value:g}"
    return str(value).lower()


def _limits() -> str:
    """The fields of Validity with their defaults and the comments beside them."""
    rows = []
    for line in inspect.getsource(validity.Validity).splitlines():
        field, has_comment, comment = line.partition("  # ")
        name, _, default = field.partition(" = ")
        if has_comment:
            rows.append(f"| `{name.split(':')[0].strip()}` | {default.strip()} | {comment} |\n")
    return "\n| limit | default | of what |\n|---|---|---|\n" + "".join(rows)


if __name__ == "__main__":
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(page(), encoding="utf-8")
    print(f"wrote {PATH}")
