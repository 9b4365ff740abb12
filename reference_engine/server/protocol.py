"""The wire types of the OpenAI API (chat completions, completions, models) and vLLM's additions.

In requests unknown fields are ignored and null means default; what has a wrong type is an
`ApiError` that names the field.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from reference_engine.behaviour import Effort
from reference_engine.server.chat_template import ChatMessage, ChatPrompt
from reference_engine.server.media import MediaError, MediaReader, unmarked


class ApiError(Exception):
    """A request that cannot be answered. `param` names the field at fault."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] = {},
    ) -> None:
        super().__init__(message)
        self.headers = headers
        self.status, self.message, self.param, self.code = status, message, param, code

    def body(self) -> bytes:
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        if self.status == 429:
            kind = "rate_limit_error"
        return msgspec.json.encode(
            ErrorBody(error=ErrorDetail(self.message, kind, self.param, self.code))
        )


class ErrorDetail(Struct):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(Struct):
    error: ErrorDetail


# --- requests ---------------------------------------------------------------------------------

Natural = Annotated[int, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]


class StreamOptions(Struct):
    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None


class ImageUrl(Struct):
    url: str
    detail: str | None = None


class InputAudio(Struct):
    data: str
    format: str = "wav"


class ContentPart(Struct):
    """Text, an image or sound; of chat or (`input_...`, `output_text`) of responses."""

    type: str
    text: str | None = None
    image_url: ImageUrl | str | None = None
    detail: str | None = None
    input_audio: InputAudio | None = None

    def told(self, reader: MediaReader) -> str:
        """Its text, or the mark of a medium. Raises ApiError."""
        try:
            if self.type in ("text", "input_text", "output_text") and self.text is not None:
                return unmarked(self.text)
            if self.type in ("image_url", "input_image") and self.image_url is not None:
                image = self.image_url
                if isinstance(image, str):
                    return reader.image(image, self.detail)
                return reader.image(image.url, image.detail)
            if self.type == "input_audio" and self.input_audio is not None:
                return reader.audio(self.input_audio.data, self.input_audio.format)
        except MediaError as error:
            raise ApiError(400, f"{self.type}: {error}", param="messages") from error
        problem = f"text, image_url and input_audio parts are read here; got type {self.type!r}"
        raise ApiError(400, problem, param="messages")


class FunctionCall(Struct):
    name: str
    arguments: str


class ToolCall(Struct):
    id: str
    function: FunctionCall
    type: str = "function"

    def told(self) -> dict[str, Any]:
        """As chat templates read it: arguments are an object, if they are one."""
        try:
            arguments = msgspec.json.decode(self.function.arguments)
        except (msgspec.DecodeError, RecursionError):
            arguments = self.function.arguments
        function = {"name": self.function.name, "arguments": arguments}
        return {"id": self.id, "type": self.type, "function": function}


class Message(Struct):
    role: str
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None

    @property
    def has_media(self) -> bool:
        """Whether it holds more than text."""
        return isinstance(self.content, list) and any(part.text is None for part in self.content)

    def told(self, reader: MediaReader) -> ChatMessage:
        """As chat templates read it. Raises ApiError for a part that cannot be read."""
        more: dict[str, Any] = {
            "name": self.name,
            "tool_calls": self.tool_calls and [call.told() for call in self.tool_calls],
            "tool_call_id": self.tool_call_id,
            "reasoning_content": self.reasoning_content,
        }
        given = {name: value for name, value in more.items() if value is not None}
        content = self.content or ""
        if not isinstance(content, str):
            return ChatMessage(self.role, "".join(part.told(reader) for part in content), given)
        return ChatMessage(self.role, unmarked(content), given)


class Function(Struct, omit_defaults=True):
    name: Annotated[str, Meta(min_length=1)]
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(Struct):
    function: Function
    type: Literal["function"] = "function"


