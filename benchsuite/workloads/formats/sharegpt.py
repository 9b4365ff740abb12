"""ShareGPT conversations (JSON array or JSONL), and chats of `messages` in the same way."""

from collections.abc import Iterator
from typing import Any, ClassVar

from msgspec import Struct

from benchsuite.errors import TraceError
from benchsuite.spec import DataPath, Spec
from benchsuite.workloads.formats import chat
from benchsuite.workloads.formats.base import Name, TraceRow
from benchsuite.workloads.formats.reading import objects


class _Row(Struct):
    id: Name | None = None
    conversations: list[dict[str, Any]] | None = None  # {from: human | gpt, value}
    messages: list[dict[str, Any]] | None = None  # {role, content}
    tools: list[dict[str, Any]] | None = None


class ShareGPT(Spec, frozen=True, tag="sharegpt"):
    """ShareGPT (JSON or JSONL): conversations of human and gpt, or of messages with roles.

    Each answer is a request with all that was said before; its length is the recorded answer's.
    Conversations without an answer are broken rows. vLLM's multi-turn benchmark writes this form.
    """

    block_tokens: ClassVar[int] = 1  # the format has no hash ids

    path: DataPath  # JSON or JSONL, plain or gzipped

    def rows(self) -> Iterator[TraceRow | TraceError]:
        for found in objects(self.path, _Row):
            if isinstance(found, TraceError):
                yield found
                continue
            place, row = found
            messages = row.messages if row.conversations is None else row.conversations
            session_id = place.line if row.id is None else f"{row.id}#{place.line}"
            extra = (place.rest(_Row) or {}) | ({} if row.id is None else {"id": row.id})
            try:
                rows = list(
                    chat.session(
                        place.line, session_id, messages or (), tools=row.tools, extra=extra
                    )
                )
                if not rows:
                    raise ValueError("conversations: expected an answer of the model behind others")
            except ValueError as error:
                yield TraceError(self.path, place.line, str(error))
            else:
                yield from rows
