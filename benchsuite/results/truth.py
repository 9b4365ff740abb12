"""Truth: a run's latencies beside what they would be by the server's own log of its writes.

For a server on the same machine that is our engine with `--emit-log`: both use the machine's
monotonic clock. A request is found in the log by the `request_id` that its body had, its chunks by
their order. A write takes a while, and its bytes may leave at any moment of it, so an error has two
values: from the write's begin, which is all that the client and the write may be late by, and from
whichever moment of the write is nearest to the stamp, which is what the client alone must be.
"""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct

from benchsuite.errors import RunError
from benchsuite.metrics.latency import icl, itl, tpot, ttft, ttft_sent
from benchsuite.metrics.statistics import most_by_chance
from benchsuite.records.table import FloatArray, RunData
from benchsuite.results.instrument import RARE
from benchsuite.results.spread import Spread

_LATENCIES: Final = {"ttft": ttft, "ttft_sent": ttft_sent, "tpot": tpot, "itl": itl, "icl": icl}


class Held(Struct, frozen=True, kw_only=True):
    """One latency, the client's against the log's; seconds."""

    bound_s: float  # by the run's `instrument`: 99 % are no further off
    error: Spread  # from the begin of the writes
    sure: Spread  # from the nearest moment of the writes
    num_beyond: int  # of these, further off than the bound

    @property
    def most_beyond(self) -> int:
        """As many as chance puts beyond a bound that one in a hundred exceeds."""
        return most_by_chance(self.sure.n, RARE)

    @property
    def is_within(self) -> bool:
        """Whether the bound may be true. The 99th percentile of few values is above a true bound
        as often as below it: too many must lie beyond."""
        return self.sure.n > 0 and self.num_beyond <= self.most_beyond


class Truth(Struct, frozen=True, kw_only=True):
    """A run held against a log."""

    num_requests: int  # ended well
    num_held: int  # of those, found in the log with as many writes as they have chunks
    write: Spread  # how long writes took: so wide is the ruler's line
    latencies: dict[str, Held]

    @property
    def is_within(self) -> bool:
        return all(held.is_within for held in self.latencies.values())


class Written(NamedTuple):
    """The writes of one stream, on the machine's monotonic clock; [writes] each."""

    arrived_s: float  # the engine took the request
    begun_s: list[float]
    ended_s: list[float]


class _Line(Struct):
    """What is read of a line."""

    at_s: float
    until_s: float = 0.0
    id: int = -1
    request: str | None = None
    written: int | None = None


def read(path: Path) -> dict[str, list[Written]]:
    """The streams of a log, by what their clients called them. Raises RunError."""
    streams: dict[int, Written] = {}
    named: dict[str, list[Written]] = defaultdict(list)
    decode = msgspec.json.Decoder(_Line).decode
    try:
        with path.open("rb") as file:
            for number, text in enumerate(file, start=1):
                try:
                    line = decode(text)
                except msgspec.DecodeError as error:
                    raise RunError(f"{path}:{number}: not of an emit log: {error}") from error
                if line.request is not None:
                    streams[line.id] = Written(line.at_s, [], [])
                    named[line.request].append(streams[line.id])
                elif line.written in streams:
                    streams[line.written].begun_s.append(line.at_s)
                    streams[line.written].ended_s.append(line.until_s)
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror or error}") from error
    return named


def held(
    data: RunData,
    start_s: float,
    log: Mapping[str, list[Written]],
    bounds_s: Mapping[str, float],
) -> Truth:
    """`start_s`: the run's zero on the log's clock. Raises RunError if nothing can be held."""
    begun_s = np.full(len(data.chunk_s), np.nan)  # stays so where nothing can be told
    ended_s = begun_s.copy()
    num_held = 0
    for i in np.flatnonzero(data.ok):
        chunks = slice(data.chunk_start[i], data.chunk_start[i + 1])
        first_s, last_s = start_s + data.sent_s[i], start_s + data.finished_s[i]
        named = log.get(str(data.request_id[i]), ())
        found = [stream for stream in named if first_s <= stream.arrived_s <= last_s]
        if len(found) == 1 and len(found[0].begun_s) == chunks.stop - chunks.start > 0:
            begun_s[chunks] = np.array(found[0].begun_s) - start_s
            ended_s[chunks] = np.array(found[0].ended_s) - start_s
            num_held += 1
    if not num_held:
        raise RunError(
            "none of the run's requests is in the log: was it this run's server, and did the "
            "endpoint say `request_ids: true` (of the bundled engine `emit_log: true`)?"
        )
    by_begin = data.retimed(begun_s)
    by_nearest = data.retimed(np.clip(data.chunk_s, begun_s, ended_s))
    return Truth(
        num_requests=int(data.ok.sum()),
        num_held=num_held,
        write=Spread.of(ended_s - begun_s),
        latencies={
            name: _held(
                bounds_s[name],
                np.abs(latency(data) - latency(by_begin)),
                np.abs(latency(data) - latency(by_nearest)),
            )
            for name, latency in _LATENCIES.items()
            if name in bounds_s
        },
    )


def _held(bound_s: float, error_s: FloatArray, sure_s: FloatArray) -> Held:
    return Held(
        bound_s=bound_s,
        error=Spread.of(error_s),
        sure=Spread.of(sure_s),
        num_beyond=int(np.count_nonzero(sure_s > bound_s)),
    )
