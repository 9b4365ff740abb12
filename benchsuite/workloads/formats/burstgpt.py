"""BurstGPT traces (CSV; Wang et al., "BurstGPT", KDD 2025)."""

from collections.abc import Iterator
from typing import Any, ClassVar, Final

from benchsuite.errors import TraceError
from benchsuite.spec import DataPath, Spec
from benchsuite.workloads.formats.base import Outcome, TraceRow
from benchsuite.workloads.formats.reading import number, table, whole_number

_COLUMNS: Final = ("Timestamp", "Model", "Request tokens", "Response tokens", "Log Type")


class BurstGPT(Spec, frozen=True, tag="burstgpt"):
    """BurstGPT (CSV): time, model, lengths, failures; sessions where the file has their ids.

    Of the releases with a `Session ID` the turns of a session are not due before their recorded
    time, nor before the turn before has ended; with `Elapsed time`, the gap between the two is as
    recorded. Rows without response tokens failed when they were recorded.
    """

    block_tokens: ClassVar[int] = 1  # the format has no hash ids

    path: DataPath  # the CSV, plain or gzipped

    def rows(self) -> Iterator[TraceRow | TraceError]:
        ended_s: dict[str, float | None] = {}  # by session, when its latest turn ended, if known
        for found in table(self.path, _COLUMNS):
            if isinstance(found, TraceError):
                yield found
                continue
            line, fields = found
            try:
                yield _row(line, fields, ended_s)
            except ValueError as error:
                yield TraceError(self.path, line, str(error))


def _row(line: int, fields: dict[str, str], ended_s: dict[str, float | None]) -> TraceRow:
    at_s = number("Timestamp", fields["Timestamp"])
    output_tokens = whole_number("Response tokens", fields["Response tokens"])
    elapsed = fields.get("Elapsed time")
    took_s = number("Elapsed time", elapsed) if elapsed else None
    session = fields.get("Session ID") or None
    gap_s = None
    if session is not None:
        before_s = ended_s.get(session)
        gap_s = None if before_s is None else max(0.0, at_s - before_s)
        ended_s[session] = None if took_s is None else at_s + took_s
    extra: dict[str, Any] = {
        name: fields[name] for name in ("Total tokens", "Log Type") if name in fields
    }
    return TraceRow(
        line=line,
        session_id=session,
        arrival_s=at_s,
        gap_s=gap_s,
        prompt_tokens=whole_number("Request tokens", fields["Request tokens"]),
        output_tokens=output_tokens,
        model=fields["Model"],
        outcome=Outcome(error=None if output_tokens else "no response", e2e_s=took_s),
        extra=extra or None,
    )
