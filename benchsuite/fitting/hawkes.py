"""A Hawkes process with exponential memory, one class or several, by maximum likelihood.

lambda_k(t) = mu_k + sum over earlier (s, j) of alpha_kj * exp(-beta * (t - s)); log-likelihood: the
sum of log lambda at the events, minus the integral of lambda (Ogata, "The asymptotic behaviour of
maximum likelihood estimators for stationary point processes", 1978). For a given beta the classes
part into problems of their own, each concave; so only beta is searched for.
"""

from typing import Final, NamedTuple

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from benchsuite.arrivals import Hawkes
from benchsuite.arrivals.base import FloatArray, IntArray
from benchsuite.arrivals.hawkes import HawkesClass
from benchsuite.fitting.base import Events, Fit

MOST_BRANCHING: Final = 0.999  # of arrivals for a scenario, which must not grow without end
_TRIED: Final = 13  # memories to begin with, from a fifth of a median gap to a tenth of the trace
_TINY: Final = 1e-12


class Parameters(NamedTuple):
    mu: FloatArray  # [classes], per second: what nothing caused
    alpha: FloatArray  # [classes, classes], per second: by how much an event of j raises lambda_k
    beta: float  # per second: how fast that fades


def intensities(at_s: FloatArray, kind: IntArray, parameters: Parameters) -> FloatArray:
    """lambda_k just before each event, shape [n, classes]."""
    traces = _traces(at_s, kind, len(parameters.mu), parameters.beta)
    found: FloatArray = parameters.mu + traces @ parameters.alpha.T
    return found


def compensators(
    at_s: FloatArray, kind: IntArray, end_s: float, parameters: Parameters
) -> FloatArray:
    """The integral of the sum of lambda_k from 0 to each event, and to `end_s`: [n + 1]."""
    mu, alpha, beta = parameters
    traces = _traces(at_s, kind, len(mu), beta)
    jumps = alpha.sum(axis=0)  # by how much an event of class j raises the whole
    edges_s = np.concatenate(([0.0], at_s, [end_s]))
    gaps_s = np.diff(edges_s)
    # Right after event i, what earlier ones add is traces[i] * jumps and the jump of its own.
    after = np.concatenate(([0.0], traces @ jumps + jumps[kind]))
    steps = mu.sum() * gaps_s + after * -np.expm1(-beta * gaps_s) / beta
    found: FloatArray = np.cumsum(steps)
    return found


def log_likelihood(
    at_s: FloatArray, kind: IntArray, end_s: float, parameters: Parameters, *, given: int = 0
) -> float:
    """Of the events but the first `given`, which are history, from the last of those (or 0) on."""
    own = intensities(at_s, kind, parameters)[np.arange(len(at_s)), kind][given:]
    whole = compensators(at_s, kind, end_s, parameters)
    before = whole[given - 1] if given else 0.0
    return float(np.log(own).sum() - (whole[-1] - before))


def fit(events: Events) -> Fit:
    """With classes where the events have several. The first event is given."""
    at_s, kind, num = events.at_s, events.kind, len(events.names)

    def cost(log_beta: float) -> float:
        return -_best(at_s, kind, num, float(np.exp(log_beta)))[1]

    shortest, longest = np.median(events.gaps_s) / 5, at_s[-1] / 10
    tried = np.log(1 / np.geomspace(longest, min(shortest, longest / 2), _TRIED))
    costs = [cost(log_beta) for log_beta in tried]
    at = int(np.argmin(costs))
    low, high = tried[max(at - 1, 0)], tried[min(at + 1, _TRIED - 1)]
    found = minimize_scalar(cost, bounds=(low, high), method="bounded", options={"xatol": 1e-4})
    beta = float(np.exp(found.x if found.fun < costs[at] else tried[at]))
    parameters, log_likelihood_ = _best(at_s, kind, num, beta)
    whole = compensators(at_s, kind, float(at_s[-1]), parameters)[:-1]
    arrivals, notes = _arrivals(events, parameters)
    return Fit(
        "hawkes",
        arrivals,
        _named(events.names, parameters),
        num + num * num + 1,
        log_likelihood_,
        -np.expm1(-np.diff(whole)),
        notes,
    )


