"""How much comes out per second of the measurement window; how long prompts and answers were."""

import numpy as np

from benchsuite.records.table import BoolArray, FloatArray, IntArray, RunData


def request_rate(data: RunData) -> FloatArray:
    """Requests whose answer ended well inside the measurement window / length of the window,
    whenever they were sent. A warm-up of zero leaves the start, when nothing has been answered yet,
    in the window: the rate is then below the steady one."""
    return ended_per_second(data.ok, data)


def output_token_rate(data: RunData) -> FloatArray:
    """Output tokens that arrived inside the measurement window / length of the window, whenever
    their request was sent. Tokens of requests that did not end well are not counted: nobody was
    served by them."""
    return _per_second(data.once(output_tokens_inside), data)


def total_token_rate(data: RunData) -> FloatArray:
    """`output_token_rate` plus prompt tokens per second, cached ones included. A prompt counts as
    processed at its first output token, so it counts where that token came inside the window."""
    return _per_second(data.once(output_tokens_inside) + prompt_tokens_inside(data), data)


def uncached_token_rate(data: RunData) -> FloatArray:
    """Tokens that had to be computed: `total_token_rate` without the prompt tokens that the server
    says it had cached. Equals `total_token_rate` where it says nothing."""
    prefilled = data.ok & _inside(data.first_token_s, data)
    uncached = (data.prompt_tokens - np.maximum(data.cached_tokens, 0))[prefilled]
    return _per_second(data.once(output_tokens_inside) + float(uncached.sum()), data)


def prompt_tokens(data: RunData) -> FloatArray:
    """Prompt tokens of a request: the server's count where it reports one (its chat template
    included), else that of the scenario's tokenizer."""
    return data.prompt_tokens.astype(np.float64)


def output_tokens(data: RunData) -> FloatArray:
    """Output tokens of a request, reasoning included: the server's count where it reports one,
    else that of the scenario's tokenizer."""
    return data.output_tokens.astype(np.float64)


def reasoning_tokens(data: RunData) -> FloatArray:
    """Output tokens that the model spent on reasoning, as the server counts them. Undefined where
    it does not say."""
    return np.where(data.reasoning_tokens >= 0, data.reasoning_tokens, np.nan)


def answer_tokens(data: RunData) -> FloatArray:
    """Output tokens less `reasoning_tokens`: what the user asked for. Undefined where the server
    does not tell them apart. Its time to first token is `ttfo`."""
    return output_tokens(data) - reasoning_tokens(data)


def lacks_reasoning(data: RunData) -> str | None:
    """A count of zero everywhere is a model that does not reason, or a server that cannot tell."""
    return None if (data.reasoning_tokens > 0).any() else "the server reported no reasoning tokens"


def ended_per_second(amount: BoolArray | IntArray, data: RunData) -> FloatArray:
    """What requests that ended inside the window bring, per second of it, [1]. `amount`: of each,
    [n], or which of them count."""
    ended = amount * _inside(data.finished_s, data)
    return _per_second(float(np.sum(ended)), data)


def prompt_tokens_inside(data: RunData) -> float:
    """Prompt tokens of requests that ended well and got their first token in the window."""
    prefilled = data.ok & _inside(data.first_token_s, data)
    return float(data.prompt_tokens[prefilled].sum())


def output_tokens_inside(data: RunData) -> float:
    """Output tokens that arrived in the window, of requests that ended well."""
    return float(sum(map(_tokens_inside, data.pieces())))


def _tokens_inside(data: RunData) -> int:
    counted = data.per_chunk(data.ok) & _inside(data.chunk_s, data)
    return int(data.chunk_tokens[counted].sum())


def _inside(at_s: FloatArray, data: RunData) -> BoolArray:
    start_s, end_s = data.window_s
    return (at_s >= start_s) & (at_s < end_s)


def _per_second(amount: float, data: RunData) -> FloatArray:
    start_s, end_s = data.window_s
    return np.array([amount / (end_s - start_s) if end_s > start_s else np.nan])
