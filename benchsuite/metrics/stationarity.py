"""Whether a run was in a steady state, by evidence: where it is not, its numbers depend on how
long it was. Soft checks: a run that is meant to end in overload is one too.
"""

from typing import Final

import numpy as np

from benchsuite.metrics.latency import ttft
from benchsuite.metrics.steady import MIN_VALUES, growth, mean_error, steady_from
from benchsuite.metrics.validity import Check
from benchsuite.records.table import RunData

GROWTH_SHARE: Final = 0.01  # of the arrivals, that a backlog may grow by
WARM_UP_SHARE: Final = 0.1  # by which the mean ttft of the beginning may differ from the rest
Z: Final = 3.0  # standard errors: no chance


def checks(data: RunData) -> tuple[Check, ...]:
    """Those that apply: a closed loop has no backlog, and few requests tell nothing."""
    return tuple(check for check in (_backlog(data), _warm_up(data)) if check is not None)


def _backlog(data: RunData) -> Check | None:
    if not len(data) or np.isnan(data.due_s).all():
        return None
    found = growth(data.origin_s, data.finished_s, data.window_s)
    if found is None:
        return None
    grows = found.is_beyond(GROWTH_SHARE, Z)
    fact = f"the backlog grew by {found.share:.1%} of the arrivals"
    so = ": the server does not keep up, and a longer run would be slower" if grows else ""
    return Check(
        name="backlog",
        ok=not grows,
        hard=False,
        value=found.share,
        limit=GROWTH_SHARE,
        unit="share",
        sentence=fact + so,
    )


def _warm_up(data: RunData) -> Check | None:
    """MSER-5 on ttft; a cut counts where what it cuts differs from the rest by more than chance."""
    values = ttft(data)
    chosen = np.flatnonzero(data.in_window & data.ok & ~np.isnan(values))
    if len(chosen) < MIN_VALUES:
        return None
    values = values[chosen]
    cut = steady_from(values)
    before, after = values[:cut], values[cut:]
    differs = 0.0
    if cut > 1:
        error = np.hypot(mean_error(before), mean_error(after))
        gap = abs(float(before.mean() - after.mean()))
        differs = gap / float(after.mean()) if gap > Z * error else 0.0
    ok = differs <= WARM_UP_SHARE
    until_s = float(data.origin_s[chosen[cut]])
    fact = f"the ttft of the first {cut} requests measured is {differs:.0%} off that of the rest"
    so = f": set limits.warmup to {np.ceil(until_s):.0f}s (MSER-5)"
    return Check(
        name="warm_up",
        ok=ok,
        hard=False,
        value=differs,
        limit=WARM_UP_SHARE,
        unit="share",
        sentence=fact + so if not ok else "no warm-up was found in what was measured",
    )
