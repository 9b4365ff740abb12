"""What an importer gives: records, and what is known of the run around them.

Nobody knows when these requests were due, so latency counts from sent, as in the tool itself.
Stamps are the tool's own; what its file does not hold is unknown here too.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from benchsuite.arrivals import Arrivals
from benchsuite.arrivals.closed_loop import ClosedLoop
from benchsuite.endpoints.openai_chat import OpenAIChat
from benchsuite.errors import RunError
from benchsuite.exchange import Kind
from benchsuite.records.record import Record
from benchsuite.scenario import Scenario
from benchsuite.workloads.lengths import Empirical, Fixed, Lengths
from benchsuite.workloads.synthetic import Synthetic

T = TypeVar("T")


class Imported(NamedTuple):
    """A run of another tool."""

    records: list[Record]
    scenario: Scenario  # as far as it can be told: lengths as they were, the server unknown
    started_at: str  # UTC, ISO 8601
    notes: tuple[str, ...]  # what its numbers lack


Importer = Callable[[Path], Imported | None]
"""What a file holds; None if it is not of this tool. Raises RunError for one that is, and lacks
what is needed."""


class Request(NamedTuple):
    """One request as every tool knows it; times in seconds on its clock."""

    sent_s: float
    chunk_s: Sequence[float]  # when tokens came
    finished_s: float
    prompt_tokens: int
    output_tokens: int
    error: str | None = None
    error_class: str = "imported"


def imported(
    tool: str,
    requests: Sequence[Request],
    *,
    model: str,
    arrivals: Arrivals | None,
    started_at: str,
    notes: tuple[str, ...] = (),
) -> Imported:
    """Records from the first request sent on. `arrivals`: None where the file does not say."""
    ordered = sorted(requests, key=lambda one: one.sent_s)
    if not ordered:
        raise RunError(f"{tool}: the file holds no request")
    zero_s = ordered[0].sent_s
    good = [one for one in ordered if one.error is None]
    scenario = Scenario(
        name=f"imported from {tool}",
        endpoint=OpenAIChat(url="http://unknown", model=model),
        workload=Synthetic(
            prompt_tokens=_lengths([one.prompt_tokens for one in good]),
            output_tokens=_lengths([one.output_tokens for one in good]),
        ),
        arrivals=arrivals or ClosedLoop(concurrency=_at_once(ordered)),
    )
    return Imported(
        records=[_record(at, one, zero_s) for at, one in enumerate(ordered)],
        scenario=scenario,
        started_at=started_at,
        notes=(f"imported from {tool}: its stamps, its token counts; when due is unknown", *notes),
    )


def _record(at: int, one: Request, zero_s: float) -> Record:
    chunk_s = [came_s - zero_s for came_s in one.chunk_s] if one.error is None else []
    output_tokens = one.output_tokens if chunk_s else 0
    return Record(
        request_id=at,
        session_id=at,
        turn=0,
        worker=0,
        slo_class="default",
        due_s=None,
        sent_s=one.sent_s - zero_s,
        connect_s=0.0,
        finished_s=one.finished_s - zero_s,
        chunk_s=chunk_s,
        chunk_tokens=_shared_out(output_tokens, len(chunk_s)),
        chunk_kind=[int(Kind.CONTENT)] * len(chunk_s),
        chunk_read=list(range(len(chunk_s))),
        chunk_lag_s=(),
        stamp_source="user",
        prompt_tokens_asked=one.prompt_tokens,
        prompt_tokens=one.prompt_tokens,
        server_prompt_tokens=None,
        cached_tokens=None,
        output_tokens_asked=output_tokens,
        must_reach_asked=False,
        output_tokens=output_tokens,
        reasoning_tokens=None,
        tokens_from="usage",
        finish_reason=None,
        status="ok" if one.error is None else "error",
        http_status=None,
        error_class=None if one.error is None else one.error_class,
        error=one.error,
        correct=None,
        bytes_received=0,
        output_text=None,
    )


def _shared_out(tokens: int, chunks: int) -> list[int]:
    """Over the chunks as evenly as can be, the first having no more than the others."""
    return [tokens * (at + 1) // chunks - tokens * at // chunks for at in range(chunks)]


def _lengths(tokens: list[int]) -> Lengths:
    seen = [max(one, 1) for one in tokens] or [1]
    if len(set(seen)) == 1:
        return Fixed(value=seen[0])
    values = sorted(set(seen))
    return Empirical(
        values=tuple(values), weights=tuple(float(seen.count(value)) for value in values)
    )


def _at_once(requests: Sequence[Request]) -> int:
    """The most that were in flight together."""
    changes = sorted(
        [(one.finished_s, -1) for one in requests] + [(one.sent_s, 1) for one in requests]
    )
    return max(1, *accumulate(step for _, step in changes))


def decoded(path: Path, raw: bytes, kind: type[T], tool: str) -> T:
    """The file as its tool writes it. Raises RunError that says what is not so."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.DecodeError as error:
        raise RunError(f"{path}: not a result of {tool}: {error}") from error


def keys(raw: bytes) -> set[str]:
    """The top keys of a JSON object; none of anything else."""
    try:
        found: Any = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        return set()
    return set(found)
