"""RunData: the records of a run as columns, built once and read by every metric.

A run of a hundred million tokens has columns of gigabytes. They are built one at a time, those that
are long lie in files that the system keeps in memory as far as there is room, and `pieces` gives
the run as shorter runs, for what looks at one request at a time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Final, NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from benchsuite.records.columns import BoolArray, FloatArray, IntArray, release
from benchsuite.records.grades import Grades
from benchsuite.records.ragged import spans, sums, token_times

__all__ = [
    "Arrivals",
    "BoolArray",
    "FloatArray",
    "Int32Array",
    "IntArray",
    "Number",
    "RunData",
    "ToolUse",
]

PIECE_CHUNKS: Final = 1 << 20
WHOLE_CHUNKS: Final = 1 << 22  # a run of no more is one piece
T = TypeVar("T")
Number = TypeVar("Number", bound=np.generic)
Int32Array = NDArray[np.int32]


class Arrivals(NamedTuple):
    """Reads that brought tokens, and the first read of each answer whatever it brought.

    Chunks that came in one read of the socket have one stamp; nobody can tell their tokens apart.
    """

    at_s: FloatArray  # [arrivals]
    tokens: Int32Array  # [arrivals]
    is_first: BoolArray  # [arrivals]; of its request
    num: IntArray  # [n]; of each request


class ToolUse(NamedTuple):
    """Calls of tools in a run's answers, and what requests brought back from them."""

    call_request: IntArray  # [calls]; index of the request whose answer called
    call_name: tuple[str, ...]  # [calls]
    call_wrong: BoolArray  # [calls]; it could not be carried out
    result_request: IntArray  # [results]; index of the request that brought it
    result_started_s: FloatArray  # [results]
    result_ended_s: FloatArray  # [results]
    result_failed: BoolArray  # [results]; it holds nothing, or says that the tool failed
    answer: tuple[str, ...]  # [n]; what the grader took for the answer; "" where nothing was graded
    text: tuple[str, ...] | None  # [n]; reasoning and answer; None: not kept


