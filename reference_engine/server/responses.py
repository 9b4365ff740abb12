"""/v1/responses: its requests said as chat, and answers as its items and events, in OpenAI's order.

Nothing is stored: `previous_response_id` and `background` are refused. An answer is up to three
items: thought, then text or a call.
"""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from reference_engine.behaviour import Effort
from reference_engine.server.answer import Kind, Piece
from reference_engine.server.formats import Head, Whole, Writer, event_data
from reference_engine.server.protocol import (
    ApiError,
    ChatRequest,
    ContentPart,
    Count,
    Function,
    FunctionCall,
    JsonSchema,
    Message,
    NamedFunction,
    NamedTool,
    Natural,
    ResponseFormat,
    StreamOptions,
    Timings,
    Tool,
    ToolCall,
    Usage,
)


class Item(Struct):
    """An item of `input`: a message, a call, a call's result, thought."""

    type: str = "message"
    role: str | None = None
    content: str | list[ContentPart] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | list[ContentPart] | None = None

    def message(self) -> Message | None:
        """The same in a chat; None for thought, which its template would drop as well."""
        if self.type == "message" and self.role is not None:
            return Message(self.role, self.content)
        if self.type == "function_call":
            function = FunctionCall(self.name or "", self.arguments or "")
            return Message("assistant", tool_calls=[ToolCall(self.call_id or "", function)])
        if self.type == "function_call_output":
            return Message("tool", self.output, tool_call_id=self.call_id)
        if self.type == "reasoning":
            return None
        raise ApiError(400, f"input: no items of type {self.type!r} are read here", param="input")


class FunctionTool(Struct, omit_defaults=True):
    type: str
    name: str = ""
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolName(Struct):
    name: str
    type: Literal["function"] = "function"


class ReasoningOptions(Struct):
    effort: Effort | None = None
    summary: str | None = None


class TextFormat(Struct):
    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema: dict[str, Any] | None = None


class TextOptions(Struct):
    format: TextFormat | None = None


class ResponsesRequest(Struct, kw_only=True):
    """The fields that are read; others are ignored, as in chat."""

    input: str | list[Item]
    model: str | None = None
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: Count | None = None
    temperature: Annotated[float, Meta(ge=0)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    tools: list[FunctionTool] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolName | None = None
    parallel_tool_calls: bool | None = None
    reasoning: ReasoningOptions | None = None
    text: TextOptions | None = None
    metadata: dict[str, str] | None = None
    previous_response_id: str | None = None
    background: bool | None = None
    # as in chat, by other servers too
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    min_tokens: Natural | None = None
    ignore_eos: bool | None = None
    thinking_token_budget: Natural | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    priority: int | None = None
    request_id: str | None = None

    def chat(self) -> ChatRequest:
        """The same request of a chat. Raises ApiError for what needs stored answers."""
        for name in ("previous_response_id", "background"):
            if getattr(self, name):
                raise ApiError(400, f"{name}: this server stores no answers", param=name)
        choice = self.tool_choice
        return ChatRequest(
            messages=self._messages(),
            model=self.model,
            stream=self.stream,
            max_tokens=self.max_output_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            tools=[
                Tool(Function(tool.name, tool.description, tool.parameters))
                for tool in self.tools or ()
                if tool.type == "function" and tool.name
            ],
            tool_choice=NamedTool(NamedFunction(choice.name))
            if isinstance(choice, ToolName)
            else choice,
            reasoning_effort=None if self.reasoning is None else self.reasoning.effort,
            response_format=self._format(),
            seed=self.seed,
            min_tokens=self.min_tokens,
            ignore_eos=self.ignore_eos,
            thinking_token_budget=self.thinking_token_budget,
            chat_template_kwargs=self.chat_template_kwargs,
            priority=self.priority,
            request_id=self.request_id,
        )

    def _messages(self) -> list[Message]:
        messages = [] if self.instructions is None else [Message("system", self.instructions)]
        if isinstance(self.input, str):
            return [*messages, Message("user", self.input)]
        return messages + [told for item in self.input if (told := item.message()) is not None]

    def _format(self) -> ResponseFormat | None:
        if self.text is None or self.text.format is None:
            return None
        return ResponseFormat(self.text.format.type, JsonSchema(self.text.format.schema))


# --- answers ----------------------------------------------------------------------------------


class CachedTokens(Struct):
    cached_tokens: int


class ReasoningTokens(Struct):
    reasoning_tokens: int


class ResponseUsage(Struct):
    input_tokens: int
    input_tokens_details: CachedTokens
    output_tokens: int
    output_tokens_details: ReasoningTokens
    total_tokens: int


class Part(Struct, omit_defaults=True):
    type: str
    text: str | UnsetType = UNSET
    annotations: list[str] | UnsetType = UNSET


class OutputItem(Struct):
    """A message, a call or thought; which fields it has follows from its type."""

    id: str
    type: str
    status: str
    role: str | UnsetType = UNSET
    content: list[Part] | UnsetType = UNSET
    summary: list[str] | UnsetType = UNSET
    call_id: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    arguments: str | UnsetType = UNSET


class IncompleteDetails(Struct):
    reason: str


class ResponseError(Struct):
    code: str
    message: str


class Response(Struct, kw_only=True):
    id: str
    created_at: int
    model: str
    status: str
    output: list[OutputItem]
    object: str = "response"
    error: ResponseError | None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    metadata: dict[str, str]
    parallel_tool_calls: bool
    temperature: float | None
    top_p: float | None
    tool_choice: str | ToolName
    tools: list[FunctionTool]
    reasoning: ReasoningOptions
    text: TextOptions
    usage: ResponseUsage | None = None
    timings: Timings | UnsetType = UNSET


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
