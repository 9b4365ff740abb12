"""Bodies of answers: whole ones, and the chunks of streams."""

from msgspec import UNSET, Struct, UnsetType

from reference_engine.server.protocol.messages import ToolCall


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
