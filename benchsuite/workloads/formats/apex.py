"""Traces of APEX (JSONL; Lin et al., arXiv:2411.17651)."""

from collections.abc import Iterator
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from benchsuite.errors import TraceError
from benchsuite.spec import DataPath, Spec
from benchsuite.workloads.formats.base import Tokens, TraceRow
from benchsuite.workloads.formats.reading import objects


class _Row(Struct, rename="pascal"):
    start_time_offset: Annotated[float, Meta(ge=0)]  # nanoseconds from the first request
    context_tokens: Tokens
    generated_tokens: Tokens


class Apex(Spec, frozen=True, tag="apex"):
    """APEX trace (JSONL): StartTimeOffset in nanoseconds, ContextTokens, GeneratedTokens."""

    block_tokens: ClassVar[int] = 1  # the format has no hash ids

    path: DataPath  # the JSONL, plain or gzipped

    def rows(self) -> Iterator[TraceRow | TraceError]:
        for found in objects(self.path, _Row):
            if isinstance(found, TraceError):
                yield found
                continue
            place, row = found
            yield TraceRow(
                line=place.line,
                arrival_s=row.start_time_offset / 1e9,
                prompt_tokens=row.context_tokens,
                output_tokens=row.generated_tokens,
                extra=place.rest(_Row),
            )