def chat_prompt(
    messages: list[Message],
    tools: list[Tool] | None,
    settings: dict[str, Any] | None,
    image_tokens: int,
) -> ChatPrompt:
    """What a chat template is given. Raises ApiError for none, or for parts that cannot be read."""
    if not messages:
        raise ApiError(400, "messages must hold at least one message", param="messages")
    reader = MediaReader(image_tokens)
    told = [message.told(reader) for message in messages]
    described = [msgspec.to_builtins(tool) for tool in tools or ()]
    return ChatPrompt(told, described, settings or {}, reader.media)


class NamedFunction(Struct):
    name: str


class NamedTool(Struct):
    function: NamedFunction
    type: Literal["function"] = "function"


class JsonSchema(Struct):
    schema: dict[str, Any] | None = None


class ResponseFormat(Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class GenerationRequest(Struct, kw_only=True):
    """What chat completions and completions have in common."""

    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Count | None = None
    min_tokens: Natural | None = None
    ignore_eos: bool | None = None
    temperature: Annotated[float, Meta(ge=0)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    top_k: Annotated[int, Meta(ge=-1)] | None = None
    min_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    repetition_penalty: Annotated[float, Meta(gt=0)] | None = None
    stop: str | list[str] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    priority: int | None = None
    request_id: str | None = None

    @property
    def num_logprobs(self) -> int | None:
        """Likeliest tokens to tell with each; None: no log-probabilities."""
        return None

    def stops(self) -> tuple[str, ...]:
        """The stop strings. Raises ApiError for an empty one."""
        stops = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        if not all(stops):
            raise ApiError(400, "stop cannot contain an empty string", param="stop")
        return stops

    def check(self) -> None:
        """Refuse what would change the answer's meaning if it were ignored."""
        if self.stream_options is not None and not self.stream:
            raise ApiError(
                400, "stream_options are for streams: set stream to true", param="stream_options"
            )


class ChatRequest(GenerationRequest, kw_only=True):
    messages: list[Message]
    max_completion_tokens: Count | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    reasoning_effort: Effort | None = None
    thinking_token_budget: Natural | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    response_format: ResponseFormat | None = None

    @property
    def num_logprobs(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None

    def callable_tools(self) -> list[Tool]:
        """Tools that the answer may call: all, the one named, none. Raises ApiError."""
        choice, tools = self.tool_choice, self.tools or []
        if isinstance(choice, NamedTool):
            name = choice.function.name
            tools = [tool for tool in tools if tool.function.name == name]
            if not tools:
                problem = f"tool_choice names {name!r}, which is not among the tools"
                raise ApiError(400, problem, param="tool_choice")
        elif choice == "required" and not tools:
            raise ApiError(400, "tool_choice is required, but no tools are given", param="tools")
        return [] if choice == "none" else tools


class CompletionRequest(GenerationRequest, kw_only=True):
    prompt: str | list[str | int | list[int]]
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None

    @property
    def num_logprobs(self) -> int | None:
        return self.logprobs

    def prompts(self) -> list[str | list[int]]:
        """One or several, each as text or token ids. Raises ApiError for none."""
        return _prompts(self.prompt, "prompt")


def _prompts(given: str | list[str | int | list[int]], param: str) -> list[str | list[int]]:
    if isinstance(given, str):
        return [given]
    ids = [item for item in given if isinstance(item, int)]
    if ids and len(ids) == len(given):
        return [ids]
    several = [item for item in given if not isinstance(item, int)]
    if not several or ids or [] in several:
        problem = f"{param} must be texts or lists of token ids, at least one"
        raise ApiError(400, problem, param=param)
    return several


class EmbeddingRequest(Struct):
    input: str | list[str | int | list[int]]
    model: str | None = None
    encoding_format: Literal["float", "base64"] | None = None

    def prompts(self) -> list[str | list[int]]:
        """One or several, each as text or token ids. Raises ApiError for none."""
        return _prompts(self.input, "input")


class TokenizeRequest(Struct):
    prompt: str | None = None
    content: str | None = None  # llama.cpp's name
    messages: list[Message] | None = None
    tools: list[Tool] | None = None
    chat_template_kwargs: dict[str, Any] | None = None


class DetokenizeRequest(Struct):
    tokens: list[Annotated[int, Meta(ge=0, le=2**32 - 1)]]


_PATH: Final = re.compile(r" - at `\$\.?([^`]*)`$")


_T = TypeVar("_T")


def read_body(body: bytes, kind: type[_T]) -> _T:
    """Decode a request body. Raises ApiError that names the field at fault."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        where = _PATH.search(str(error))
        param = where[1] if where else None
        raise ApiError(
            400, f"{param or 'body'}: {_PATH.sub('', str(error))}", param=param
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(400, f"the request body is not valid JSON: {error}") from error


# --- answers ----------------------------------------------------------------------------------


class PromptTokensDetails(Struct, omit_defaults=True):
    cached_tokens: int
    image_tokens: int = 0
    audio_tokens: int = 0


class CompletionTokensDetails(Struct):
    reasoning_tokens: int


class Usage(Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails | UnsetType = UNSET
    completion_tokens_details: CompletionTokensDetails | UnsetType = UNSET


ChunkUsage = Usage | None | UnsetType
"""In a stream: UNSET if not asked for, None until the last part, or running counts."""


class FunctionDelta(Struct, omit_defaults=True):
    name: str | None = None
    arguments: str | None = None


class ToolCallDelta(Struct, omit_defaults=True):
    index: int | UnsetType = UNSET
    id: str | None = None
    type: str | None = None
    function: FunctionDelta | None = None


class Timings(Struct, omit_defaults=True):
    """Where the time went, as llama.cpp says it, and the phases that it does not have."""

    queue_ms: float | None = None
    encode_ms: float | None = None
    prompt_ms: float | None = None
    transfer_ms: float | None = None
    predicted_ms: float | None = None


class Delta(Struct, omit_defaults=True):
    role: str | None = None
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCallDelta] | None = None


class Likely(Struct):
    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(Struct):
    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[Likely]


class ChatLogprobs(Struct):
    content: list[TokenLogprob]


class CompletionLogprobs(Struct):
    """A column of each; offsets are those of the tokens in the text."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class ChatChunkChoice(Struct):
    delta: Delta
    index: int = 0
    logprobs: ChatLogprobs | None = None
    finish_reason: str | None = None


class ChatChunk(Struct):
    id: str
    object: str
    created: int
    model: str
    choices: list[ChatChunkChoice]
    usage: ChunkUsage = UNSET
    timings: Timings | UnsetType = UNSET


class AssistantMessage(Struct):
    content: str | None
    role: str = "assistant"
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[ToolCall] | UnsetType = UNSET


class ChatChoice(Struct):
    message: AssistantMessage
    index: int = 0
    logprobs: ChatLogprobs | None = None
    finish_reason: str | None = None


class ChatCompletion(Struct):
    id: str
    object: str
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage
    timings: Timings


class CompletionChoice(Struct):
    text: str
    index: int = 0
    logprobs: CompletionLogprobs | None = None
    finish_reason: str | None = None


class Completion(Struct):
    id: str
    object: str
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: ChunkUsage = UNSET
    timings: Timings | UnsetType = UNSET


class Embedding(Struct):
    index: int
    embedding: list[float] | str
    object: str = "embedding"


class EmbeddingUsage(Struct):
    prompt_tokens: int
    total_tokens: int


class Embeddings(Struct):
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage
    object: str = "list"


class Model(Struct):
    id: str
    created: int
    max_model_len: int
    object: str = "model"
    owned_by: str = "reference_engine"


class ModelList(Struct):
    data: list[Model]
    object: str = "list"


class Tokens(Struct):
    count: int
    max_model_len: int
    tokens: list[int]


class Prompt(Struct):
    prompt: str
