"""How /v1/responses spells an answer: up to three items, thought, then text or a call."""

from collections.abc import Sequence
from itertools import repeat
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from reference_engine.server.answer import Kind, Piece
from reference_engine.server.formats import Head, Whole, Writer, event_data
from reference_engine.server.protocol.answers import Timings, Usage
from reference_engine.server.protocol.errors import ApiError
from reference_engine.server.protocol.requests import StreamOptions
from reference_engine.server.responses.objects import (
    CachedTokens,
    IncompleteDetails,
    OutputItem,
    Part,
    ReasoningTokens,
    Response,
    ResponseError,
    ResponseUsage,
)
from reference_engine.server.responses.request import (
    ReasoningOptions,
    ResponsesRequest,
    TextFormat,
    TextOptions,
)


class ResponsesFormat:
    """Spells the answers to one request; see `formats.Format`."""

    id_prefix = "resp_"

    def writer(self, head: Head, prompt_tokens: int, options: StreamOptions) -> Writer:
        return ResponsesWriter(self, head)

    def __init__(self, request: ResponsesRequest) -> None:
        self._request = request

    def response(self, head: Head, status: str, output: list[OutputItem]) -> Response:
        """All of it; what was asked is said again."""
        asked = self._request
        return Response(
            id=head.id,
            created_at=head.created,
            model=head.model,
            status=status,
            output=output,
            instructions=asked.instructions,
            max_output_tokens=asked.max_output_tokens,
            metadata=asked.metadata or {},
            parallel_tool_calls=False,
            temperature=asked.temperature,
            top_p=asked.top_p,
            tool_choice=asked.tool_choice or "auto",
            tools=asked.tools or [],
            reasoning=asked.reasoning or ReasoningOptions(),
            text=asked.text or TextOptions(TextFormat("text")),
        )

    def ended(
        self,
        head: Head,
        finish_reason: str,
        output: list[OutputItem],
        usage: Usage,
        timings: Timings,
    ) -> Response:
        """The response when it is over."""
        is_cut = finish_reason == "length"
        response = self.response(head, "incomplete" if is_cut else "completed", output)
        response.incomplete_details = IncompleteDetails("max_output_tokens") if is_cut else None
        response.timings = timings
        thoughts = usage.completion_tokens_details
        cached = usage.prompt_tokens_details
        response.usage = ResponseUsage(
            usage.prompt_tokens,
            CachedTokens(0 if cached is UNSET else cached.cached_tokens),
            usage.completion_tokens,
            ReasoningTokens(0 if thoughts is UNSET else thoughts.reasoning_tokens),
            usage.total_tokens,
        )
        return response

    def whole(self, head: Head, choices: list[Whole], usage: Usage, timings: Timings) -> Response:
        (choice,) = choices
        output = []
        if choice.reasoning:
            piece = Piece(Kind.REASONING, "")
            output.append(_finished(_begun(head, 0, piece), choice.reasoning))
        if choice.call is not None:
            piece = Piece(Kind.CALL, "", choice.call)
            output.append(_finished(_begun(head, len(output), piece), choice.arguments))
        elif choice.text or not output:
            piece = Piece(Kind.TEXT, "")
            output.append(_finished(_begun(head, len(output), piece), choice.text))
        return self.ended(head, choice.finish_reason, output, usage, timings)


_PART_OF: Final = {Kind.TEXT: "output_text", Kind.REASONING: "reasoning_text"}
_DELTA_OF: Final = {**_PART_OF, Kind.CALL: "function_call_arguments"}


