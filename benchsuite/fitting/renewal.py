"""Gaps that know nothing of each other: exponential, Gamma, Weibull; by maximum likelihood."""

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.special import gammainc, gammaln

from benchsuite.arrivals import Gamma, Poisson, Weibull
from benchsuite.fitting.base import Events, Fit


def poisson(events: Events) -> Fit:
    """The rate is events by time; log-likelihood n * (ln(rate) - 1)."""
    rate, gaps_s = events.rate, events.gaps_s
    return Fit(
        "poisson",
        Poisson(rate=rate),
        {"rate": rate},
        1,
        len(gaps_s) * (float(np.log(rate)) - 1),
        -np.expm1(-rate * gaps_s),
    )


def gamma(events: Events) -> Fit:
    """For a shape k the likeliest scale is mean / k, which leaves one unknown."""
    gaps_s, rate = events.gaps_s, events.rate
    num, mean_log = len(gaps_s), float(np.mean(np.log(gaps_s)))

    def per_gap(log_shape: float) -> float:
        shape = np.exp(log_shape)
        scaled = shape * np.log(shape * rate) - gammaln(shape)
        return float(scaled + (shape - 1) * mean_log - shape)

    best = minimize_scalar(lambda x: -per_gap(x), bounds=(-7, 9), method="bounded",
                           options={"xatol": 1e-9})  # fmt: skip
    shape = float(np.exp(best.x))
    return Fit(
        "gamma",
        Gamma(rate=rate, burstiness=shape),
        {"rate": rate, "shape": shape},
        2,
        num * per_gap(best.x),
        gammainc(shape, shape * rate * gaps_s),
    )


def weibull(events: Events) -> Fit:
    """For a shape k the likeliest scale is (mean of gap^k)^(1/k); k is the root of its derivative.

    The arrivals get the rate that was measured; the fitted law's own is among the parameters.
    """
    logs = np.log(events.gaps_s)
    num, mean_log = len(logs), float(logs.mean())
    logs = logs - logs.max()  # powers stay below 1; the shape does not depend on the unit

    def slope(shape: float) -> float:
        powers = np.exp(shape * logs)
        return float((powers @ logs) / powers.sum() - logs.mean() - 1 / shape)

    shape = float(brentq(slope, 0.02, 200.0, xtol=1e-12))
    scale_s = float(np.exp(shape * logs).mean() ** (1 / shape) * events.gaps_s.max())
    log_scale = np.log(scale_s)
    scaled = (events.gaps_s / scale_s) ** shape
    log_likelihood = num * (np.log(shape) - shape * log_scale + (shape - 1) * mean_log - 1)
    own_rate = 1 / (scale_s * np.exp(gammaln(1 + 1 / shape)))
    return Fit(
        "weibull",
        Weibull(rate=events.rate, shape=max(shape, 0.05)),
        {"rate": float(own_rate), "shape": shape},
        2,
        float(log_likelihood),
        -np.expm1(-scaled),
    )
