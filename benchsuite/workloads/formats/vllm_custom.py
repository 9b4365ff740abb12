"""vLLM's custom data set (JSONL): prompts of one's own."""

from collections.abc import Iterator
from typing import ClassVar

from msgspec import Struct

from benchsuite.errors import TraceError
from benchsuite.request import Message
from benchsuite.spec import DataPath, Spec
from benchsuite.workloads.formats.base import Tokens, TraceRow
from benchsuite.workloads.formats.reading import objects


class _Row(Struct):
    prompt: str
    output_tokens: Tokens | None = None


class VllmCustom(Spec, frozen=True, tag="vllm_custom"):
    """vLLM's custom data set (JSONL): `prompt`, and `output_tokens` where they are known."""

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
                messages=(Message("user", row.prompt),),
                output_tokens=row.output_tokens,
                extra=place.rest(_Row),
            )
