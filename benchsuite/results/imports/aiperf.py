"""AIPerf 0.13's `profile_export.jsonl`: one record a line, chunk gaps included."""

from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from benchsuite.errors import RunError
from benchsuite.results.imports.base import Imported, Request, imported

NAME = "profile_export.jsonl"
PROFILING = "profiling"  # the phase that it measures; warm-up lines are left out


class _Value(Struct):
    value: Any


class _Metadata(Struct):
    request_start_ns: int
    request_end_ns: int
    benchmark_phase: str = PROFILING


class _Error(Struct):
    message: str = "error"
    type: str | None = None
    code: int | None = None


class _Line(Struct):
    metadata: _Metadata
    metrics: dict[str, _Value]
    error: _Error | None = None


def read(path: Path) -> Imported | None:
    """The records of a profile; `path` may be its artifact folder."""
    path = path / NAME if path.is_dir() else path
    if path.suffix != ".jsonl" or not path.exists():
        return None
    told, phases = [], set()
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if line.strip():
            found = _line(path, number, line)
            phases.add(found.metadata.benchmark_phase)
            if found.metadata.benchmark_phase == PROFILING:
                told.append(found)
    if not told:
        raise RunError(f"{path}: no line is of the phase {PROFILING!r} (found: {sorted(phases)})")
    zero_ns = min(one.metadata.request_start_ns for one in told)
    started = datetime.fromtimestamp(zero_ns / 1e9, UTC)
    return imported(
        "AIPerf",
        [_request(one, zero_ns) for one in told],
        model="unknown",
        arrivals=None,
        started_at=started.isoformat(timespec="seconds"),
        notes=("AIPerf's clock of when requests began is the wall clock",),
    )


def _line(path: Path, number: int, line: bytes) -> _Line:
    try:
        return msgspec.json.decode(line, type=_Line)
    except msgspec.DecodeError as error:
        raise RunError(f"{path}:{number}: not a record of AIPerf: {error}") from error


def _request(line: _Line, zero_ns: int) -> Request:
    """Seconds from `zero_ns` on: the wall clock's are too large for a float's last digits."""

    def value(name: str, unknown: float = 0.0) -> float:
        return float(line.metrics[name].value) if name in line.metrics else unknown

    sent_s = (line.metadata.request_start_ns - zero_ns) / 1e9
    gaps = line.metrics.get("inter_chunk_latency")
    gaps_s = [gap / 1e3 for gap in gaps.value] if gaps is not None else []
    first_s = sent_s + value("time_to_first_token") / 1e3
    has_token = "time_to_first_token" in line.metrics
    return Request(
        sent_s=sent_s,
        chunk_s=list(accumulate(gaps_s, initial=first_s)) if has_token else [],
        finished_s=(line.metadata.request_end_ns - zero_ns) / 1e9,
        prompt_tokens=int(value("input_sequence_length")),
        output_tokens=int(value("output_sequence_length")),
        error=None if line.error is None else line.error.message,
        error_class=(line.error and line.error.type) or "imported",
    )
