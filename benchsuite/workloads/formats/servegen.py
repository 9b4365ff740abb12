"""Requests drawn for the clients of a pool (ServeGen; Xiang et al., arXiv:2505.09999).

Unlike ServeGen's own generator, how many requests come in a window is left to chance (no gaps are
rescaled to fill it), and a request's lengths are drawn each for itself, or tied by a correlation
that is asked for.
"""

import heapq
import math
from collections.abc import Iterator
from typing import Annotated, ClassVar, Final, NamedTuple

import numpy as np
from msgspec import Meta
from numpy.random import Generator
from numpy.typing import NDArray

from benchsuite import streams
from benchsuite.errors import ScenarioError
from benchsuite.spec import DataPath, Positive, Seconds, Spec
from benchsuite.workloads.formats import client_pool
from benchsuite.workloads.formats.base import TraceRow
from benchsuite.workloads.formats.client_pool import Client, Window
from benchsuite.workloads.lengths import tied

MEDIA_FIELDS: Final = ("image_tokens", "audio_tokens", "video_tokens")
_PROMPT_FIELDS: Final = ("input_tokens", "text_tokens")
_DRAWN: Final = 256  # gaps at a time

Correlation = Annotated[float, Meta(gt=-1, lt=1)]


class Asked(NamedTuple):
    """What is drawn of a pool."""

    path: str
    start_s: float
    duration_s: float
    rate_scale: float
    rank_correlation: float


class Drawn(NamedTuple):
    """One request of one client; ordered by time."""

    at_s: float  # from `start_s` on
    client: str
    number: int  # of the client's requests
    prompt_tokens: int  # those of images, sound and video with them
    output_tokens: int


class ClientPool(Spec, frozen=True, tag="servegen"):
    """Requests drawn for the clients of a ServeGen pool, each with its own rate and burstiness.

    The same as the workload `servegen` asks, as rows: to be written down, described or fitted. The
    pool is a folder of ServeGen's `chunk-*` files, or a JSONL with a client a line. Which requests
    come, `seed` decides alone.
    """

    block_tokens: ClassVar[int] = 1  # the format has no hash ids

    path: DataPath  # the folder, or the JSONL, plain or gzipped
    duration: Seconds  # of the pool's time from `start` on
    start: Seconds = 0.0  # in the pool's time
    rate_scale: Positive = 1.0  # of every client's rate
    rank_correlation: Correlation = 0.0  # Spearman's, of prompt and output lengths
    seed: int = 0  # of what is left to chance

    def rows(self) -> Iterator[TraceRow]:
        """`line` counts the requests: a pool has none of its own."""
        asked = Asked(self.path, self.start, self.duration, self.rate_scale, self.rank_correlation)
        for line, one in enumerate(drawn(asked, self.seed), start=1):
            yield TraceRow(
                line=line,
                arrival_s=one.at_s,
                prompt_tokens=one.prompt_tokens,
                output_tokens=one.output_tokens,
                tenant=one.client,
            )


def drawn(asked: Asked, seed: int) -> Iterator[Drawn]:
    """Requests by time. Raises ScenarioError if there are none."""
    clients = client_pool.read(asked.path)
    found = heapq.merge(*(_requests(client, asked, seed) for client in clients))
    first = next(found, None)
    if first is None:
        end_s = asked.start_s + asked.duration_s
        raise ScenarioError(
            f"{asked.path}: no client sends anything from {asked.start_s:g} s to {end_s:g} s"
        )
    yield first
    yield from found


def _requests(client: Client, asked: Asked, seed: int) -> Iterator[Drawn]:
    times_rng = streams.rng(seed, "client_times", client.name)
    sizes_rng = streams.rng(seed, "client_sizes", client.name)
    for number, at_s in enumerate(_times(client, asked, times_rng)):
        tables = client.sizes_at(at_s)
        prompt_at, output_at = tied(asked.rank_correlation, sizes_rng, sizes_rng)
        prompt = next((tables[name].at(prompt_at) for name in _PROMPT_FIELDS if name in tables), 0)
        for name in MEDIA_FIELDS:
            share = sizes_rng.random()
            prompt += tables[name].at(share) if name in tables else 0
        output = tables["output_tokens"].at(output_at) if "output_tokens" in tables else 1
        yield Drawn(at_s - asked.start_s, client.name, number, prompt, output)


def _times(client: Client, asked: Asked, rng: Generator) -> Iterator[float]:
    """One renewal process through all windows, in a time that runs as fast as the rate says: a
    window's gaps have its shape, and one that reaches beyond it goes on at the next one's rate.
    """
    end_s = asked.start_s + asked.duration_s
    windows = [one for one in client.windows if one.start_s < end_s]
    ends_s = [*(one.start_s for one in windows), end_s][1:]
    left = -1.0  # of the gap to the next request, in expected requests
    for window, window_end_s in zip(windows, ends_s, strict=True):
        start_s = max(window.start_s, asked.start_s)
        rate = window.rate * asked.rate_scale
        if not rate or window_end_s <= start_s:
            continue
        if left < 0:
            left = _first_gap(window, rng)
        expected = rate * (window_end_s - start_s)
        at = left
        while at < expected:
            gaps = _gaps(window, rng, _DRAWN)
            events = at + np.concatenate(([0.0], np.cumsum(gaps)))
            for event in events[:-1][events[:-1] < expected].tolist():
                yield start_s + event / rate
            over = events[events >= expected]
            at = float(over[0]) if len(over) else float(events[-1])
        left = at - expected


def _gaps(window: Window, rng: Generator, num: int) -> NDArray[np.float64]:
    """Gaps with mean 1."""
    shape = window.shape
    if window.family == "Gamma":
        return rng.gamma(shape, 1.0 / shape, num)
    return rng.weibull(shape, num) / math.gamma(1.0 + 1.0 / shape)


def _first_gap(window: Window, rng: Generator) -> float:
    """From a moment that nobody chose to the next request: an even share of a gap drawn in
    proportion to its length. To begin with a whole gap would bring too many, the more so the
    burstier the client (Cox, "Renewal theory", 1962)."""
    shape, share = window.shape, rng.random()
    if window.family == "Gamma":
        return share * float(rng.gamma(shape + 1.0, 1.0 / shape))
    longer = math.pow(rng.gamma(1.0 + 1.0 / shape), 1.0 / shape)
    return share * longer / math.gamma(1.0 + 1.0 / shape)
