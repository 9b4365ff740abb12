"""The order of runs, limits, early stopping, words and exit codes: all without a run."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsuite.comparison.verdicts import Samples, Verdict, verdicts
from benchsuite.errors import ScenarioError
from benchsuite.gate import outcome
from benchsuite.gate.limits import Limit, asked, limits
from benchsuite.gate.order import seed_of, spendable, turns
from benchsuite.gate.outcome import Outcome, causes, exit_code, judged, overall
from benchsuite.gate.quantities import declared, min_effects, quantity
from benchsuite.metrics.slo import Slo
from benchsuite.metrics.validity import Validity
from benchsuite.results.environment import Environment
from benchsuite.results.result import RunResult
from tests.runs import record, run

ENVIRONMENT = Environment.capture()


# --- the order of runs


@given(st.integers(1, 20), st.integers(0, 2**31))
def test_each_pair_has_both_sides_next_to_each_other(pairs: int, seed: int) -> None:
    found = turns(pairs, seed)
    assert [turn.pair for turn in found] == [pair for pair in range(pairs) for _ in range(2)]
    for pair in range(pairs):
        assert {found[2 * pair].side, found[2 * pair + 1].side} == {"baseline", "now"}
    for pair in range(0, pairs - 1, 2):  # ABBA or BAAB
        assert found[2 * pair].side == found[2 * pair + 3].side
    assert found == turns(pairs, seed)


def test_either_side_begins_as_often() -> None:
    begun = [turns(1, seed)[0].side for seed in range(400)]
    assert 160 < begun.count("now") < 240


def test_pairs_have_seeds_of_their_own() -> None:
    assert seed_of(17, 0) == 17
    assert len({seed_of(17, pair) for pair in range(50)}) == 50


# --- early stopping


@given(st.integers(2, 40))
def test_the_looks_spend_all_and_no_more(pairs: int) -> None:
    spent = [spendable(made, pairs, 0.05, True) for made in range(1, pairs + 1)]
    assert math.fsum(spent) == pytest.approx(0.05)
    assert all(each == 0 for made, each in enumerate(spent, 1) if made < pairs / 2)
    plain = [spendable(made, pairs, 0.05, False) for made in range(1, pairs + 1)]
    assert plain == [0.0] * (pairs - 1) + [0.05]


def stopped(rng: np.random.Generator, slower: float, pairs: int) -> tuple[bool, int]:
    """(an alarm was raised, pairs made) of a gate that looks after each pair, with two metrics."""
    sides = np.exp(rng.normal(0, 0.04, (2, 2, pairs)))
    sides[1, 0] *= slower
    for made in range(1, pairs + 1):
        level = spendable(made, pairs, 0.05, True)
        if not level:
            continue
        family = [samples(sides[0, m, :made], sides[1, m, :made]) for m in range(2)]
        words = {one.word for one in verdicts(family, alpha=level)}
        if "worse" in words:
            return True, made
        if "inconclusive" not in words:
            return False, made
    return False, pairs


def samples(baseline: Any, now: Any) -> Samples:
    return Samples(
        metric="ttft_p50",
        title="TTFT",
        unit="s",
        better="lower",
        baseline=tuple(baseline),
        now=tuple(now),
    )


def test_looking_often_raises_no_more_alarms() -> None:
    rng = np.random.default_rng(20_263)
    found = [stopped(rng, 1.0, 12) for _ in range(200)]
    assert sum(alarm for alarm, _ in found) <= 10  # 5 %


def test_a_clear_regression_ends_it_early() -> None:
    rng = np.random.default_rng(20_264)
    found = [stopped(rng, 1.25, 14) for _ in range(100)]
    assert sum(alarm for alarm, _ in found) >= 95
    assert sum(made for _, made in found) / 100 < 12


# --- quantities


def test_a_name_is_a_metric_and_a_column() -> None:
    assert quantity("ttft_p99")[1:] == ("ttft", "p99")
    assert quantity("itl_mean")[1:] == ("itl", "mean")
    assert quantity("pte_paper")[1:] == ("pte_paper", "mean")
    assert quantity("goodput")[1:] == ("good_rate", "mean")
    assert [one.name for one in declared((), False)][-1] == "throughput"
    assert [one.name for one in declared(("a_p50", "a_p50"), True)] == ["a_p50"]


def test_the_smallest_effect_is_a_share() -> None:
    assert min_effects(["3%", "ttft_p99=0.1"]) == {"": 0.03, "ttft_p99": 0.1}
    for wrong in ("x", "ttft_p99=", "100%", "-1%", "nan"):
        with pytest.raises(ScenarioError, match="--min-effect"):
            min_effects([wrong])


# --- limits


def run_of(*latencies_s: float, ttft: float = 0.25, **slo: Any) -> RunResult:
    found = run(
        *(record(at, chunks=((each, 1), (each + 0.1, 1))) for at, each in enumerate(latencies_s))
    )
    return RunResult.of(
        found,
        name="made",
        slos={"default": Slo(ttft=ttft, **slo)},
        validity=Validity(),
        scenario={},
        environment=ENVIRONMENT,
        started_at="2026-01-01T00:00:00+00:00",
    )


def test_a_limit_is_kept_missed_or_open() -> None:
    good, bad, mixed = run_of(*[0.2] * 200), run_of(*[0.3] * 200), run_of(*[0.2] * 18, 0.3, 0.3)

    def standing(*runs: RunResult) -> str:
        return limits(runs, (), None)[0].standing

    assert (standing(good), standing(bad), standing(mixed)) == ("kept", "missed", "open")
    assert standing(good, bad, good) == "open"
    assert standing(good, good, good) == "kept"
    assert limits([mixed], (), 0.5)[0].standing == "kept"
    assert limits([run_of(*[0.2] * 200, target=0.999)], (), 0.5)[0].limit == 0.999


def test_limits_of_any_metric() -> None:
    run = run_of(*np.linspace(0.2, 0.3, 500).tolist())
    told = {
        limit: limits([run], asked([limit]), None)[-1].standing
        for limit in ("ttft_p99=500ms", "ttft_p99=0.2", "ttft_p50=250ms", "output_token_rate=1")
    }
    assert list(told.values()) == ["kept", "missed", "open", "open"]


def test_several_runs_are_no_surer_than_they_differ() -> None:
    runs = [run_of(*[each] * 400) for each in (0.1, 0.2, 0.3)]
    found = limits(runs, asked(["ttft_p50=210ms"]), None)[-1]
    assert found.value == pytest.approx(0.2)
    assert (found.num_runs, found.standing) == (3, "open")
    assert found.interval is not None
    assert found.interval[0] < 0.1 < 0.3 < found.interval[1]


def test_one_quantile_too_far_is_open() -> None:
    found = limits([run_of(*[0.1] * 20)], asked(["ttft_p99=1s"]), None)[-1]
    assert (found.value, found.standing) == (None, "open")


@pytest.mark.parametrize("wrong", ["ttft_p99", "=1", "ttft=", "ttft=fast"])
def test_a_broken_limit_is_told(wrong: str) -> None:
    with pytest.raises(ScenarioError, match="--limit"):
        asked([wrong])


# --- words and exit codes


def limit(standing: Any) -> Limit:
    return Limit(
        name="x",
        title="x",
        unit="s",
        limit=1.0,
        better="lower",
        value=2.0,
        interval=(1.0, 3.0),
        num_runs=1,
        standing=standing,
    )


def compared(word: Any) -> Verdict:
    return Verdict(
        metric="m",
        title="m",
        unit="s",
        better="lower",
        word=word,
        scale="ratio",
        is_paired=True,
        min_effect=0.05,
        confidence=0.95,
        baseline=1.0,
        now=1.0,
        num_baseline=7,
        num_now=7,
    )


def outcome_of(
    standings: tuple[str, ...] = (),
    words: tuple[str, ...] = (),
    invalid: tuple[str, ...] = (),
    partial: str | None = None,
) -> Outcome:
    held, found = [limit(each) for each in standings], [compared(each) for each in words]
    word, reasons = judged(held, found, invalid)
    return Outcome(
        scenario="s",
        mode="both",
        verdict=word,
        reasons=reasons,
        limits=tuple(held),
        comparisons=tuple(found),
        partial=partial,
    )


ALL = ("slo", "regression", "invalid")


@pytest.mark.parametrize(
    ("made", "fail_on", "word", "code"),
    [
        (outcome_of(("kept",), ("equivalent", "better")), ALL, "pass", 0),
        (outcome_of(("kept",), ("inconclusive",)), ALL, "inconclusive", 0),
        (outcome_of(("open",)), (*ALL, "inconclusive"), "inconclusive", 4),
        (outcome_of((), ("worse", "better")), ALL, "fail", 98),
        (outcome_of(("missed",), ("worse",)), ALL, "fail", 99),
        (outcome_of(("missed",), ("worse",)), ("regression",), "fail", 98),
        (outcome_of(("missed",), ("worse",)), (), "fail", 0),
        (outcome_of((), (), ("it lagged",)), ALL, "invalid", 4),
        (outcome_of((), (), ("it lagged",)), ("slo",), "invalid", 0),
        (outcome_of((), ("worse",), ("it lagged",)), ALL, "fail", 98),
        (outcome_of((), ("worse",), partial="interrupted"), ALL, "fail", 130),
    ],
)
def test_words_and_exit_codes(made: Outcome, fail_on: Any, word: str, code: int) -> None:
    assert made.verdict == word
    assert bool(made.reasons) == (word != "pass")
    assert exit_code([made], fail_on) == code
    assert exit_code([outcome_of(), made], fail_on) == code
    assert overall([outcome_of(), made]) == word


def test_what_fails_is_chosen() -> None:
    assert causes("slo, regression") == ("slo", "regression")
    assert causes("never") == ()
    assert causes(",".join(outcome.CAUSES)) == outcome.CAUSES
    with pytest.raises(ScenarioError, match="--fail-on"):
        causes("slo,never")
