"""Alibaba Cloud's Bailian (Qwen) traces (JSONL; Wang et al., "KVCache in the wild", ATC 2025)."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, Struct

from benchsuite.errors import TraceError
from benchsuite.spec import Count, DataPath, Spec
from benchsuite.workloads.blocks import misfit, packed
from benchsuite.workloads.formats.base import Tokens, TraceRow
from benchsuite.workloads.formats.reading import objects


class _Row(Struct):
    chat_id: int
    parent_chat_id: int  # -1: none
    timestamp: Annotated[float, Meta(ge=0)]  # seconds
    input_length: Tokens
    output_length: Tokens
    hash_ids: tuple[int, ...]
    type: str = "text"
    turn: int | None = None


class Bailian(Spec, frozen=True, tag="bailian"):
    """Bailian / Qwen trace (JSONL): times, lengths, parents, and a hash id for each 16 tokens.

    Requests with a common ancestor are a session. A later one is due at its recorded time, or when
    its parent has ended if that is later: how long that took was not recorded.
    """

    path: DataPath  # the JSONL, plain or gzipped
    block_tokens: Count = 16  # that one hash id stands for

    def rows(self) -> Iterator[TraceRow | TraceError]:
        root: dict[int, int] = {}  # of each request so far
        for found in objects(self.path, _Row):
            if isinstance(found, TraceError):
                yield found
                continue
            (line, _), row = found
            if problem := misfit(row.hash_ids, row.input_length, self.block_tokens):
                yield TraceError(self.path, line, problem)
                continue
            has_parent = row.parent_chat_id in root  # a trace is cut out of a longer one
            root[row.chat_id] = root[row.parent_chat_id] if has_parent else row.chat_id
            yield TraceRow(
                line=line,
                session_id=root[row.chat_id],
                id=row.chat_id,
                after=(row.parent_chat_id,) if has_parent else None,
                arrival_s=row.timestamp,
                prompt_tokens=row.input_length,
                output_tokens=row.output_length,
                hash_ids=packed(row.hash_ids),
                extra=(found[0].rest(_Row) or {})
                | {"type": row.type, "turn": row.turn, "parent_chat_id": row.parent_chat_id},
            )