def _best(at_s: FloatArray, kind: IntArray, num: int, beta: float) -> tuple[Parameters, float]:
    """The likeliest mu and alpha for a given beta, and the log-likelihood."""
    traces = _traces(at_s, kind, num, beta)[1:]
    span_s = float(at_s[-1])
    # How much an event of class j adds to the integral over the rest, for each unit of alpha.
    faded = -np.expm1(-beta * (span_s - at_s)) / beta
    reach = np.bincount(kind, weights=faded, minlength=num)
    totals = np.concatenate(([span_s], reach))  # integral of each part, per unit of its parameter
    parts = np.column_stack((np.ones(len(traces)), traces)) / np.maximum(totals, _TINY)
    mu, alpha, log_likelihood_ = np.zeros(num), np.zeros((num, num)), 0.0
    for k in range(num):
        expected, reached = _mixture(parts[kind[1:] == k])
        mu[k], alpha[k] = expected[0] / totals[0], expected[1:] / np.maximum(reach, _TINY)
        log_likelihood_ += reached
    return Parameters(mu, alpha, beta), log_likelihood_


def _mixture(parts: FloatArray) -> tuple[FloatArray, float]:
    """Expected numbers x >= 0 of events that each part brings, which maximise
    sum_i log(parts_i . x) - sum x; and that maximum. Concave; at it, sum x is the number of events.
    """
    num, size = parts.shape
    if not num:
        return np.zeros(size), 0.0
    scaled = parts * num

    def cost(shares: FloatArray) -> tuple[float, FloatArray]:
        # einsum, since BLAS starts threads for products as small as these
        rates = np.maximum(np.einsum("ij,j->i", scaled, shares), 1e-300)
        slope = 1.0 - np.einsum("i,ij->j", 1 / rates, scaled) / num
        return float(shares.sum() - np.log(rates).mean()), slope

    start = np.full(size, 1 / size)
    best = minimize(cost, start, jac=True, method="L-BFGS-B", bounds=[(_TINY, None)] * size,
                    options={"ftol": 1e-13, "gtol": 1e-9, "maxiter": 500})  # fmt: skip
    shares = best.x / best.x.sum()
    return shares * num, -num * cost(shares)[0]


def _traces(at_s: FloatArray, kind: IntArray, num: int, beta: float) -> FloatArray:
    """sum of exp(-beta * (t_i - s)) over earlier events (s, j), for each event i and class j."""
    faded = np.exp(-beta * np.diff(at_s)).tolist()
    traces = np.zeros((len(at_s), num))
    for j in range(num):
        now, column = 0.0, [0.0]
        for keep, was_j in zip(faded, (kind[:-1] == j).tolist(), strict=True):
            now = keep * (now + was_j)
            column.append(now)
        traces[:, j] = column
    return traces


def _arrivals(events: Events, parameters: Parameters) -> tuple[Hawkes, tuple[str, ...]]:
    """With the rate that was measured: a branching ratio near 1 leaves the model's own unsure."""
    offspring = parameters.alpha / parameters.beta
    radius = float(np.abs(np.linalg.eigvals(offspring)).max())
    notes: tuple[str, ...] = ()
    if radius > MOST_BRANCHING:
        offspring = offspring * (MOST_BRANCHING / radius)
        notes = (f"hawkes: branching {radius:.4g} became {MOST_BRANCHING} in the scenario",)
    memory_s = 1 / parameters.beta
    if len(events.names) == 1:
        branching = float(offspring[0, 0])
        return Hawkes(rate=events.rate, memory=memory_s, branching=branching), notes
    classes = {
        name: HawkesClass(
            weight=max(float(parameters.mu[k]), _TINY),
            after={
                other: float(offspring[k, j])
                for j, other in enumerate(events.names)
                if offspring[k, j] > _TINY
            },
        )
        for k, name in enumerate(events.names)
    }
    return Hawkes(rate=events.rate, memory=memory_s, classes=classes), notes


def _named(names: tuple[str, ...], parameters: Parameters) -> dict[str, float]:
    offspring = parameters.alpha / parameters.beta
    if len(names) == 1:
        found = {"base_rate": parameters.mu[0], "branching": offspring[0, 0]}
    else:
        found = {f"base_rate.{name}": mu for name, mu in zip(names, parameters.mu, strict=True)}
        for k, name in enumerate(names):
            found |= {f"{name}.after.{other}": offspring[k, j] for j, other in enumerate(names)}
    return {name: float(value) for name, value in found.items()} | {"memory_s": 1 / parameters.beta}
