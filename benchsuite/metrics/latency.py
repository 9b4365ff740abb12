"""How long answers take: per request, per token, per chunk. Definitions: docs/metrics.md.

Chunks that came in one read of the socket have one stamp: they are one arrival. What came in the
first arrival has no gap before it, so `tpot` and `itl` leave its tokens out.
"""

from typing import NamedTuple

import numpy as np

from benchsuite.records.columns import room
from benchsuite.records.table import BoolArray, FloatArray, Int32Array, IntArray, RunData


def ttft(data: RunData) -> FloatArray:
    """From when the request was due to its first generated token of any kind (text, reasoning or
    tool call); empty and role-only chunks are no tokens. Counted from due, so that a client that
    falls behind cannot flatter the server (coordinated omission). Where nothing is due, as in a
    closed loop, from when it was sent. Undefined if no token came.
    Source: MLPerf Inference rules."""
    return data.first_token_s - data.origin_s


def ttft_sent(data: RunData) -> FloatArray:
    """From when the first byte of the request left to its first generated token: what clients
    report that do not know when a request was due. Equals `ttft` if the generator keeps time.
    Source: vLLM and SGLang bench_serving, ttft."""
    return data.first_token_s - data.sent_s


def ttfo(data: RunData) -> FloatArray:
    """From when the request was due to its first visible token: text or a tool call, not reasoning.
    Equals `ttft` for a model that does not reason. Undefined if nothing visible came.
    Source: AIPerf, time_to_first_output_token."""
    return data.first_output_s - data.origin_s


def tpot(data: RunData) -> FloatArray:
    """Mean time per output token after the first arrival: (last token - first token) / (output
    tokens - tokens of the first arrival). With one token per chunk this is the usual
    (last - first) / (n - 1); a server that sends several tokens at once cannot flatter itself with
    those of the first chunk. Of a request for n answers (`n` or several prompts) it is the time per
    token of them all, which stream side by side: about an n-th of what each one's reader sees.
    Undefined, not zero, for an answer of one token or one arrival. Source: MLPerf Endpoints."""
    tokens = tokens_after_first(data).astype(np.float64)
    time_s = data.last_token_s - data.first_token_s
    return _ratio(time_s, tokens, (tokens > 0) & (data.once(_first_arrivals).num_later > 0))


def tokens_after_first(data: RunData) -> IntArray:
    """Output tokens that came after the first arrival, [n]."""
    after: IntArray = data.output_tokens - data.once(_first_arrivals).tokens
    return after


def itl(data: RunData) -> FloatArray:
    """Gap between successive output tokens, one value per token. Tokens that came in one arrival
    share the gap before it evenly: k tokens after a gap g are k values of g / k. The tokens of the
    first arrival have no gap and are left out, so the mean over one request is its `tpot`; gaps of
    a request for several answers are between tokens of any of them. Quantiles are over tokens: long
    answers weigh more. Papers also call it time between tokens. Source: Sarathi-Serve, OSDI'24."""
    found, gap_s = data.arrivals, data.once(arrival_gaps)
    if _is_1(found.tokens):
        return gap_s
    return np.repeat(gap_s / np.maximum(found.tokens, 1), found.tokens)


def median_itl(data: RunData) -> float:
    """Median `itl` of the requests in the window that ended well; NaN where there is none."""

    def usable_s(data: RunData) -> FloatArray:
        return itl(data)[data.per_token(data.in_window & data.ok)]

    gap_s = data.gathered(usable_s)
    return float(np.median(gap_s, overwrite_input=True)) if len(gap_s) else np.nan


def arrival_gaps(data: RunData) -> FloatArray:
    """Time before each arrival, [arrivals]; NaN for the first of a request."""
    found = data.arrivals
    gap_s = room(len(found.at_s), np.float64)
    gap_s[:1] = np.nan
    np.subtract(found.at_s[1:], found.at_s[:-1], out=gap_s[1:])
    gap_s[found.is_first] = np.nan
    gap_s.flags.writeable = False  # many share it
    return gap_s


