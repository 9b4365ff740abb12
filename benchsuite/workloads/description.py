"""What a workload holds, in numbers: rate, burstiness, lengths, turns, prefixes, gaps. Pure.

Burstiness as papers on serving traffic give it: the coefficient of variation of the gaps between
arrivals (1: Poisson), and Fano factors, variance by mean of the counts in windows (1: Poisson).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from benchsuite.request import Request, Scripted, Session
from benchsuite.workloads.prefix_cache import BlockKeys, PrefixCache

FloatArray = NDArray[np.float64]

WINDOWS_S: Final = (1.0, 10.0, 60.0)
POINTS: Final = (0.0, 0.1, 0.5, 0.9, 0.99, 1.0)
LEAST_WINDOWS: Final = 5  # for a variance of counts


class Spread(Struct, frozen=True):
    """Of some values; None where there are none."""

    n: int
    mean: float | None
    at: dict[str, float]  # p0, p10, p50 ... -> value; of linear interpolation

    @staticmethod
    def of(values: Iterable[float]) -> "Spread":
        known = np.asarray(list(values), dtype=np.float64)
        known = known[~np.isnan(known)]
        if not len(known):
            return Spread(0, None, {})
        at = np.quantile(known, POINTS)
        names = [f"p{point * 100:g}" for point in POINTS]
        return Spread(
            len(known), float(known.mean()), dict(zip(names, map(float, at), strict=True))
        )


class PrefixHits(Struct, frozen=True):
    """The share of prompt tokens that a cache would have known."""

    cache_tokens: int | None  # its size; None: without end
    block_tokens: tuple[int, ...]  # sizes of the blocks looked at
    share: float | None


class Description(Struct, frozen=True, kw_only=True):
    """A workload in numbers. Times are of arrivals where the workload or its trace has them."""

    num_requests: int
    num_sessions: int
    num_graphs: int  # sessions that fork or join
    span_s: float | None  # from the first session's start to the last's
    rate: float | None  # sessions per second
    gap_cv: float | None
    fano: dict[str, float]  # window -> Fano factor; windows of which there are too few are left out
    prompt_tokens: Spread
    output_tokens: Spread
    correlation: float | None  # Spearman's, of prompt and output lengths
    turns: Spread  # requests per session
    gaps_s: Spread  # think and tool time before later turns
    prefix_hits: tuple[PrefixHits, ...]
    num_images: int
    num_tool_calls: int  # in the words that are sent
    num_with_tools: int  # requests that offer tools
    classes: dict[str, int]  # requests by class


class Columns(Struct, frozen=True):
    """The same requests for those who draw them."""

    starts_s: FloatArray  # [sessions with a time], ascending
    prompt_tokens: FloatArray  # [n]
    output_tokens: FloatArray  # [n]
    turns: FloatArray  # [sessions]
    gaps_s: FloatArray  # [later turns]


def describe(
    sessions: Sequence[Session],
    starts_s: Sequence[float] | None,
    count: Callable[[str], int],
    *,
    cache_tokens: Sequence[int] = (),
    block_tokens: int | None = None,
) -> tuple[Description, Columns]:
    """`starts_s`: of each session, ascending; None: nobody knows. `count`: tokens of a text.

    Prompts meet the caches in the order in which they would come if answers took no time.
    """
    requests = [request for session in sessions for request in session.requests]
    found = columns(sessions, starts_s)
    at_s = found.starts_s
    span_s = float(at_s[-1] - at_s[0]) if len(at_s) > 1 else None
    ordered = _in_time(sessions, starts_s)
    return Description(
        num_requests=len(requests),
        num_sessions=len(sessions),
        num_graphs=sum(session.after is not None for session in sessions),
        span_s=span_s,
        rate=(len(at_s) - 1) / span_s if span_s else None,
        gap_cv=gap_cv(at_s),
        fano={f"{w:g} s": value for w in WINDOWS_S if (value := fano(at_s, w)) is not None},
        prompt_tokens=Spread.of(found.prompt_tokens),
        output_tokens=Spread.of(found.output_tokens),
        correlation=spearman(found.prompt_tokens, found.output_tokens),
        turns=Spread.of(found.turns),
        gaps_s=Spread.of(found.gaps_s),
        prefix_hits=prefix_hits(ordered, count, (None, *cache_tokens), block_tokens),
        num_images=sum(_num_images(request) for request in requests),
        num_tool_calls=sum(_num_tool_calls(session) for session in sessions),
        num_with_tools=sum(bool(request.tools) for request in requests),
        classes=_counted(request.slo_class for request in requests),
    ), found


def columns(sessions: Sequence[Session], starts_s: Sequence[float] | None) -> Columns:
    requests = [request for session in sessions for request in session.requests]
    return Columns(
        starts_s=np.asarray(starts_s if starts_s is not None else (), dtype=np.float64),
        prompt_tokens=np.array([request.prompt_tokens for request in requests], np.float64),
        output_tokens=np.array([request.max_output_tokens for request in requests], np.float64),
        turns=np.array([len(session.requests) for session in sessions], np.float64),
        gaps_s=np.array([gap_s for session in sessions for gap_s in session.gaps_s], np.float64),
    )


def gap_cv(at_s: FloatArray) -> float | None:
    """Standard deviation of the gaps between arrivals by their mean; None for fewer than 2 gaps."""
    gaps_s = np.diff(at_s)
    if len(gaps_s) < 2 or not gaps_s.mean():
        return None
    return float(gaps_s.std() / gaps_s.mean())


def fano(at_s: FloatArray, window_s: float) -> float | None:
    """Variance of the counts in windows of that length by their mean, over whole windows from the
    first arrival on; None where there are fewer than LEAST_WINDOWS."""
    num = int((at_s[-1] - at_s[0]) // window_s) if len(at_s) else 0
    if num < LEAST_WINDOWS:
        return None
    index = ((at_s - at_s[0]) // window_s).astype(np.int64)
    counts = np.bincount(index[index < num], minlength=num)
    return float(counts.var() / counts.mean())


def spearman(x: FloatArray, y: FloatArray) -> float | None:
    """Rank correlation, ties with their mean rank; None where one of them never varies."""
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(np.corrcoef(_ranks(x), _ranks(y))[0, 1])


def _ranks(values: FloatArray) -> FloatArray:
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    ranks: FloatArray = ((last - counts) + (last - 1))[index] / 2
    return ranks


def prefix_hits(
    requests: Sequence[Request],
    count: Callable[[str], int],
    cache_tokens: Sequence[int | None],
    block_tokens: int | None,
) -> tuple[PrefixHits, ...]:
    """Of prompts that come one after the other; None: a cache without end."""
    keys = BlockKeys(block_tokens, count)
    sizes = tuple(sorted({keys.block_tokens(request.prompt) for request in requests}))
    least = min(sizes, default=1)
    caches = [PrefixCache(None if size is None else size // least) for size in cache_tokens]
    hit_tokens = [0] * len(caches)
    for request in requests:
        blocks, size = keys.of(request.prompt, request.tools), keys.block_tokens(request.prompt)
        for at, cache in enumerate(caches):
            hit_tokens[at] += min(cache.ask(blocks) * size, request.prompt_tokens)
    all_tokens = sum(request.prompt_tokens for request in requests)
    return tuple(
        PrefixHits(size, sizes, hits / all_tokens if all_tokens else None)
        for size, hits in zip(cache_tokens, hit_tokens, strict=True)
    )


def _in_time(sessions: Sequence[Session], starts_s: Sequence[float] | None) -> list[Request]:
    """Requests as they would come if answers took no time; without times, session by session."""
    if starts_s is None:
        return [request for session in sessions for request in session.requests]
    timed: list[tuple[float, int, Request]] = []
    for start_s, session in zip(starts_s, sessions, strict=False):
        offsets_s: list[float] = []
        for turn, request in enumerate(session.requests):
            offset_s = max((offsets_s[parent] for parent in session.waits_for(turn)), default=0.0)
            if turn:
                offset_s += session.gaps_s[turn - 1]
                if session.earliest_s:
                    offset_s = max(offset_s, session.earliest_s[turn - 1])
            offsets_s.append(offset_s)
            timed.append((start_s + offset_s, request.id, request))
    return [request for _, _, request in sorted(timed, key=lambda one: one[:2])]


def _num_images(request: Request) -> int:
    if not isinstance(request.prompt, Scripted):
        return 0
    return sum(len(message.images) for message in request.prompt.messages)


def _num_tool_calls(session: Session) -> int:
    """Each call of a conversation once: of the longest prompt that holds it."""
    calls = {
        id(message): len(message.tool_calls)
        for request in session.requests
        if isinstance(request.prompt, Scripted)
        for message in request.prompt.messages
    }
    return sum(calls.values())


def _counted(names: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in names:
        found[name] = found.get(name, 0) + 1
    return found
