"""The objects of an answer: the response, its items, their parts."""

from msgspec import UNSET, Struct, UnsetType

from reference_engine.server.protocol.answers import Timings
from reference_engine.server.responses.request import (
    FunctionTool,
    ReasoningOptions,
    TextOptions,
    ToolName,
)


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
