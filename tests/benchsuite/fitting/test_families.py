"""Each family finds its own parameters again, says which model is true, and how well it fits."""

import numpy as np
import pytest

from benchsuite.arrivals import Gamma, Hawkes, Mmpp, Poisson, Weibull
from benchsuite.arrivals.hawkes import HawkesClass
from benchsuite.arrivals.mmpp import MmppState
from benchsuite.fitting import hawkes, mmpp, report
from benchsuite.fitting.base import Events, Fit
from benchsuite.fitting.families import FAMILIES
from benchsuite.streams import rng

NUM = 10_000


def events(arrivals, num: int = NUM, seed: int = 1) -> Events:
    due_s = np.unique(arrivals.due_times(num, rng(seed, "arrivals"), None))  # some gaps are 1e-18 s
    return Events(due_s - due_s[0], np.zeros(len(due_s), np.int64), ("default",))


def fitted(family: str, found: Events) -> Fit:
    return next(one for one in FAMILIES if one.name == family).fit(found)


@pytest.mark.parametrize(
    ("arrivals", "family", "expected"),
    [
        (Poisson(rate=7), "poisson", {"rate": 7}),
        (Gamma(rate=7, burstiness=0.3), "gamma", {"rate": 7, "shape": 0.3}),
        (Gamma(rate=7, burstiness=4), "gamma", {"rate": 7, "shape": 4}),
        (Weibull(rate=7, shape=0.5), "weibull", {"rate": 7, "shape": 0.5}),
        (Weibull(rate=7, shape=2), "weibull", {"rate": 7, "shape": 2}),
        (
            Hawkes(rate=4, memory=0.5, branching=0.6),
            "hawkes",
            {"base_rate": 1.6, "branching": 0.6, "memory_s": 0.5},
        ),
        (
            Mmpp(states=(MmppState(rate=2, stay=20), MmppState(rate=30, stay=4))),
            "mmpp",
            {"calm_rate": 2, "busy_rate": 30, "calm_stay_s": 20, "busy_stay_s": 4},
        ),
    ],
    ids=str,
)
def test_parameters_are_found_again(arrivals, family: str, expected: dict[str, float]) -> None:
    """Within 10 % from 10,000 simulated events; residuals of the true model are even."""
    fit = fitted(family, events(arrivals))
    # The stays of an MMPP rest on the visits to a state, some 100 of them here.
    loose = {"calm_stay_s": 0.25, "busy_stay_s": 0.25, "base_rate": 0.1}
    for name, value in expected.items():
        assert fit.parameters[name] == pytest.approx(value, rel=loose.get(name, 0.1)), name
    assert fit.ks_p > 0.01
    assert fit.pce < 0.01
    assert type(fit.arrivals) is type(arrivals)


def test_the_true_family_is_the_likeliest_and_poisson_is_rejected() -> None:
    """By AIC, on events of a Hawkes process; a Poisson process explains them badly."""
    found = report.fits(events(Hawkes(rate=4, memory=0.5, branching=0.6), 3000))
    assert found[0].family == "hawkes"
    by_name = {fit.family: fit for fit in found}
    assert by_name["poisson"].ks_p < 1e-6
    assert by_name["poisson"].pce > 5 * by_name["hawkes"].pce
    assert [fit.aic for fit in found] == sorted(fit.aic for fit in found)


def test_simpler_families_are_members_of_the_larger_ones() -> None:
    """On Poisson events all say the same, up to a few units of likelihood for their parameters."""
    found = {fit.family: fit for fit in report.fits(events(Poisson(rate=3), 3000))}
    for fit in found.values():
        gain = fit.log_likelihood - found["poisson"].log_likelihood
        assert -0.01 < gain < 8, fit.family
    assert found["gamma"].parameters["shape"] == pytest.approx(1, abs=0.06)


def test_classes_that_cause_each_other_are_found_again() -> None:
    """The matrix of who causes whom, within 0.06, and with it a better likelihood than shares of
    classes give; its arrivals name the same classes."""
    true = Hawkes(
        rate=6,
        memory=0.4,
        classes={
            "agent": HawkesClass(weight=1, after={"agent": 0.6}),
            "chat": HawkesClass(weight=3, after={"agent": 0.2}),
        },
    )
    drawn = [pair for pair, _ in zip(true.arrivals(rng(1, "arrivals")), range(NUM), strict=False)]
    at_s = np.array([at for at, _ in drawn])
    kind = np.array([kind for _, kind in drawn])
    found = Events(at_s - at_s[0], kind, ("agent", "chat"))
    fit = hawkes.fit(found)
    assert isinstance(fit.arrivals, Hawkes)
    np.testing.assert_allclose(fit.arrivals.offspring(), true.offspring(), atol=0.06)
    assert fit.arrivals.memory == pytest.approx(0.4, rel=0.1)
    assert fit.arrivals.class_names == ("agent", "chat")
    assert report.fits(found)[0].family == "hawkes"


def test_an_mmpp_s_likelihood_is_the_product_of_its_matrices() -> None:
    """Against the plain product, gap by gap; the residuals are 1 - survival, given all before."""
    states = mmpp._States(np.array([1.0, 9.0]), np.array([0.3, 0.7]))
    gaps_s = rng(1, "gaps").exponential(0.4, 25)
    generator = np.array([[-0.3, 0.3], [0.7, -0.7]]) - np.diag(states.rates)
    eigenvalues, vectors = np.linalg.eig(generator)
    row = states.at_arrival
    residuals, total = [], 0.0
    for gap_s in gaps_s:
        survival = vectors @ np.diag(np.exp(eigenvalues * gap_s)) @ np.linalg.inv(vectors)
        residuals.append(1 - (row @ survival).sum())
        row = row @ survival @ np.diag(states.rates)
        total += np.log(row.sum())
        row = row / row.sum()
    assert mmpp.log_likelihood(gaps_s, states) == pytest.approx(total, rel=1e-10)
    np.testing.assert_allclose(mmpp._residuals(gaps_s, states), residuals, rtol=1e-9)


def test_an_explosive_hawkes_becomes_one_that_ends() -> None:
    """What a scenario is given must be stable; the change is said."""
    parameters = hawkes.Parameters(np.array([0.1]), np.array([[2.2]]), 2.0)
    arrivals, notes = hawkes._arrivals(events(Poisson(rate=1), 99), parameters)
    assert arrivals.branching == pytest.approx(hawkes.MOST_BRANCHING)
    assert "branching 1.1 became 0.999" in notes[0]
