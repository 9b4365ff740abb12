"""TraceLab round traces (JSONL, one row per round; SyFI Lab, arXiv:2606.30560): coding agents."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from benchsuite.errors import TraceError
from benchsuite.spec import DataPath, Spec
from benchsuite.workloads.formats.base import Outcome, Tokens, TraceRow
from benchsuite.workloads.formats.reading import Found, objects

_INPUTS = ("user_message", "tool_result")


class _Event(Struct):
    event_type: str
    timestamp: str | None = None  # ISO 8601


class _Row(Struct):
    session_id: str
    input_tokens_total: Tokens
    output_tokens: Tokens
    timing_events: Annotated[list[_Event], Meta(min_length=1)]
    round_id: str | None = None
    model: str | None = None
    prefix_tokens: Tokens | None = None
    reasoning_output_tokens: Tokens | None = None


class TraceLab(Spec, frozen=True, tag="tracelab"):
    """TraceLab (JSONL): a row per round of a coding agent, with tokens, cache hits and events.

    A round begins with its last user message or tool result and ends with its last event. The gap
    before it is the time between: tools, or the user's thought. Turns of a session begin alike.
    """

    block_tokens: ClassVar[int] = 1  # the format has no hash ids

    path: DataPath  # the JSONL, plain or gzipped

    def rows(self) -> Iterator[TraceRow | TraceError]:
        ended_s: dict[str, float] = {}  # by session
        for found in objects(self.path, _Row):
            if isinstance(found, TraceError):
                yield found
                continue
            try:
                row = _row(*found, ended_s)
            except ValueError as error:
                yield TraceError(self.path, found[0].line, f"timing_events: {error}")
            else:
                yield row


def _row(place: Found, row: _Row, ended_s: dict[str, float]) -> TraceRow:
    times = [
        (event.event_type, datetime.fromisoformat(event.timestamp).timestamp())
        for event in row.timing_events
        if event.timestamp is not None
    ]
    if not times:
        raise ValueError("expected a timestamp")
    asked = [at_s for kind, at_s in times if kind in _INPUTS]
    said = [at_s for kind, at_s in times if kind not in _INPUTS]
    start_s = max(asked) if asked else min(said)
    before_s = ended_s.get(row.session_id)
    ended_s[row.session_id] = end_s = max([start_s, *said])
    told = {key: place.raw[key] for key in ("timing_events",)}
    return TraceRow(
        line=place.line,
        session_id=row.session_id,
        id=row.round_id,
        arrival_s=start_s,
        gap_s=None if before_s is None else max(0.0, start_s - before_s),
        prompt_tokens=row.input_tokens_total,
        output_tokens=row.output_tokens,
        model=row.model,
        outcome=Outcome(
            ttft_s=min(said) - start_s if said and min(said) >= start_s else None,
            e2e_s=end_s - start_s,
            cached_tokens=row.prefix_tokens,
            reasoning_tokens=row.reasoning_output_tokens,
        ),
        extra=(place.rest(_Row) or {}) | told,
    )