@dataclass(frozen=True)
class RunData:
    """Columns over the n requests of a run, ordered by origin. Seconds are from run start.

    Ragged columns run over chunks: chunks of request i are `[chunk_start[i], chunk_start[i + 1])`.
    There are many of them, so they have the types of the file, no wider ones.
    NaN stands where something never happened; -1 where a count was not reported.
    """

    request_id: IntArray  # [n]
    session_id: IntArray  # [n]
    turn: IntArray  # [n]
    worker: IntArray  # [n]; who sent it
    slo_class: tuple[str, ...]  # [n]
    priority: FloatArray  # [n]; NaN: none was sent
    tenant: tuple[str, ...]  # [n]; "" where there was none
    model: tuple[str, ...]  # [n]; "": the endpoint's
    due_s: FloatArray  # [n]; NaN in a closed loop
    sent_s: FloatArray  # [n]; NaN: never sent
    first_token_s: FloatArray  # [n]; first generated token of any kind
    first_output_s: FloatArray  # [n]; first visible token: content or tool call
    last_token_s: FloatArray  # [n]
    finished_s: FloatArray  # [n]; end of the stream, or of the attempt
    connect_s: FloatArray  # [n]
    prompt_tokens_asked: IntArray  # [n]
    prompt_tokens: IntArray  # [n]; the server's count where it gave one, else ours
    cached_tokens: IntArray  # [n]; -1: not reported
    output_tokens_asked: IntArray  # [n]
    must_reach_asked: BoolArray  # [n]
    output_tokens: IntArray  # [n]
    reasoning_tokens: IntArray  # [n]; -1: not reported
    status: tuple[str, ...]  # [n]; ok, error, timeout, cancelled
    error_class: tuple[str, ...]  # [n]; "" where there was none
    error: tuple[str, ...]  # [n]; "" where there was none
    finish_reason: tuple[str, ...]  # [n]; "" where there was none
    tokens_from: tuple[str, ...]  # [n]
    stamp_source: tuple[str, ...]  # [n]
    correct: IntArray  # [n]; 1, 0, or -1: not graded, or in `item_grades`
    chunk_start: IntArray  # [n + 1]
    chunk_s: FloatArray  # [chunks]
    chunk_tokens: Int32Array  # [chunks]
    chunk_kind: NDArray[np.int8]  # [chunks]
    chunk_read: Int32Array  # [chunks]; equal within a request: they came in one read
    chunk_lag_s: NDArray[np.float32]  # [chunks]; NaN: no kernel stamp
    window_s: tuple[float, float]  # measured: requests whose origin lies in [start, end)
    num_planned: int  # requests that the schedule held
    planned_due_s: FloatArray  # [planned]; what the schedule asked for; empty in a closed loop
    partial: str | None = None  # why the run is incomplete: interrupted, worker lost, recovered
    samples: dict[str, FloatArray] = field(
        default_factory=dict
    )  # telemetry, [readings, 2]: s, value
    answer: tuple[str, ...] | None = None  # [n]; what the grader took for it; "": none
    images: IntArray | None = None  # [n]; None: the workload has none
    group: IntArray | None = None  # [n]; requests with the same prompt; -1: its own
    tools: ToolUse | None = None  # None: none was called
    items: IntArray | None = None  # [n]; answers asked for at once; None: one each
    samples_each: IntArray | None = None  # [n]; of these, to each question; None: one each
    item_grades: Grades | None = None  # of requests for several answers; None: there are none
    tails: BoolArray | None = None  # [n]; None: not known
    stages_s: FloatArray | None = None  # [n, STAGES], NaN: not told; None: no server told any
    _found: dict[Callable[..., Any], Any] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __len__(self) -> int:
        return len(self.request_id)

    def once(self, analysis: Callable[["RunData"], T]) -> T:
        """`analysis(self)`, worked out once however many metrics are made of it. `analysis` is a
        function of a module, not one made anew for each call."""
        if analysis not in self._found:
            self._found[analysis] = analysis(self)
        return cast(T, self._found[analysis])

    def retimed(self, chunk_s: FloatArray) -> "RunData":
        """As if chunks had come at other times, [chunks]; reads stay as they were."""
        times = token_times(self.chunk_start, chunk_s, self.chunk_kind, PIECE_CHUNKS)
        return replace(
            self,
            chunk_s=chunk_s,
            first_token_s=times.first_s,
            first_output_s=times.first_output_s,
            last_token_s=times.last_s,
        )

    def pieces(self) -> Iterator["RunData"]:
        """The same requests as runs of about PIECE_CHUNKS chunks, one after the other: itself where
        it is no longer. Window, plan and telemetry are those of the whole; `tools` and
        `item_grades` are left out."""
        if self.is_one_piece:
            yield self
            return
        for first, end in spans(self.chunk_start, PIECE_CHUNKS):
            yield self._piece(first, end)
            for name in _CHUNK_COLUMNS:
                release(getattr(self, name))

    @property
    def is_one_piece(self) -> bool:
        """`pieces` gives the run itself."""
        return len(self.chunk_s) <= WHOLE_CHUNKS

    def _piece(self, first: int, end: int) -> "RunData":
        start = self.chunk_start[first : end + 1]
        chunks = slice(int(start[0]), int(start[-1]))
        cut: dict[str, Any] = {"chunk_start": start - start[0], "tools": None}
        cut["item_grades"] = None
        for name in _COLUMNS:
            values = getattr(self, name)
            cut[name] = None if values is None else values[first:end]
        for name in _CHUNK_COLUMNS:
            cut[name] = getattr(self, name)[chunks]
        return replace(self, **cut)

    def by_request(self, values: Callable[["RunData"], NDArray[Number]]) -> NDArray[Number]:
        """`values(self)`, [n], worked out piece by piece. For what a request alone decides."""
        return np.concatenate([values(piece) for piece in self.pieces()])

    def gathered(self, values: Callable[["RunData"], FloatArray]) -> FloatArray:
        """`values(self)`, worked out piece by piece, without NaN; the array is the caller's. At
        most one value for each chunk or each token."""
        if self.is_one_piece:
            own = values(self)
            return own[~np.isnan(own)]
        most = max(len(self.chunk_s), int(self.num_stamped.sum()))
        found, num = np.empty(most), 0  # takes memory as it is filled
        for piece in self.pieces():
            own = values(piece)
            own = own[~np.isnan(own)]
            found[num : num + len(own)] = own
            num += len(own)
        return found[:num]

    @cached_property
    def num_images(self) -> IntArray:
        """Images that a request held, [n]."""
        return np.zeros(len(self), dtype=np.int64) if self.images is None else self.images

    @cached_property
    def num_items(self) -> IntArray:
        """Answers that a request asked for at once, [n]."""
        ones = np.ones(len(self), dtype=np.int64)
        return ones if self.items is None else np.maximum(self.items, ones)

    @cached_property
    def num_questions(self) -> IntArray:
        """Questions that a request asked, however many answers to each, [n]."""
        if self.samples_each is None:
            return self.num_items
        return self.num_items // np.maximum(self.samples_each, 1)

    @cached_property
    def has_tail(self) -> BoolArray:
        """The read of the last chunk brought more after it, and has the time of that, [n]."""
        return np.zeros(len(self), dtype=np.bool_) if self.tails is None else self.tails

    @cached_property
    def num_chunks(self) -> IntArray:
        """Chunks of a request, [n]."""
        return np.diff(self.chunk_start)

    @cached_property
    def num_stamped(self) -> IntArray:
        """Tokens in the chunks of a request, [n]."""
        return self.by_request(lambda piece: sums(piece.chunk_start, piece.chunk_tokens))

    def per_chunk(self, values: NDArray[Number]) -> NDArray[Number]:
        """`values` [n] of each chunk's request, [chunks]."""
        return np.repeat(values, self.num_chunks)

    def per_token(self, values: NDArray[Number]) -> NDArray[Number]:
        """`values` [n] of each token's request, [sum of chunk_tokens]."""
        return np.repeat(values, self.num_stamped)

    @cached_property
    def session(self) -> IntArray:
        """Index of the session that a request belongs to, from 0 in the order of their ids, [n]."""
        _, session = np.unique(self.session_id, return_inverse=True)
        return session.astype(np.int64)

    @cached_property
    def num_sessions(self) -> int:
        return int(self.session.max()) + 1 if len(self) else 0

    @cached_property
    def arrivals(self) -> Arrivals:
        """The chunks put together by the read that brought them."""
        is_first, is_new = self.is_first_chunk, self.is_new_read
        at_s, tokens = self.chunk_s, self.chunk_tokens
        if not is_new.all():
            starts = np.flatnonzero(is_new)
            tokens = np.add.reduceat(tokens, starts, dtype=np.int32)
            at_s, is_first = at_s[starts], is_first[starts]
        kept = is_first | (tokens > 0)
        if not kept.all():
            at_s, tokens, is_first = at_s[kept], tokens[kept], is_first[kept]
        num = np.zeros(len(self), dtype=np.int64)
        num[self.num_chunks > 0] = np.diff(np.flatnonzero(is_first), append=len(at_s))
        return Arrivals(at_s, tokens, is_first, num)

    @cached_property
    def is_first_chunk(self) -> BoolArray:
        """First of its request, [chunks]."""
        is_first = np.zeros(len(self.chunk_s), dtype=np.bool_)
        is_first[self.chunk_start[:-1][self.num_chunks > 0]] = True
        return is_first

    @cached_property
    def is_new_read(self) -> BoolArray:
        """First of those of its request that came in one read, [chunks]."""
        is_new = self.is_first_chunk.copy()
        is_new[1:] |= self.chunk_read[1:] != self.chunk_read[:-1]
        return is_new

    @cached_property
    def ok(self) -> BoolArray:
        """Ended well, [n]."""
        return np.array([status == "ok" for status in self.status], dtype=np.bool_)

    @cached_property
    def origin_s(self) -> FloatArray:
        """Where latency counts from, [n]: due, or sent in a closed loop where nothing is due."""
        return np.where(np.isnan(self.due_s), self.sent_s, self.due_s)

    @cached_property
    def in_window(self) -> BoolArray:
        """Requests that count: their origin lies in the measurement window, [n]."""
        start, end = self.window_s
        origin_s = self.origin_s
        return (origin_s >= start) & (origin_s < end)


_CHUNK_COLUMNS = ("chunk_s", "chunk_tokens", "chunk_kind", "chunk_read", "chunk_lag_s")
_COLUMNS = tuple(
    one.name
    for one in fields(RunData)
    if one.name not in (*_CHUNK_COLUMNS, "chunk_start", "window_s", "num_planned")
    and one.name not in ("planned_due_s", "partial", "samples", "tools", "item_grades", "_found")
)
