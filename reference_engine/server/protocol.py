"""The wire types of the OpenAI API (chat completions, completions, models) and vLLM's additions.

In requests unknown fields are ignored and null means default; what has a wrong type is an
`ApiError` that names the field.
"""

import re
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from reference_engine.server.chat_template import ChatMessage


class ApiError(Exception):
    """A request that cannot be answered. `param` names the field at fault."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code

    def body(self) -> bytes:
        kind = "invalid_request_error" if self.status < 500 else "server_error"
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


class ContentPart(Struct):
    type: str
    text: str | None = None


class Message(Struct):
    role: str
    content: str | list[ContentPart] | None = None

    def text(self) -> str:
        """Text of all parts. Raises ApiError for a part that is no text."""
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        for part in self.content:
            if part.type != "text" or part.text is None:
                problem = f"this model reads text parts only; got one of type {part.type!r}"
                raise ApiError(400, problem, param="messages")
        return "".join(part.text or "" for part in self.content)


def chat_messages(messages: list[Message]) -> list[ChatMessage]:
    """The conversation as text. Raises ApiError for none, or for parts that are no text."""
    if not messages:
        raise ApiError(400, "messages must hold at least one message", param="messages")
    return [ChatMessage(message.role, message.text()) for message in messages]


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
    stop: str | list[str] | None = None
    n: int | None = None

    def stops(self) -> tuple[str, ...]:
        """The stop strings. Raises ApiError for an empty one."""
        stops = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        if not all(stops):
            raise ApiError(400, "stop cannot contain an empty string", param="stop")
        return stops

    def check(self) -> None:
        """Refuse what would change the answer's meaning if it were ignored."""
        if self.n not in (None, 1):
            raise ApiError(400, f"this server gives one answer a request; n is {self.n}", param="n")
        if self.stream_options is not None and not self.stream:
            raise ApiError(
                400, "stream_options are for streams: set stream to true", param="stream_options"
            )


class ChatRequest(GenerationRequest, kw_only=True):
    messages: list[Message]
    max_completion_tokens: Count | None = None


class CompletionRequest(GenerationRequest, kw_only=True):
    prompt: str | list[str | int | list[int]]

    def one_prompt(self) -> str | list[int]:
        """The prompt as text or token ids. Raises ApiError unless it is exactly one."""
        prompt = self.prompt
        if isinstance(prompt, str):
            return prompt
        ids = [item for item in prompt if isinstance(item, int)]
        if ids and len(ids) == len(prompt):
            return ids
        first = prompt[0] if len(prompt) == 1 else None
        if isinstance(first, str) or (isinstance(first, list) and first):
            return first
        raise ApiError(400, "prompt must be one text or one list of token ids", param="prompt")


class TokenizeRequest(Struct):
    prompt: str | None = None
    messages: list[Message] | None = None


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


class PromptTokensDetails(Struct):
    cached_tokens: int


class Usage(Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails | UnsetType = UNSET


ChunkUsage = Usage | None | UnsetType
"""In a stream: UNSET if not asked for, None until the last part, or running counts."""


class Delta(Struct, omit_defaults=True):
    role: str | None = None
    content: str | None = None


class ChatChunkChoice(Struct):
    delta: Delta
    index: int = 0
    logprobs: None = None
    finish_reason: str | None = None


class ChatChunk(Struct):
    id: str
    object: str
    created: int
    model: str
    choices: list[ChatChunkChoice]
    usage: ChunkUsage = UNSET


class AssistantMessage(Struct):
    content: str
    role: str = "assistant"


class ChatChoice(Struct):
    message: AssistantMessage
    index: int = 0
    logprobs: None = None
    finish_reason: str | None = None


class ChatCompletion(Struct):
    id: str
    object: str
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage


class CompletionChoice(Struct):
    text: str
    index: int = 0
    logprobs: None = None
    finish_reason: str | None = None


class Completion(Struct):
    id: str
    object: str
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: ChunkUsage = UNSET


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
