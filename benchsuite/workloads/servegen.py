"""A service as the sum of its clients, each bursty in its own way (ServeGen, arXiv:2505.09999).

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
from benchsuite.request import Request, Session
from benchsuite.spec import Count, DataPath, Positive, Seconds, Spec
from benchsuite.workloads import client_pool
from benchsuite.workloads.client_pool import Client, Window
from benchsuite.workloads.lengths import tied
from benchsuite.workloads.prompts import Piece, Pieces
from benchsuite.workloads.tokenizer import Tokenizer

_PROMPT_FIELDS: Final = ("input_tokens", "text_tokens")
_MEDIA_FIELDS: Final = ("image_tokens", "audio_tokens", "video_tokens")
_DRAWN: Final = 256  # gaps at a time

Correlation = Annotated[float, Meta(gt=-1, lt=1)]


class _Asked(NamedTuple):
    """One request of one client; ordered by time."""

    at_s: float
    client: str
    number: int  # of the client's requests
    prompt_tokens: int
    output_tokens: int


class ServeGen(Spec, frozen=True, tag="servegen"):
    """Requests of a pool of clients, each with its own rate, burstiness and lengths over time.

    The pool is a folder of ServeGen's `chunk-*` files, or a JSONL with a client a line. Recorded
    times (`arrivals: {type: timestamps}`) are those drawn for the clients from `start` on, for
    `duration`; `rate_scale` multiplies every client's rate and leaves its burstiness. A request's
    tenant is its client. Lengths are multiplied by `token_scale` and clipped to the limits. Tokens
    of images, sound and video are sent as text. `rank_correlation` ties a request's prompt length
    to its output length (Spearman's rho, by a Gaussian copula).
    """

    is_endless: ClassVar[bool] = False

    path: DataPath
    duration: Seconds
    start: Seconds = 0.0
    rate_scale: Positive = 1.0
    token_scale: Positive = 1.0
    rank_correlation: Correlation = 0.0
    max_prompt_tokens: Count | None = None
    max_output_tokens: Count | None = None
    ignore_eos: bool = True

    def sessions(self, tokenizer: Tokenizer, seed: int) -> Iterator[Session]:
        """With `start_s` from `start` on."""
        clients = client_pool.read(self.path)
        asked = heapq.merge(*(self._requests(client, seed) for client in clients))
        index = -1
        for index, one in enumerate(asked):
            pieces = (Piece(("client", one.client, one.number), one.prompt_tokens),)
            request = Request(
                id=index,
                prompt=Pieces(tokenizer, seed, pieces),
                prompt_tokens=one.prompt_tokens,
                max_output_tokens=one.output_tokens,
                ignore_eos=self.ignore_eos,
                tenant=one.client,
            )
            yield Session(index, (request,), start_s=one.at_s)
        if index < 0:
            end_s = self.start + self.duration
            raise ScenarioError(
                f"{self.path}: no client sends anything from {self.start:g} s to {end_s:g} s"
            )

    def notes(self) -> tuple[str, ...]:
        clients = client_pool.read(self.path)
        fields = {name for client in clients for table in client.tables for name in table}
        notes = []
        if media := [name for name in _MEDIA_FIELDS if name in fields]:
            notes.append(f"{', '.join(media)} of the pool are sent as text")
        if "reason_ratio" in fields:
            notes.append("reason_ratio of the pool is not asked of the server")
        return tuple(notes)

    def _requests(self, client: Client, seed: int) -> Iterator[_Asked]:
        times_rng = streams.rng(seed, "client_times", client.name)
        sizes_rng = streams.rng(seed, "client_sizes", client.name)
        end_s = self.start + self.duration
        for number, at_s in enumerate(self._times(client, times_rng, end_s)):
            tables = client.sizes_at(at_s)
            prompt_at, output_at = tied(self.rank_correlation, sizes_rng, sizes_rng)
            prompt = next(
                (tables[name].at(prompt_at) for name in _PROMPT_FIELDS if name in tables), 0
            )
            for name in _MEDIA_FIELDS:
                share = sizes_rng.random()
                prompt += tables[name].at(share) if name in tables else 0
            output = tables["output_tokens"].at(output_at) if "output_tokens" in tables else 1
            yield _Asked(
                at_s - self.start,
                client.name,
                number,
                _sized(prompt, self.token_scale, self.max_prompt_tokens),
                _sized(output, self.token_scale, self.max_output_tokens),
            )

    def _times(self, client: Client, rng: Generator, end_s: float) -> Iterator[float]:
        """One renewal process through all windows, in a time that runs as fast as the rate says: a
        window's gaps have its shape, and one that reaches beyond it goes on at the next one's rate.
        """
        windows = [one for one in client.windows if one.start_s < end_s]
        ends_s = [*(one.start_s for one in windows), end_s][1:]
        left = -1.0  # of the gap to the next request, in expected requests
        for window, window_end_s in zip(windows, ends_s, strict=True):
            start_s = max(window.start_s, self.start)
            rate = window.rate * self.rate_scale
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


def _sized(tokens: int, scale: float, limit: int | None) -> int:
    scaled = max(1, round(tokens * scale))
    return scaled if limit is None else min(scaled, limit)
