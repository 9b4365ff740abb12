"""RunData: the records of a run as columns, built once and read by every metric."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Self, TypeVar, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from benchsuite.exchange import Kind

T = TypeVar("T")
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


class Arrivals(NamedTuple):
    """Reads that brought tokens, and the first read of each answer whatever it brought.

    Chunks that came in one read of the socket have one stamp; nobody can tell their tokens apart.
    """

    at_s: FloatArray  # [arrivals]
    tokens: IntArray  # [arrivals]
    request: IntArray  # [arrivals]; index of the request
    is_first: BoolArray  # [arrivals]; of its request


class ToolUse(NamedTuple):
    """Calls of tools in a run's answers, and what requests brought back from them."""

    call_request: IntArray  # [calls]; index of the request whose answer called
    call_name: tuple[str, ...]  # [calls]
    call_wrong: BoolArray  # [calls]; it could not be carried out
    result_request: IntArray  # [results]; index of the request that brought it
    result_failed: BoolArray  # [results]; it holds nothing, or says that the tool failed
    answer: tuple[str, ...]  # [n]; what the grader took for the answer; "" where nothing was graded
    text: tuple[str, ...] | None  # [n]; reasoning and answer; None: not kept


@dataclass(frozen=True)
class RunData:
    """Columns over the n requests of a run, ordered by origin. Seconds are from run start.

    Ragged columns run over chunks: chunks of request i are `[chunk_start[i], chunk_start[i + 1])`.
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
    correct: IntArray  # [n]; 1, 0, or -1: not graded
    chunk_start: IntArray  # [n + 1]
    chunk_s: FloatArray  # [chunks]
    chunk_tokens: IntArray  # [chunks]
    chunk_kind: IntArray  # [chunks]
    chunk_read: IntArray  # [chunks]; equal within a request: they came in one read
    chunk_lag_s: FloatArray  # [chunks]; NaN: no kernel stamp
    window_s: tuple[float, float]  # measured: requests whose origin lies in [start, end)
    num_planned: int  # requests that the schedule held
    planned_due_s: FloatArray  # [planned]; what the schedule asked for; empty in a closed loop
    partial: str | None = None  # why the run is incomplete: interrupted, worker lost, recovered
    samples: dict[str, FloatArray] = field(
        default_factory=dict
    )  # telemetry, [readings, 2]: s, value
    images: IntArray | None = None  # [n]; None: the workload has none
    group: IntArray | None = None  # [n]; requests with the same prompt; -1: its own
    tools: ToolUse | None = None  # None: none was called
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

    @classmethod
    def from_records(
        cls,
        table: pa.Table,
        *,
        window_s: tuple[float, float],
        num_planned: int,
        planned_due_s: FloatArray,
        partial: str | None = None,
    ) -> Self:
        """The columns of `table`: one row per request, one column per field of Record."""
        due_s, sent_s = _floats(table["due_s"]), _floats(table["sent_s"])
        origin_s = np.where(np.isnan(due_s), sent_s, due_s)
        table = table.take(np.lexsort((_integers(table["request_id"]), origin_s)))
        chunk_start, chunk_s = _ragged(table["chunk_s"])
        chunk_kind = _integers(_ragged(table["chunk_kind"])[1])
        as_they_are: dict[str, Any] = {
            **{name: _integers(table[name]) for name in _INTEGERS},
            **{name: _floats(table[name]) for name in _FLOATS},
            **{name: _texts(table[name]) for name in _TEXTS},
        }
        return cls(
            **as_they_are,
            first_token_s=_first(chunk_start, _floats(chunk_s)),
            first_output_s=_first_where(
                chunk_kind != Kind.REASONING, chunk_start, _floats(chunk_s)
            ),
            last_token_s=_last(chunk_start, _floats(chunk_s)),
            prompt_tokens=_integers(
                pc.coalesce(table["server_prompt_tokens"], table["prompt_tokens"])
            ),
            must_reach_asked=np.asarray(table["must_reach_asked"], dtype=np.bool_),
            correct=_integers(table["correct"].cast(pa.int8())),
            chunk_start=chunk_start,
            chunk_s=_floats(chunk_s),
            chunk_tokens=_integers(_ragged(table["chunk_tokens"])[1]),
            chunk_kind=chunk_kind,
            chunk_read=_integers(_ragged(table["chunk_read"])[1]),
            chunk_lag_s=_lags(chunk_start, table["chunk_lag_s"]),
            group=_integers(table["group"]) if "group" in table.column_names else None,
            tools=_tool_use(table),
            window_s=window_s,
            images=_integers(table["num_images"]) if "num_images" in table.column_names else None,
            num_planned=num_planned,
            planned_due_s=planned_due_s,
            partial=partial,
        )

    @cached_property
    def num_images(self) -> IntArray:
        """Images that a request held, [n]."""
        return np.zeros(len(self), dtype=np.int64) if self.images is None else self.images

    @cached_property
    def request_of_chunk(self) -> IntArray:
        """Index of the request that a chunk belongs to, [chunks]."""
        return np.repeat(np.arange(len(self)), np.diff(self.chunk_start))

    @cached_property
    def request_of_token(self) -> IntArray:
        """Index of the request that a token belongs to, [sum of chunk_tokens]."""
        return np.repeat(self.request_of_chunk, self.chunk_tokens)

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
        request, read = self.request_of_chunk, self.chunk_read
        is_new = np.ones(len(request), dtype=np.bool_)
        is_new[1:] = (request[1:] != request[:-1]) | (read[1:] != read[:-1])
        at_s, tokens = self.chunk_s, self.chunk_tokens
        if not is_new.all():
            starts = np.flatnonzero(is_new)
            tokens = np.add.reduceat(tokens, starts)
            at_s, request = at_s[starts], request[starts]
        is_first = np.ones(len(request), dtype=np.bool_)
        is_first[1:] = request[1:] != request[:-1]
        kept = is_first | (tokens > 0)
        if kept.all():
            return Arrivals(at_s, tokens, request, is_first)
        return Arrivals(at_s[kept], tokens[kept], request[kept], is_first[kept])

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


_INTEGERS = (
    "request_id",
    "session_id",
    "turn",
    "worker",
    "prompt_tokens_asked",
    "cached_tokens",
    "output_tokens_asked",
    "output_tokens",
    "reasoning_tokens",
)
_FLOATS = ("priority", "due_s", "sent_s", "finished_s", "connect_s")
_TEXTS = (
    "slo_class",
    "tenant",
    "model",
    "status",
    "error_class",
    "error",
    "finish_reason",
    "tokens_from",
    "stamp_source",
)


def _tool_use(table: pa.Table) -> ToolUse | None:
    """What `tool_calls` and `tool_results` hold; None where both are empty."""
    if "tool_calls" not in table.column_names:
        return None
    call_start, calls = _ragged(table["tool_calls"])
    result_start, results = _ragged(table["tool_results"])
    if not call_start[-1] + result_start[-1]:
        return None
    exit_code = pc.fill_null(pc.struct_field(results, "exit_code"), 0)  # null: see the problem
    has_failed = np.asarray(exit_code, dtype=np.int64) != 0
    is_empty = _integers(pc.struct_field(results, "output_tokens")) == 0
    has_problem = np.asarray(pc.is_valid(pc.struct_field(results, "problem")), dtype=np.bool_)
    text = tuple(
        f"{reasoning}\n{answer}"
        for reasoning, answer in zip(
            _texts(table["reasoning_text"]), _texts(table["output_text"]), strict=True
        )
    )
    n = np.arange(len(table))
    return ToolUse(
        call_request=np.repeat(n, np.diff(call_start)),
        call_name=_texts(pc.struct_field(calls, "name")),
        call_wrong=np.asarray(pc.is_valid(pc.struct_field(calls, "problem")), dtype=np.bool_),
        result_request=np.repeat(n, np.diff(result_start)),
        result_failed=has_problem | has_failed | is_empty,
        answer=_texts(table["answer"]),
        text=text if pc.any(pc.is_valid(table["output_text"])).as_py() else None,
    )


def _floats(column: Any) -> FloatArray:
    """An Arrow column with NaN for null."""
    return np.asarray(pc.fill_null(column.cast(pa.float64()), np.nan), dtype=np.float64)


def _integers(column: Any) -> IntArray:
    """An Arrow column with -1 for null."""
    return np.asarray(pc.fill_null(column.cast(pa.int64()), -1), dtype=np.int64)


def _texts(column: Any) -> tuple[str, ...]:
    """An Arrow column with "" for null."""
    return tuple(pc.fill_null(column.cast(pa.string()), "").to_pylist())


def _ragged(column: pa.ChunkedArray) -> tuple[IntArray, Any]:
    """(start, values) of a list column: row i holds values[start[i] : start[i + 1]]."""
    lengths = _integers(pc.fill_null(pc.list_value_length(column), 0))
    return np.concatenate(([0], np.cumsum(lengths))), pc.list_flatten(column)


def _first(start: IntArray, values: FloatArray) -> FloatArray:
    """First value of each row; NaN where it has none."""
    return _at(start[:-1], np.diff(start) > 0, values)


def _last(start: IntArray, values: FloatArray) -> FloatArray:
    return _at(start[1:] - 1, np.diff(start) > 0, values)


def _first_where(chosen: BoolArray, start: IntArray, values: FloatArray) -> FloatArray:
    """First chosen value of each row; NaN where none is."""
    num_before = np.concatenate(([0], np.cumsum(chosen)))[start]
    return _first(num_before, values[chosen])


def _at(index: IntArray, is_there: BoolArray, values: FloatArray) -> FloatArray:
    found = np.full(len(index), np.nan)
    found[is_there] = values[index[is_there]]
    return found


def _lags(chunk_start: IntArray, column: pa.ChunkedArray) -> FloatArray:
    """One lag per chunk; NaN for all chunks of a request that has none."""
    start, values = _ragged(column)
    has_lag = np.repeat(np.diff(start) > 0, np.diff(chunk_start))
    lag_s = np.full(int(chunk_start[-1]), np.nan)
    lag_s[has_lag] = _floats(values)
    return lag_s
