"""A Poisson process whose rate jumps between two values at random, by maximum likelihood.

The density of gaps x_1 .. x_n is pi * exp((Q - L) x_1) L ... exp((Q - L) x_n) L * 1, with the
generator Q of the states, L their rates on the diagonal, and pi the states' shares at an arrival
(Ryden, "Parameter estimation for Markov modulated Poisson processes", 1994).
"""

from typing import Final, NamedTuple

import numpy as np
from scipy.optimize import minimize

from benchsuite.arrivals import Mmpp
from benchsuite.arrivals.base import FloatArray
from benchsuite.arrivals.mmpp import MmppState
from benchsuite.fitting.base import Events, Fit

_WINDOWS: Final = (10, 100, 1000)  # events each: how long a state may last, to start from
_STEPS: Final = 1000
_IMPOSSIBLE: Final = -1e300


_Matrices = tuple[FloatArray, FloatArray, FloatArray, FloatArray]  # a column for each place: 2 by 2


class _States(NamedTuple):
    rates: FloatArray  # [2], per second
    leaves: FloatArray  # [2], per second

    @property
    def at_arrival(self) -> FloatArray:
        """Shares of arrivals that find each state."""
        weights = self.leaves[::-1] * self.rates
        shares: FloatArray = weights / weights.sum()
        return shares


def fit(events: Events) -> Fit:
    """The best of several climbs: states that last for tens, hundreds or thousands of events."""
    gaps_s = events.gaps_s
    starts = [_start(events, window) for window in _WINDOWS if 4 * window <= len(gaps_s)]
    starts = starts or [_start(events, max(len(gaps_s) // 4, 1))]
    climbs = [
        minimize(
            lambda logs: -log_likelihood(gaps_s, _states(logs)),
            start,
            method="Nelder-Mead",
            options={"maxiter": _STEPS, "xatol": 1e-3, "fatol": 1e-2, "adaptive": True},
        )
        for start in starts
    ]
    best = min(climbs, key=lambda climb: float(climb.fun))
    states = _states(best.x)
    calm, busy = np.argsort(states.rates)
    order = np.array([calm, busy])
    rates, leaves = states.rates[order], states.leaves[order]
    told = (MmppState(rate=float(r), stay=float(1 / q)) for r, q in zip(rates, leaves, strict=True))
    named = ("calm_rate", "busy_rate", "calm_stay_s", "busy_stay_s")
    values = (*rates, *(1 / leaves))
    return Fit(
        "mmpp",
        Mmpp(states=tuple(told), rate=events.rate),
        {name: float(value) for name, value in zip(named, values, strict=True)},
        4,
        -float(best.fun),
        _residuals(gaps_s, states),
    )


def _states(logs: FloatArray) -> _States:
    values = np.exp(np.clip(logs, -30, 30))
    return _States(values[:2], values[2:])


def _start(events: Events, window: int) -> FloatArray:
    """Two rates from those of stretches of `window` events, and stays as long as a few of them."""
    edges_s = events.at_s[::window]
    rates = window / np.diff(edges_s)
    low, high = np.quantile(rates, (0.25, 0.9)) if len(rates) > 1 else (rates[0], rates[0])
    high = max(high, 1.5 * low)
    stay_s = 2 * window / events.rate
    return np.log([low, high, 1 / stay_s, 1 / (stay_s / 2)])


def log_likelihood(gaps_s: FloatArray, states: _States) -> float:
    """Of all gaps, natural logarithm; the product of matrices is taken in pairs, and scaled."""
    top, ((s00, s01), (s10, s11)) = _survivals(gaps_s, states)
    rate0, rate1 = states.rates
    product: _Matrices = (
        s00 * rate0,
        s01 * rate1,
        s10 * rate0,
        s11 * rate1,
    )  # rows: before; columns: after
    scale = top * float(gaps_s.sum())
    while len(product[0]) > 1:
        product = _paired(product)
        largest = np.max(product, axis=0)
        if not largest.min() > 0:
            return _IMPOSSIBLE
        scale += float(np.log(largest).sum())
        s00, s01, s10, s11 = product
        product = (s00 / largest, s01 / largest, s10 / largest, s11 / largest)
    s00, s01, s10, s11 = product
    at0, at1 = states.at_arrival
    found = float((at0 * (s00 + s01) + at1 * (s10 + s11))[0])
    return scale + float(np.log(found)) if found > 0 else _IMPOSSIBLE


def _paired(matrices: _Matrices) -> _Matrices:
    """The product of each two neighbours; a last one without a neighbour stays."""
    if len(matrices[0]) % 2:
        ends = (1.0, 0.0, 0.0, 1.0)
        whole = [np.append(part, end) for part, end in zip(matrices, ends, strict=True)]
    else:
        whole = list(matrices)
    a, b, c, d = (part[::2] for part in whole)
    e, f, g, h = (part[1::2] for part in whole)
    return a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h


def _survivals(
    gaps_s: FloatArray, states: _States
) -> tuple[float, tuple[tuple[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]]:
    """The larger eigenvalue e of Q - L, and exp((Q - L - e) x) for each gap x; rows: before.

    The other eigenvalue is e - r, and (Q - L - e)^2 = -r (Q - L - e), which leaves of the series
    1 + (Q - L - e) * (1 - exp(-r x)) / r. Nothing here grows or vanishes with long gaps.
    """
    (q0, q1), (r0, r1) = states.leaves, states.rates
    a, d = -(q0 + r0), -(q1 + r1)
    root = 2 * np.sqrt((a - d) ** 2 / 4 + q0 * q1)
    top = float((a + d + root) / 2)
    slope = -np.expm1(-root * gaps_s) / root
    stays0 = np.maximum(1 + slope * (a - top), 0.0)
    stays1 = np.maximum(1 + slope * (d - top), 0.0)
    return top, ((stays0, slope * q0), (slope * q1, stays1))


def _residuals(gaps_s: FloatArray, states: _States) -> FloatArray:
    """1 - the probability, given all before, that the gap is longer than it was."""
    now0, now1 = states.at_arrival.tolist()
    rate0, rate1 = states.rates.tolist()
    found = []
    top, ((stays0, to1s), (to0s, stays1)) = _survivals(gaps_s, states)
    columns = (stays0.tolist(), to1s.tolist(), to0s.tolist(), stays1.tolist())
    for same0, to1, to0, same1 in zip(*columns, strict=True):
        next0, next1 = now0 * same0 + now1 * to0, now0 * to1 + now1 * same1
        found.append(next0 + next1)
        next0, next1 = next0 * rate0, next1 * rate1
        total = next0 + next1 or 1.0
        now0, now1 = next0 / total, next1 / total
    longer = np.array(found) * np.exp(top * gaps_s)
    return np.clip(1.0 - longer, 0.0, 1.0)
