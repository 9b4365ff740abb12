"""RunData: the records of a run as columns, built once and read by every metric."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class RunData:
    """Columns over the n requests of a run, ordered by origin. Seconds are from run start.

    Ragged columns run over chunks: chunks of request i are `[chunk_start[i], chunk_start[i + 1])`.
    NaN stands where something never happened; -1 where a count was not reported.
    """

    request_id: IntArray  # [n]
    session_id: IntArray  # [n]
    turn: IntArray  # [n]
    slo_class: tuple[str, ...]  # [n]
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
    samples: dict[str, FloatArray] = field(default_factory=dict)  # telemetry, [readings, 2]: s, value

    def __len__(self) -> int:
        return len(self.request_id)

    @property
    def ok(self) -> BoolArray:
        """Ended well, [n]."""
        return np.array([status == "ok" for status in self.status], dtype=np.bool_)

    @property
    def origin_s(self) -> FloatArray:
        """Where latency counts from, [n]: due, or sent in a closed loop where nothing is due."""
        return np.where(np.isnan(self.due_s), self.sent_s, self.due_s)

    @property
    def in_window(self) -> BoolArray:
        """Requests that count: their origin lies in the measurement window, [n]."""
        start, end = self.window_s
        origin_s = self.origin_s
        return (origin_s >= start) & (origin_s < end)
