"""What somebody else's prefill does to those who are decoding."""

import numpy as np

from benchsuite.metrics.overlap import beside_prefill
from benchsuite.metrics.statistics import interpolated
from benchsuite.records.table import RunData
from benchsuite.report.charts.base import Chart, Table
from benchsuite.report.charts.figure import (
    BLUE,
    VERMILLION,
    empty,
    make_log,
    milli,
)
from benchsuite.report.quantities import milliseconds, percent
from benchsuite.report.thinning import ecdf_of
from benchsuite.results.result import RunResult

_SHARES = (0.5, 0.9, 0.99, 1.0)


def interference(result: RunResult, data: RunData) -> Chart | None:
    """Gaps between tokens with and without somebody else's prefill in flight."""
    extra = result.summaries.get("prefill_interference")
    share = result.summaries.get("prefill_interference_share")
    if extra is None or extra.mean is None or share is None or share.mean is None:
        return None
    alone_s, beside_s = (beside_prefill(data, is_beside=is_beside) for is_beside in (False, True))
    alone_s.sort()
    beside_s.sort()
    kinds = {"no prefill beside": alone_s, "a prefill beside": beside_s}
    figure = empty("gap between tokens, ms", "share at or below")
    for (name, values_s), (colour, dash) in zip(
        kinds.items(), ((BLUE, "solid"), (VERMILLION, "dash")), strict=True
    ):
        x_s, at_or_below = ecdf_of(values_s)
        figure.add_scatter(
            x=milli(np.concatenate([x_s[:1], x_s])),
            y=np.concatenate([[0.0], at_or_below]).astype(np.float32),
            name=name,
            mode="lines",
            line={"color": colour, "dash": dash, "width": 2, "shape": "hv"},
            hovertemplate=f"{name}: %{{y:.2%}} within %{{x:,.4~g}} ms",
        )
    positive_s = np.concatenate([v[np.searchsorted(v, 0.0, "right") :] for v in kinds.values()])
    if len(positive_s):
        low_s = float(np.quantile(positive_s, 0.005, overwrite_input=True))
        make_log(figure.layout["xaxis"], low_s * 1e3 / 1.15, float(positive_s.max()) * 1e3 * 1.15)
    figure.update_yaxes(tickformat=".0%", range=[-0.02, 1.03], dtick=0.25)
    head = ("share at or below", *(f"{name} ({len(v):,})" for name, v in kinds.items()))
    shares = np.array(_SHARES)
    quantiles = [interpolated(values_s, shares).tolist() for values_s in kinds.values()]
    return Chart(
        key="interference",
        title="Do prefills slow the decoding of others?",
        reading=f"Among gaps with about as many requests decoding, one that begins beside somebody "
        f"else's prefill is longer by {_signed(extra.mean)} on average; prefills own "
        f"{percent(share.mean)} of all time between tokens.",
        figure=figure,
        table=Table(
            head,
            tuple(
                (percent(p), milliseconds(a), milliseconds(b))
                for p, a, b in zip(_SHARES, *quantiles, strict=True)
            ),
        ),
        note="The lines compare all gaps; the sentence compares like with like.",
        is_wide=False,
        height_px=280,
    )


def _signed(value_s: float) -> str:
    return f"{'−' if value_s < 0 else ''}{milliseconds(abs(value_s))}"