def icl(data: RunData) -> FloatArray:
    """Gap between successive chunks as they came, one value per chunk, however many tokens each
    holds; zero between chunks that came in one read. vLLM and others call it inter-token latency.
    Source: AIPerf, inter_chunk_latency."""
    if len(data.arrivals.at_s) == len(data.chunk_s):  # each came alone
        return data.once(arrival_gaps)
    gap_s = np.full(len(data.chunk_s), np.nan)
    gap_s[1:] = np.diff(data.chunk_s)
    gap_s[data.is_first_chunk] = np.nan
    return gap_s


def twin_of_icl(data: RunData) -> str | None:
    """`itl`, where every chunk is one token and came alone."""
    return "itl" if data.once(_are_chunks_tokens) else None


def _are_chunks_tokens(data: RunData) -> bool:
    return all(piece.is_new_read.all() and _is_1(piece.chunk_tokens) for piece in data.pieces())


def _is_1(tokens: Int32Array) -> bool:
    return bool((tokens == 1).all())


def e2e_latency(data: RunData) -> FloatArray:
    """From when the request was due to the end of its response stream. Where nothing is due, from
    when it was sent."""
    return data.finished_s - data.origin_s


def e2e_latency_sent(data: RunData) -> FloatArray:
    """From when the first byte of the request left to the end of its response stream."""
    return data.finished_s - data.sent_s


def normalised_latency(data: RunData) -> FloatArray:
    """`e2e_latency` / output tokens: the waiting for the first token is shared by all of them, so
    it falls as answers grow longer. Undefined for an answer without tokens.
    Source: Orca, OSDI'22."""
    tokens = data.output_tokens.astype(np.float64)
    return _ratio(e2e_latency(data), tokens, tokens > 0)


def tps_user(data: RunData) -> FloatArray:
    """1 / `tpot`: how fast one user sees tokens come, after the first. Undefined where `tpot` is,
    and where all tokens came at one instant. Source: InferenceMAX, interactivity."""
    tpot_s = tpot(data)
    return _ratio(np.ones(len(data)), tpot_s, tpot_s > 0)


def itl_p99(data: RunData) -> FloatArray:
    """The 99th percentile of one request's own `itl`, [n]; NaN where it has no gap. For SLOs."""
    return data.by_request(_own_p99)


def _own_p99(data: RunData) -> FloatArray:
    gap_s = itl(data)
    known = ~np.isnan(gap_s)
    owner, gap_s = data.per_token(np.arange(len(data)))[known], gap_s[known]
    gap_s = gap_s[np.lexsort((gap_s, owner))]
    num = np.bincount(owner, minlength=len(data))
    has_gap = num > 0
    rank = 0.99 * np.maximum(num - 1, 0)[has_gap]  # linear interpolation, as everywhere
    below = np.floor(rank).astype(np.int64)
    above = np.ceil(rank).astype(np.int64)
    start = (np.cumsum(num) - num)[has_gap]
    low, high = gap_s[start + below], gap_s[start + above]
    result = np.full(len(data), np.nan)
    result[has_gap] = low + (high - low) * (rank - below)
    return result


def _ratio(top: FloatArray, bottom: FloatArray, is_defined: BoolArray) -> FloatArray:
    result = np.full(len(top), np.nan)
    result[is_defined] = top[is_defined] / bottom[is_defined]
    return result


class _First(NamedTuple):
    """About the first arrival of each request, [n]."""

    tokens: IntArray  # that came with it; 0 where nothing came
    num_later: IntArray  # arrivals after it


def _first_arrivals(data: RunData) -> _First:
    found = [_first_of_piece(piece) for piece in data.pieces()]
    return _First(*(np.concatenate(column) for column in zip(*found, strict=True)))


def _first_of_piece(data: RunData) -> _First:
    found = data.arrivals
    first = np.flatnonzero(found.is_first)
    tokens = np.zeros(len(data), dtype=np.int64)
    tokens[found.num > 0] = found.tokens[first]
    return _First(tokens, np.maximum(found.num - 1, 0))
