"""What the peers' definitions are made of: the requests of a run as such a tool sees them.

Every one of them counts from sent, over the whole run (what was due in the warm-up is left out),
drain included. Where a tool counts what we do not keep (empty chunks, the end of its own event
loop) its module says so.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from benchsuite.records.table import BoolArray, FloatArray, IntArray, RunData

Definitions = Callable[[RunData], dict[str, float]]
"""name, as the tool prints it -> value, in the tool's unit; NaN where it would have none."""


class Seen(NamedTuple):
    """The requests that ended well, [n], in order of sending."""

    sent_s: FloatArray
    first_s: FloatArray  # first chunk with a token
    last_s: FloatArray  # last chunk with a token
    ended_s: FloatArray  # end of the stream
    prompt_tokens: IntArray
    output_tokens: IntArray
    gaps_s: FloatArray  # between chunks of one answer, all answers in a row, [gaps]
    gap_of: IntArray  # whose gap, [gaps]
    num_failed: int
    begun_s: float  # first request sent, whether it ended well or not

    @property
    def ttft_s(self) -> FloatArray:
        return self.first_s - self.sent_s

    @property
    def latency_s(self) -> FloatArray:
        """Until the last token."""
        return self.last_s - self.sent_s

    @property
    def has_tpot(self) -> BoolArray:
        return self.output_tokens > 1

    @property
    def tpot_s(self) -> FloatArray:
        """(latency - ttft) / (output tokens - 1), of answers of more than one token."""
        chosen = self.has_tpot
        return (self.last_s - self.first_s)[chosen] / (self.output_tokens[chosen] - 1)


def seen(data: RunData) -> Seen:
    """The run as a client sees it that knows nothing of due times."""
    measured = data.origin_s >= data.window_s[0]
    good = np.flatnonzero(measured & data.ok & ~np.isnan(data.first_token_s))
    good = good[np.argsort(data.sent_s[good], kind="stable")]
    place = np.full(len(data), -1)
    place[good] = np.arange(len(good))
    gaps_s = np.diff(data.chunk_s)
    place_of_chunk = data.per_chunk(place)[1:]
    chosen = ~data.is_first_chunk[1:] & (place_of_chunk >= 0)
    sent = measured & ~np.isnan(data.sent_s)
    return Seen(
        sent_s=data.sent_s[good],
        first_s=data.first_token_s[good],
        last_s=data.last_token_s[good],
        ended_s=data.finished_s[good],
        prompt_tokens=data.prompt_tokens[good],
        output_tokens=data.output_tokens[good],
        gaps_s=gaps_s[chosen],
        gap_of=place_of_chunk[chosen],
        num_failed=int(np.count_nonzero(sent)) - len(good),
        begun_s=float(data.sent_s[sent].min()) if sent.any() else float("nan"),
    )


def linear(values: FloatArray, percent: float) -> float:
    """numpy's default percentile; NaN of nothing."""
    return float(np.percentile(values, percent)) if len(values) else float("nan")


def mean(values: FloatArray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def spread(values: FloatArray) -> float:
    """Standard deviation of the values as a population (n, not n - 1)."""
    return float(values.std()) if len(values) else float("nan")


def ratio(top: float, bottom: float) -> float:
    return top / bottom if bottom else float("nan")
