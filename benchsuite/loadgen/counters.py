"""What a worker counts while it sends, for whoever watches: provisional, and never in a result.

Cumulative whole numbers only, so that workers add up and the difference of two readings is what
happened between them. A stream costs one `saw` at its end; its stamps become histograms a few times
a second, all together. Nothing is decoded: a read stands for a token.
"""

import threading
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchsuite.endpoints.base import Exchange, http_status

# A bucket is an exponent and three bits behind it, so at most 1/8 wide: read off the float's bits.
_SHIFT: Final = 52 - 3
_LOWEST_S: Final = 2.0**-17  # 8 us; what is shorter falls into the first bucket
_HIGHEST_S: Final = 2.0**9  # longer ones fall into the last
_FIRST: Final = int(np.float64(_LOWEST_S).view(np.int64)) >> _SHIFT
NUM_BUCKETS: Final = (int(np.float64(_HIGHEST_S).view(np.int64)) >> _SHIFT) - _FIRST
UPPER_S: Final[NDArray[np.float64]] = (
    np.arange(_FIRST + 1, _FIRST + NUM_BUCKETS + 1, dtype=np.int64) << _SHIFT
).view(np.float64)  # [NUM_BUCKETS], where each bucket ends

NUM_SCALARS: Final = 6  # the numbers at the head of a Reading
SERIES: Final = ("ttft", "itl", "send_delay", "client_lag")
ERRORS: Final = (
    "refused",
    "connect",
    "tls",
    "timeout",
    "client_files",
    "client_ports",
    "closed",
    "reset",
    "truncated",
    "malformed_http",
    "too_large",
    "http_3xx",
    "http_4xx",
    "http_5xx",
    "interrupted",
    "other",
)
NUM_CELLS: Final = NUM_SCALARS + len(ERRORS) + len(SERIES) * NUM_BUCKETS
_DATA: Final = b"data:"
_FOLD: Final = 64  # streams whose stamps are kept at most, where nobody asks


class Reading(NamedTuple):
    """The counters of one or all workers at one moment."""

    num_begun: int  # sessions
    num_sent: int
    num_ended: int
    num_errors: int
    num_reads: int
    num_draining: int  # workers that wait for their last answers
    errors: dict[str, int]  # by class; as far as can be told without decoding
    series: dict[str, NDArray[np.int64]]  # by name of SERIES, [NUM_BUCKETS]


def reading(cells: NDArray[np.int64]) -> Reading:
    """What an array of NUM_CELLS says."""
    scalars, rest = cells[:NUM_SCALARS], cells[NUM_SCALARS:]
    of_class = zip(ERRORS, rest[: len(ERRORS)].tolist(), strict=True)
    rows = rest[len(ERRORS) :].reshape(len(SERIES), NUM_BUCKETS)
    begun, sent, ended, errors, reads, draining = map(int, scalars)
    return Reading(
        num_begun=begun,
        num_sent=sent,
        num_ended=ended,
        num_errors=errors,
        num_reads=reads,
        num_draining=draining,
        errors=dict(of_class),
        series=dict(zip(SERIES, rows, strict=True)),
    )


class Counters:
    """Of one worker. The driver only ever adds; `cells` may be copied by anybody at any time."""

    def __init__(self) -> None:
        self.num_begun = self.num_sent = self.num_ended = self.num_errors = self.num_reads = 0
        self.is_draining = False
        self._errors = [0] * len(ERRORS)
        self._series = np.zeros((len(SERIES), NUM_BUCKETS), dtype=np.int64)
        self._fresh: list[tuple[float | None, Exchange]] = []
        self._folding = threading.Lock()

    def saw(self, due_s: float | None, exchange: Exchange) -> None:
        """A request ended. `due_s`: on the loop's clock; None in a closed loop."""
        self.num_ended += 1
        self.num_reads += len(exchange.read_s)
        name = error_name(exchange)
        if name is None:
            self._fresh.append((due_s, exchange))
            if len(self._fresh) >= _FOLD and self._folding.acquire(blocking=False):
                try:
                    self._fold()
                finally:
                    self._folding.release()
        else:
            self.num_errors += 1
            self._errors[ERRORS.index(name)] += 1

    def cells(self) -> NDArray[np.int64]:
        """All of it, [NUM_CELLS], up to the last request that ended. From any thread."""
        with self._folding:
            self._fold()
        scalars = [
            self.num_begun,
            self.num_sent,
            self.num_ended,
            self.num_errors,
            self.num_reads,
            int(self.is_draining),
        ]
        return np.concatenate((scalars, self._errors, self._series.ravel()))

    def _fold(self) -> None:
        fresh, self._fresh = self._fresh, []
        if fresh:
            for row, values in zip(self._series, _observed(fresh), strict=True):
                row += histogram(values)


def histogram(values_s: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many fall into each bucket, [NUM_BUCKETS]."""
    bits = np.maximum(values_s, _LOWEST_S).view(np.int64) >> _SHIFT
    return np.bincount(np.minimum(bits - _FIRST, NUM_BUCKETS - 1), minlength=NUM_BUCKETS)


def quantile_s(counts: NDArray[np.int64], share: float) -> float | None:
    """The upper end of the bucket in which that quantile lies; None of nothing."""
    num = int(counts.sum())
    if num == 0:
        return None
    at = int(np.searchsorted(np.cumsum(counts), max(1.0, share * num)))
    return float(UPPER_S[at])


def error_name(exchange: Exchange) -> str | None:
    """The class of ERRORS of a request that failed; None if it did not, as far as is known."""
    name = exchange.error_class
    if name is None:
        status = http_status(exchange)
        if status == 200:
            return None
        return f"http_{status // 100}xx" if status and 300 <= status < 600 else "other"
    if name.startswith("timeout"):
        return "timeout"
    return name if name in ERRORS else "other"


def _observed(
    fresh: Sequence[tuple[float | None, Exchange]],
) -> tuple[NDArray[np.float64], ...]:
    """Values of each of SERIES in requests that ended well, in seconds."""
    firsts = [_first(exchange) for _, exchange in fresh]
    ttft, delay = [], []
    for (due_s, exchange), first in zip(fresh, firsts, strict=True):
        assert exchange.sent_s is not None
        since_s = exchange.sent_s if due_s is None else due_s
        if first < len(exchange.read_s):
            ttft.append(float(exchange.read_s[first]) - since_s)
        if due_s is not None:
            delay.append(exchange.sent_s - due_s)
    stamps = [
        np.asarray(exchange.read_s, dtype=np.float64)[first:]
        for (_, exchange), first in zip(fresh, firsts, strict=True)
    ]
    gaps = np.diff(np.concatenate(stamps))
    ends = np.cumsum([len(one) for one in stamps])[:-1]
    is_within = np.ones(len(gaps), dtype=bool)
    inner = ends[(ends > 0) & (ends <= len(gaps))]
    is_within[inner - 1] = False  # from one stream's last read to the next one's first
    lags = [np.asarray(exchange.lag_s, dtype=np.float64) for _, exchange in fresh]
    return np.array(ttft), gaps[is_within], np.array(delay), np.concatenate(lags)


def _first(exchange: Exchange) -> int:
    """The read that brought the first event; a head that came alone is none."""
    for index, data in enumerate(exchange.reads):
        if _DATA in data:
            return index
    return 0
