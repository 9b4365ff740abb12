"""PTE: what a conversation with tools costs, in prefill-token equivalents.

A turn i of prompt Dp_i and answer Dd_i costs Dp_i + gamma * Dp_i * Dd_i: every prompt token is
computed, and each decoded token reads the whole context, at gamma a token. Four variants differ in
what a cache saves and in gamma; each says what it was worked out with (`gammas` in result.json).
"Beyond Accuracy: Unveiling Inefficiency Patterns in Tool-Integrated Reasoning", arXiv:2604.05404.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from benchsuite.metrics import fits
from benchsuite.metrics.answers import lacks_grades, per_right_answer
from benchsuite.metrics.base import Interval, Metric
from benchsuite.metrics.cost import price
from benchsuite.metrics.long_context import gamma_measured, lacks_lengths
from benchsuite.metrics.system import System
from benchsuite.metrics.token_costs import (
    EXACT_PEAK,
    PAPER_PEAK,
    decode_price,
    gamma_paper,
)
from benchsuite.metrics.tool_patterns import pattern_metrics
from benchsuite.records.table import BoolArray, FloatArray, IntArray, RunData

MIN_TURNS: Final = 3  # averages of turns that a correlation takes

Costs = Callable[[RunData], FloatArray]


def with_gamma(data: RunData, gamma: float, reused: FloatArray | float = 0.0) -> FloatArray:
    """PTE of each request, [n]: (Dp - reused) + gamma * Dp * Dd."""
    prompt, output = data.prompt_tokens, data.output_tokens
    found: FloatArray = prompt - reused + gamma * prompt * output
    return found


def earlier_context(data: RunData) -> IntArray:
    """Tokens of a prompt that the turn before it has left behind, [n]: its prompt and its answer,
    as far as this prompt is that long; 0 in a first turn, and after one that failed."""
    order = np.lexsort((data.turn, data.session))
    before = np.full(len(data), -1)
    follows = data.session[order][1:] == data.session[order][:-1]
    before[order[1:]] = np.where(follows, order[:-1], -1)
    left = np.where(data.ok, data.prompt_tokens + data.output_tokens, 0)
    found: IntArray = np.minimum(np.where(before >= 0, left[before], 0), data.prompt_tokens)
    return found


def lacks_cached(data: RunData) -> str | None:
    chosen = data.in_window & data.ok
    if (data.cached_tokens[chosen] >= 0).any():
        return None
    return "the server does not report cached tokens"


def lacks_turns(data: RunData) -> str | None:
    num = len(np.unique(data.turn[data.in_window & data.ok]))
    return f"{num} turns; a correlation takes {MIN_TURNS}" if num < MIN_TURNS else None


def pte_metrics(system: System) -> tuple[Metric, ...]:
    """PTE in its variants, bound to the model and the accelerator."""

    def gamma() -> float:
        assert system.model is not None
        assert system.accelerator is not None
        return gamma_paper(system.model, system.accelerator.flops_per_byte(PAPER_PEAK))

    def reused(data: RunData) -> FloatArray:
        return np.where(data.cached_tokens >= 0, data.cached_tokens, np.nan)

    def paper(data: RunData) -> FloatArray:
        """Prefill-token equivalents of a request as the paper has them: all of its prompt is
        computed, whatever a cache held, and gamma is worked out from hidden size and the
        accelerator's sparse peak. Source: PTE, arXiv:2604.05404."""
        return with_gamma(data, gamma())

    def cache(data: RunData) -> FloatArray:
        """`pte_paper` less the prompt tokens that the server says it had cached. The decoded tokens
        read them all the same. The cache term is ours. Source: PTE, arXiv:2604.05404."""
        return with_gamma(data, gamma(), reused(data))

    def ideal(data: RunData) -> FloatArray:
        """`pte_paper` if a turn found all that the one before it had left, prompt and answer: what
        a cache that forgets nothing within a session would leave to pay. The cache term is ours.
        Source: PTE, arXiv:2604.05404."""
        return with_gamma(data, gamma(), data.once(earlier_context).astype(np.float64))

    def exact(data: RunData) -> FloatArray:
        """`pte_cache` (`pte_paper` where no cached tokens are reported) with the true width of keys
        and values, windows that cut the context, and the accelerator's dense peak. Source: ours,
        after PTE, arXiv:2604.05404."""
        assert system.model is not None
        assert system.accelerator is not None
        ridge = system.accelerator.flops_per_byte(EXACT_PEAK)
        each = decode_price(system.model, ridge, data.prompt_tokens)
        uncached = data.prompt_tokens - np.maximum(data.cached_tokens, 0)
        found: FloatArray = uncached + each * data.output_tokens
        return found

    def measured(data: RunData) -> FloatArray:
        """`pte_cache` (`pte_paper` where no cached tokens are reported) with the endpoint's own
        `gamma_measured`. Source: ours, after PTE, arXiv:2604.05404."""
        price_each = float(data.once(gamma_measured)[0])
        return with_gamma(data, price_each, np.maximum(data.cached_tokens, 0).astype(np.float64))

    def tax(data: RunData) -> FloatArray:
        """`pte_paper` less `pte_cache`: what this request would cost more if, as the paper assumes,
        everything were evicted before each call. Source: ours, after PTE, arXiv:2604.05404."""
        return reused(data)

    def again(data: RunData) -> FloatArray:
        """Prompt tokens that were computed again although the turn before had left them behind:
        `pte_cache` less `pte_ideal`, at least zero. Cached in whole blocks, so up to a block of it
        is rounding. Source: ours, after PTE, arXiv:2604.05404."""
        evicted: FloatArray = np.maximum(data.once(earlier_context) - reused(data), 0.0)
        return evicted

    def session(data: RunData) -> FloatArray:
        """`pte_paper` of a session, all its turns together: the paper's cost of one trajectory.
        Source: PTE, arXiv:2604.05404."""
        return _by_session(paper(data), data)

    def session_cache(data: RunData) -> FloatArray:
        """`pte_cache` of a session, all its turns together. Source: PTE, arXiv:2604.05404."""
        return _by_session(cache(data), data)

    def per_correct(data: RunData) -> FloatArray:
        """`pte_paper` of all requests of the window that ended well / right answers among them:
        wrong answers are paid for too. Source: PTE, arXiv:2604.05404."""
        return np.array([per_right_answer(paper(data), data)])

    def tokens(data: RunData) -> FloatArray:
        return (data.prompt_tokens + data.output_tokens).astype(np.float64)

    def of_model(data: RunData) -> str | None:
        return system.lacks

    def of_cache(data: RunData) -> str | None:
        return system.lacks or lacks_cached(data)

    def of_price(data: RunData) -> str | None:
        known = system.prices is not None and price(data, system.prices) is not None
        return None if known else "no price of tokens in deployment.prices"

    def paid(data: RunData) -> FloatArray:
        assert system.prices is not None
        found = price(data, system.prices)
        assert found is not None
        return found

    return (
        Metric("pte_paper", "PTE, nothing cached", "tokens", "lower", "request", paper,
               lacks=of_model),
        Metric("pte_cache", "PTE, as cached", "tokens", "lower", "request", cache, lacks=of_cache),
        Metric("pte_ideal", "PTE, all cached", "tokens", "lower", "request", ideal, lacks=of_model),
        Metric("pte_exact", "PTE, exact gamma", "tokens", "lower", "request", exact,
               lacks=of_model),
        Metric("pte_measured", "PTE, measured gamma", "tokens", "lower", "request", measured,
               lacks=lacks_lengths),
        Metric("eviction_tax", "Eviction tax", "tokens", "lower", "request", tax,
               lacks=lacks_cached),
        Metric("recomputed_tokens", "Computed again", "tokens", "lower", "request", again,
               lacks=lacks_cached),
        Metric("pte_session", "PTE of a session, nothing cached", "tokens", "lower", "session",
               session, lacks=of_model),
        Metric("pte_session_cache", "PTE of a session, as cached", "tokens", "lower", "session",
               session_cache, lacks=of_cache),
        Metric("pte_per_correct", "PTE per right answer", "tokens", "lower", "run", per_correct,
               lacks=lambda data: system.lacks or lacks_grades(data)),
        *pattern_metrics(paper, system.lacks),
        *_against_time("pte_paper", "PTE, nothing cached", paper, of_model),
        *_against_time("pte_cache", "PTE, as cached", cache, of_cache),
        *_against_time("tokens", "Prompt and output tokens", tokens, lambda data: None),
        *_against_time("price", "The price of tokens", paid, of_price),
    )  # fmt: skip


