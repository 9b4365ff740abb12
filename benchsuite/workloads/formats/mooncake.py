"""Mooncake traces (JSONL; Qin et al., "Mooncake", FAST 2025)."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, Struct

from benchsuite.errors import TraceError
from benchsuite.spec import Count, DataPath, Spec
from benchsuite.workloads.blocks import misfit
from benchsuite.workloads.formats.base import TraceRow
from benchsuite.workloads.formats.reading import json_rows


class _Row(Struct, frozen=True, forbid_unknown_fields=True):
    timestamp: Annotated[float, Meta(ge=0)]  # milliseconds
    input_length: Annotated[int, Meta(ge=0)]
    output_length: Annotated[int, Meta(ge=0)]
    hash_ids: tuple[int, ...]


class Mooncake(Spec, frozen=True, tag="mooncake"):
    """Mooncake trace (JSONL): time, lengths, and a hash id for each block of the prompt.

    Equal ids become equal text, so a prefix cache finds what it found in production.
    `block_tokens` is what one id stands for: 512 in the published traces.
    """

    path: DataPath
    block_tokens: Count = 512

    def rows(self) -> Iterator[TraceRow | TraceError]:
        for line, row in json_rows(self.path, _Row):
            if isinstance(row, TraceError):
                yield row
                continue
            if problem := misfit(row.hash_ids, row.input_length, self.block_tokens):
                yield TraceError(self.path, line, problem)
                continue
            yield TraceRow(
                line=line,
                arrival_s=row.timestamp / 1000,
                prompt_tokens=row.input_length,
                output_tokens=row.output_length,
                hash_ids=row.hash_ids,
            )
