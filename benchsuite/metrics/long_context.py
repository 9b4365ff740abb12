"""How latency grows with length: first tokens with the prompt, later ones with the context.

Slopes are of the server only where nothing queues: take them from a run at low load whose prompts
differ in length. Under load they hold waiting as well, and their intervals grow.
"""

from typing import Final

import numpy as np

from benchsuite.metrics import fits
from benchsuite.metrics.base import Interval
from benchsuite.metrics.latency import tpot, ttft_sent
from benchsuite.metrics.statistics import percentile_interval
from benchsuite.records.table import FloatArray, RunData

SPREAD: Final = 2.0  # the longest of the usual lengths must be so many times the shortest
MIN_REQUESTS: Final = 20


def ttft_per_prompt_token(data: RunData) -> FloatArray:
    """Slope of `ttft_sent` over the prompt tokens that were not cached, by least squares: what
    another 1,000 tokens of prompt cost, over 1,000. Interval: bootstrap over sessions."""
    return _value(data.once(ttft_line), "slope")


def ttft_overhead(data: RunData) -> FloatArray:
    """What `ttft_per_prompt_token`'s line says of a prompt of no tokens: network, queue, the first
    step. Interval: bootstrap over sessions."""
    return _value(data.once(ttft_line), "intercept")


def tpot_per_context_token(data: RunData) -> FloatArray:
    """Slope of `tpot` over the mean context while decoding (prompt and half the answer), by least
    squares: what each token of context costs each decoded token. Interval: bootstrap over
    sessions. Source: LeanAttention, arXiv:2405.10480."""
    return _value(data.once(tpot_line), "slope")


def tpot_overhead(data: RunData) -> FloatArray:
    """What `tpot_per_context_token`'s line says of an empty context: the weights, the step.
    Interval: bootstrap over sessions."""
    return _value(data.once(tpot_line), "intercept")


def gamma_measured(data: RunData) -> FloatArray:
    """The price of one decoded token and one token of its context in prefilled tokens, as this
    endpoint has it: `tpot_per_context_token` / `ttft_per_prompt_token`. Beside a gamma worked out
    from the model it says how far PTE's premises hold. Interval: bootstrap over sessions."""
    first, later = data.once(ttft_line), data.once(tpot_line)
    if first is None or later is None or not first.slope > 0:
        return np.array([np.nan])
    return np.array([later.slope / first.slope])


def gamma_interval(data: RunData) -> Interval | None:
    first, later = data.once(ttft_line), data.once(tpot_line)
    if first is None or later is None or first.slope_ci is None or first.slope_ci[0] <= 0:
        return None
    if len(first.slopes) != len(later.slopes) or not len(first.slopes):
        return None
    return percentile_interval(later.slopes / first.slopes)


def slope_interval(data: RunData) -> Interval | None:
    found = data.once(ttft_line)
    return found and found.slope_ci


def overhead_interval(data: RunData) -> Interval | None:
    found = data.once(ttft_line)
    return found and found.intercept_ci


def tpot_slope_interval(data: RunData) -> Interval | None:
    found = data.once(tpot_line)
    return found and found.slope_ci


def tpot_overhead_interval(data: RunData) -> Interval | None:
    found = data.once(tpot_line)
    return found and found.intercept_ci


def ttft_line(data: RunData) -> fits.Line | None:
    """`ttft_sent` over uncached prompt tokens, of what counts."""
    return line_of(uncached_tokens(data), ttft_sent(data), data)


def tpot_line(data: RunData) -> fits.Line | None:
    """`tpot` over the mean context, of what counts."""
    return line_of(_mean_context(data), data.once(tpot), data)


def uncached_tokens(data: RunData) -> FloatArray:
    """Prompt tokens that had to be computed, [n]; all of them where the server says nothing."""
    return (data.prompt_tokens - np.maximum(data.cached_tokens, 0)).astype(np.float64)


def _mean_context(data: RunData) -> FloatArray:
    return data.prompt_tokens + data.output_tokens / 2


def lacks_prompts(data: RunData) -> str | None:
    return _lacks(uncached_tokens(data), data, "uncached prompts")


def lacks_contexts(data: RunData) -> str | None:
    return _lacks(_mean_context(data), data, "contexts")


def lacks_lengths(data: RunData) -> str | None:
    return lacks_prompts(data) or lacks_contexts(data)


def _lacks(lengths: FloatArray, data: RunData, what: str) -> str | None:
    lengths = lengths[data.in_window & data.ok]
    if len(lengths) < MIN_REQUESTS:
        return f"{len(lengths)} answers; a line takes {MIN_REQUESTS}"
    short, long = np.quantile(lengths, [0.05, 0.95])
    if long < SPREAD * max(short, 1.0):
        return f"{what} of {short:,.0f} to {long:,.0f} tokens (90 % of them): too alike for a line"
    return None


def line_of(x: FloatArray, y: FloatArray, data: RunData) -> fits.Line | None:
    """The line of `y` over `x` [n] through the requests that count."""
    chosen = data.in_window & data.ok
    return fits.line(x[chosen], y[chosen], data.session[chosen], data.num_sessions)


def _value(found: fits.Line | None, part: str) -> FloatArray:
    return np.array([np.nan if found is None else getattr(found, part)])
