"""A request of /v1/responses, and the same request of a chat.

Nothing is stored: `previous_response_id` and `background` are refused.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from reference_engine.behaviour import Effort
from reference_engine.server.protocol.errors import ApiError
from reference_engine.server.protocol.messages import (
    ContentPart,
    Function,
    FunctionCall,
    Message,
    Tool,
    ToolCall,
)
from reference_engine.server.protocol.requests import (
    ChatRequest,
    Count,
    JsonSchema,
    NamedFunction,
    NamedTool,
    Natural,
    ResponseFormat,
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
