"""How far from its targets a run is: attainment were all limits tighter or looser."""

import msgspec
import numpy as np

from benchsuite.metrics.attainment import DEFAULT_TARGET, counted_requests, scales, smallest
from benchsuite.metrics.slo import Slo, slo_of
from benchsuite.records.table import FloatArray, RunData
from benchsuite.report.charts.base import Chart, Table, plain
from benchsuite.report.charts.distributions import CLASS_LOOKS
from benchsuite.report.charts.figure import INK, empty, make_log
from benchsuite.report.quantities import number, percent
from benchsuite.report.thinning import ecdf
from benchsuite.results.result import RunResult

_FACTORS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 4.0)


def slo_scale(result: RunResult, data: RunData) -> Chart | None:
    """Attainment over a factor on all limits at once (the SLO scale of DistServe, OSDI'24)."""
    ratios = _ratios(result, data)
    finite = np.concatenate([r[np.isfinite(r) & (r > 0)] for r in ratios.values()] or [np.empty(0)])
    if len(finite) < 2:
        return None
    figure = empty(
        "factor on every limit",
        "share that would meet them",
        shapes=[_line(x0=1, x1=1, y0=0, y1=1, yref="paper")],
        showlegend=len(ratios) > 1,
    )
    for (name, ratio), (colour, dash) in zip(ratios.items(), CLASS_LOOKS, strict=False):
        x, share = ecdf(ratio[np.isfinite(ratio)])
        share = share * np.isfinite(ratio).mean()  # one that failed meets no limit, however loose
        figure.add_scatter(
            x=np.concatenate([x[:1], x]).astype(np.float32),
            y=np.concatenate([[0.0], share]).astype(np.float32),
            name=plain(name),
            mode="lines",
            line={"color": colour, "dash": dash, "width": 2, "shape": "hv"},
            hovertemplate=f"{plain(name)}: %{{y:.2%}} at %{{x:,.3~g}} times the limits",
        )
    low = min(float(np.quantile(finite, 0.005)), 0.9)
    make_log(figure.layout["xaxis"], low / 1.15, max(float(finite.max()), 1.1) * 1.15)
    figure.update_yaxes(tickformat=".0%", range=[-0.02, 1.03], dtick=0.25)
    rows = tuple(
        (f"{factor:g}", *(percent(float((r <= factor).mean())) for r in ratios.values()))
        for factor in _FACTORS
    )
    return Chart(
        key="slo-scale",
        title="How much tighter could the targets be?",
        reading=_reading(result, ratios),
        figure=figure,
        table=Table(("factor on every limit", *ratios), rows),
        is_wide=False,
        height_px=280,
    )


def _ratios(result: RunResult, data: RunData) -> dict[str, FloatArray]:
    """SLO class -> the factor at which each of its requests would just meet its limits."""
    slos = msgspec.convert(result.scenario.get("slo") or {}, dict[str, Slo])
    counts, of_class = data.once(counted_requests), np.array(data.slo_class, dtype=str)
    found: dict[str, FloatArray] = {}
    for name in list(result.attainment)[: len(CLASS_LOOKS)]:
        slo = slo_of(slos, name)
        ratio = scales(data, slo, counts & (of_class == name), 0) if slo.objectives else np.empty(0)
        if len(ratio):
            found[name] = ratio
    return found


def _reading(result: RunResult, ratios: dict[str, FloatArray]) -> str:
    """The factor of each class, or of the class that needs the largest."""
    needed = {
        name: smallest(ratio, result.attainment[name].target or DEFAULT_TARGET)
        for name, ratio in ratios.items()
    }
    name, factor = max(needed.items(), key=lambda item: item[1])
    wanted = percent(result.attainment[name].target or DEFAULT_TARGET)
    whose = f" of class {plain(name)}" if len(ratios) > 1 else ""
    if not np.isfinite(factor):
        return f"No factor would do: fewer than {wanted} of the requests{whose} ended well."
    change = "tighter" if factor <= 1 else "looser"
    return (
        f"With every limit {number(factor)} times as large, {change} than asked, {wanted} of the "
        f"requests{whose} would meet them all. 1 is what was asked."
    )


def _line(**ends: object) -> dict[str, object]:
    return {"type": "line", **ends, "line": {"color": INK, "dash": "4px,3px", "width": 1.25}}