class ResponsesWriter:
    """The events of one response: `choices.Writer`."""

    def __init__(self, spelling: ResponsesFormat, head: Head) -> None:
        self._spelling, self._head = spelling, head
        self._number = 0  # of the next event
        self._output: list[OutputItem] = []
        self._kind: Kind | None = None  # of the item that is open
        self._texts: list[str] = []
        self._finish_reason = ""

    def opening(self, index: int) -> bytes:
        response = self._spelling.response(self._head, "in_progress", [])
        return self._event("created", response=response) + self._event(
            "in_progress", response=response
        )

    def piece(self, index: int, piece: Piece, output_tokens: int) -> bytes:
        events = b""
        if piece.kind is not self._kind:
            events = self._close() + self._open(piece)
        if not piece.text:
            return events
        self._texts.append(piece.text)
        return events + self._event(f"{_DELTA_OF[piece.kind]}.delta", delta=piece.text)

    def texts(self, index: int, texts: Sequence[str], output_tokens: Sequence[int]) -> list[bytes]:
        pieces = [Piece(Kind.TEXT, text) for text in texts]
        return list(map(self.piece, repeat(index), pieces, output_tokens))

    def end(self, index: int, finish_reason: str, output_tokens: int) -> bytes:
        self._finish_reason = finish_reason
        return self._close()

    def closing(self, usage: Usage, timings: Timings) -> bytes:
        reason = self._finish_reason
        response = self._spelling.ended(self._head, reason, self._output, usage, timings)
        return self._event(response.status, response=response)

    def failure(self, error: ApiError) -> bytes:
        response = self._spelling.response(self._head, "failed", self._output)
        response.error = ResponseError("server_error", error.message)
        return self._event("failed", response=response)

    def _open(self, piece: Piece) -> bytes:
        item = _begun(self._head, len(self._output), piece)
        self._output.append(item)
        self._kind, self._texts = piece.kind, []
        events = self._event("output_item.added", item=item)
        if piece.kind is Kind.CALL:
            return events
        return events + self._event("content_part.added", part=_part(piece.kind, ""))

    def _close(self) -> bytes:
        if self._kind is None:
            return b""
        kind, text = self._kind, "".join(self._texts)
        self._kind = None
        said = {"arguments" if kind is Kind.CALL else "text": text}
        events = self._event(f"{_DELTA_OF[kind]}.done", kind=kind, **said)
        if kind is not Kind.CALL:
            events += self._event("content_part.done", kind=kind, part=_part(kind, text))
        item = self._output[-1] = _finished(self._output[-1], text)
        return events + self._event("output_item.done", item=item)

    def _event(self, name: str, kind: Kind | None = None, **fields: Any) -> bytes:
        """One event. Those about an item say which, and those about a part of it the part."""
        kind = kind or self._kind
        event = {"type": f"response.{name}", "sequence_number": self._number, **fields}
        self._number += 1
        if "response" not in fields:
            event["output_index"] = len(self._output) - 1
            if "item" not in fields:
                event["item_id"] = self._output[-1].id
                if kind is not Kind.CALL:
                    event["content_index"] = 0
        if name.startswith("output_text"):
            event["logprobs"] = []
        return b"event: response.%b\n%b" % (name.encode(), event_data(event))


def _begun(head: Head, index: int, piece: Piece) -> OutputItem:
    """The item that a piece belongs to, still empty."""
    own = head.id.removeprefix(ResponsesFormat.id_prefix)
    if piece.kind is Kind.CALL:
        assert piece.call is not None, "a call begins with its head"
        return OutputItem(
            f"fc_{own}_{index}",
            "function_call",
            "in_progress",
            call_id=piece.call.id,
            name=piece.call.name,
            arguments="",
        )
    if piece.kind is Kind.REASONING:
        return OutputItem(f"rs_{own}_{index}", "reasoning", "in_progress", content=[], summary=[])
    return OutputItem(f"msg_{own}_{index}", "message", "in_progress", role="assistant", content=[])


def _finished(item: OutputItem, text: str) -> OutputItem:
    if item.type == "function_call":
        return msgspec.structs.replace(item, status="completed", arguments=text)
    kind = Kind.TEXT if item.type == "message" else Kind.REASONING
    return msgspec.structs.replace(item, status="completed", content=[_part(kind, text)])


def _part(kind: Kind, text: str) -> Part:
    annotations: list[str] | UnsetType = [] if kind is Kind.TEXT else UNSET
    return Part(_PART_OF[kind], text, annotations)