def _by_session(values: FloatArray, data: RunData) -> FloatArray:
    """Sums, [num_sessions]; NaN where a turn's is unknown."""
    sums = np.bincount(data.session, values, minlength=data.num_sessions)
    return sums.astype(np.float64, copy=False)


def _against_time(
    name: str, title: str, costs: Costs, lacks: Callable[[RunData], str | None]
) -> tuple[Metric, ...]:
    """How well a cost foretells the time that a call takes: over calls, and over turn averages."""

    def chosen(data: RunData) -> tuple[FloatArray, FloatArray, BoolArray]:
        """(cost, seconds, which requests)"""
        counted = data.in_window & data.ok
        return costs(data)[counted], (data.finished_s - data.sent_s)[counted], counted

    def over_calls(data: RunData) -> FloatArray:
        cost, took_s, _ = chosen(data)
        return np.array([fits.correlation(cost, took_s)])

    def interval(data: RunData) -> Interval | None:
        cost, took_s, counted = chosen(data)
        return fits.correlation_interval(cost, took_s, data.session[counted], data.num_sessions)

    def over_turns(data: RunData) -> FloatArray:
        cost, took_s, counted = chosen(data)
        turn = data.turn[counted]
        num = np.bincount(turn)
        has_calls = num > 0
        means = (np.bincount(turn, one)[has_calls] / num[has_calls] for one in (cost, took_s))
        return np.array([fits.correlation(*means)])

    over_calls.__doc__ = f"""Pearson's r of {_of(name)} and the time from sent to finished, over
    all calls of the window that ended well. Interval: bootstrap over sessions. Source: PTE,
    arXiv:2604.05404."""
    over_turns.__doc__ = f"""Pearson's r of {_of(name)} and the time from sent to finished, both
    averaged over all first turns, all second turns and so on: what the paper prints. Averages hide
    how calls scatter, so it is nearer to 1 than `{name}_time_r`. Source: PTE, arXiv:2604.05404."""

    def lacks_both(data: RunData) -> str | None:
        return lacks(data) or lacks_turns(data)

    return (
        Metric(f"{name}_time_r", f"{title}: r with time", "", "higher", "run", over_calls,
               interval=interval, lacks=lacks),
        Metric(f"{name}_turn_time_r", f"{title}: r with time, by turn", "", "higher", "run",
               over_turns, lacks=lacks_both),
    )  # fmt: skip


def _of(name: str) -> str:
    words = {"tokens": "prompt and output tokens together", "price": "what the tokens cost"}
    return words.get(name, f"`{name}`")
