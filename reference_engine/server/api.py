"""The OpenAI API without a transport: method, path and body in, a reply out.

`app.py` puts it on sockets; on virtual time it is called directly.
"""

import asyncio
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from math import ceil, hypot
from struct import pack
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from reference_engine.behaviour import Behaviour
from reference_engine.config import EngineConfig
from reference_engine.emit_log import EmitLog
from reference_engine.engine import Engine, PromptTooLongError, QueueFullError
from reference_engine.executors import Roofline
from reference_engine.media import Placed
from reference_engine.sequence import Guide, SamplingParams, Sequence
from reference_engine.server.answer import PLAIN, Answer, Plan, TokenSource
from reference_engine.server.chat_template import ChatPrompt, ChatTemplateError
from reference_engine.server.choices import Choices
from reference_engine.server.formats import CHAT, COMPLETION, Format, Head
from reference_engine.server.media import Encoded
from reference_engine.server.planning import Planner
from reference_engine.server.protocol import (
    ApiError,
    ChatRequest,
    CompletionRequest,
    DetokenizeRequest,
    Embedding,
    EmbeddingRequest,
    Embeddings,
    EmbeddingUsage,
    GenerationRequest,
    Model,
    ModelList,
    Prompt,
    StreamOptions,
    TokenizeRequest,
    Tokens,
    chat_prompt,
    read_body,
)
from reference_engine.server.responses import ResponsesFormat, ResponsesRequest
from reference_engine.server.tokenizer import Tokenizer, open_tokenizer
from reference_engine.specs import ConfigError, EngineError

JSON: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream; charset=utf-8"
PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"

_TOO_LONG: Final = "context_length_exceeded"  # OpenAI's code
_DEFAULT_COMPLETION_TOKENS: Final = 16  # as OpenAI's /v1/completions
_LONG_TEXT: Final = 4096  # characters; about a millisecond of tokenizing


Result = TypeVar("Result")


class Asked(NamedTuple):
    """What one sequence is made of: `TokenSource.submit`'s arguments."""

    prompt_ids: list[int]
    params: SamplingParams
    guide: Guide | None
    name: str | None
    media: tuple[Placed, ...]


class EventStream:
    """Server-sent events of one answer. `aclose` cancels its sequence, begun or not."""

    def __init__(self, events: AsyncGenerator[bytes, None], cancel: Callable[[], None]) -> None:
        self._events, self._cancel = events, cancel

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._events

    async def aclose(self) -> None:
        await self._events.aclose()
        self._cancel()  # closing a generator that never began runs none of its code


class Reply(NamedTuple):
    """A whole body, or complete server-sent events as they come (at least one an item)."""

    status: int
    content_type: str
    body: bytes | EventStream
    headers: Mapping[str, str] = {}


Handler = Callable[[bytes], Awaitable[Reply]]


class Api:
    """Everything the server answers.

    `unix_epoch_s` is Unix time minus loop time (0 on virtual time: the same bytes in each run).
    Long texts are tokenized on `threads`, if given, so that other streams need not wait. Made on
    the loop that will run it.
    """

    def __init__(
        self,
        engine: TokenSource,
        tokenizer: Tokenizer,
        model: str,
        *,
        unix_epoch_s: float = 0.0,
        threads: ThreadPoolExecutor | None = None,
        planner: Planner | None = None,
        image_tokens: int = 256,
    ) -> None:
        self._engine, self._tokenizer, self.model = engine, tokenizer, model
        self._planner = planner or Planner(Behaviour(), tokenizer, is_random=True, seed=0)
        self._image_tokens = image_tokens
        self._unix_epoch_s, self._threads = unix_epoch_s, threads
        self._started_s = self._unix_time_s()
        self._routes: dict[str, tuple[str, Handler]] = {
            "/v1/chat/completions": ("POST", self._chat),
            "/v1/completions": ("POST", self._completions),
            "/v1/responses": ("POST", self._responses),
            "/v1/embeddings": ("POST", self._embeddings),
            "/v1/models": ("GET", self._models),
            f"/v1/models/{model}": ("GET", self._model),
            "/health": ("GET", self._health),
            "/metrics": ("GET", self._metrics),
            "/tokenize": ("POST", self._tokenize),
            "/detokenize": ("POST", self._detokenize),
        }

    async def handle(self, method: str, path: str, body: bytes) -> Reply:
        """Answer one request. HEAD is answered as GET; the transport leaves the body out."""
        try:
            return await self._handler(method, path)(body)
        except ApiError as error:
            return Reply(error.status, JSON, error.body(), error.headers)

    def _handler(self, method: str, path: str) -> Handler:
        if path not in self._routes:
            raise ApiError(404, f"unknown URL: {method} {path}", code="unknown_url")
        allowed, handler = self._routes[path]
        if method != allowed and (method, allowed) != ("HEAD", "GET"):
            problem = f"{path} takes {allowed}, not {method}"
            raise ApiError(405, problem, code="method_not_allowed", headers={"Allow": allowed})
        return handler

    # --- generation ---

    async def _chat(self, body: bytes) -> Reply:
        request = read_body(body, ChatRequest)
        return await self._converse(request, CHAT, "messages")

    async def _responses(self, body: bytes) -> Reply:
        request = read_body(body, ResponsesRequest)
        return await self._converse(request.chat(), ResponsesFormat(request), "input")

    async def _converse(self, request: ChatRequest, spelling: Format, param: str) -> Reply:
        self._check(request)
        prompt_ids, media = await self._encode_chat(request)
        if self._planner.needs_grammar(request):
            await self._on_thread(lambda: self._planner.grammars)
        limit = request.max_completion_tokens or request.max_tokens
        room = self._engine.capacity.max_model_len - len(prompt_ids)
        params = self._sampling(request, limit or max(room, 1))

        def plan(index: int) -> tuple[Plan, Guide | None]:
            return self._planner.plan(request, prompt_ids, params.max_tokens, index)

        return await self._generate(request, [prompt_ids], params, spelling, param, plan, media)

    async def _completions(self, body: bytes) -> Reply:
        request = read_body(body, CompletionRequest)
        self._check(request)
        prompts = [await self._prompt_ids(prompt) for prompt in request.prompts()]
        params = self._sampling(request, request.max_tokens or _DEFAULT_COMPLETION_TOKENS)
        return await self._generate(request, prompts, params, COMPLETION, "prompt", _as_text)

    async def _embeddings(self, body: bytes) -> Reply:
        """Means of hidden states, of length 1. Latency is real, meaning is not promised."""
        request = read_body(body, EmbeddingRequest)
        self._check_model(request.model)
        prompts = [await self._prompt_ids(prompt) for prompt in request.prompts()]
        params = SamplingParams(max_tokens=1, temperature=0.0, embed=True)
        self._refuse_too_long(max(map(len, prompts)), 1, "input")
        answers: list[Answer] = []
        choices = Choices(answers)
        try:
            for prompt_ids in prompts:
                sequence = self._submit(Asked(prompt_ids, params, None, None, ()), "input")
                answers.append(Answer(self._engine, sequence, self._tokenizer))
        except ApiError:
            choices.cancel()
            raise
        await choices.wholes()
        data = [
            Embedding(index, _spelt(answer.sequence.embedding, request.encoding_format))
            for index, answer in enumerate(answers)
        ]
        num_tokens = sum(map(len, prompts))
        return _json(Embeddings(data, self.model, EmbeddingUsage(num_tokens, num_tokens)))

    async def _prompt_ids(self, prompt: str | list[int]) -> list[int]:
        if not isinstance(prompt, str):
            return prompt
        return await self._encode(lambda: self._tokenizer.encode(prompt), len(prompt))

    def _check(self, request: GenerationRequest) -> None:
        self._check_model(request.model)
        request.check()

    def _check_model(self, model: str | None) -> None:
        if model not in (None, self.model):
            problem = f"the model {model!r} does not exist; this server has {self.model!r}"
            raise ApiError(404, problem, param="model", code="model_not_found")

    def _sampling(self, request: GenerationRequest, max_tokens: int) -> SamplingParams:
        min_tokens = request.min_tokens or 0
        if min_tokens > max_tokens:
            problem = f"min_tokens ({min_tokens}) is more than max_tokens ({max_tokens})"
            raise ApiError(400, problem, param="min_tokens")
        return SamplingParams(
            max_tokens=max_tokens,
            min_tokens=min_tokens,
            ignore_eos=bool(request.ignore_eos),
            temperature=1.0 if request.temperature is None else request.temperature,
            top_p=1.0 if request.top_p is None else request.top_p,
            top_k=max(request.top_k or 0, 0),
            min_p=request.min_p or 0.0,
            presence_penalty=request.presence_penalty or 0.0,
            frequency_penalty=request.frequency_penalty or 0.0,
            repetition_penalty=request.repetition_penalty or 1.0,
            logprobs=request.num_logprobs,
            seed=request.seed,
            stop_token_ids=self._tokenizer.eos_ids,
            priority=request.priority or 0,
        )

    async def _generate(
        self,
        request: GenerationRequest,
        prompts: list[list[int]],
        params: SamplingParams,
        spelling: Format,
        param: str,
        plan: Callable[[int], tuple[Plan, Guide | None]],
        media: tuple[Placed, ...] = (),
    ) -> Reply:
        """`n` answers to each prompt."""
        stops, n = request.stops(), request.n or 1
        self._refuse_too_long(max(map(len, prompts)), params.max_tokens, param)
        plans = [plan(index) for index in range(n)] * len(prompts)
        answers: list[Answer] = []
        choices = Choices(answers, n)
        try:
            for index, (one, guide) in enumerate(plans):
                own = _for_choice(params, one.reasoning_tokens, index % n)
                asked = Asked(prompts[index // n], own, guide, request.request_id, media)
                sequence = self._submit(asked, param)
                answers.append(Answer(self._engine, sequence, self._tokenizer, stops, one))
        except ApiError:
            choices.cancel()
            raise
        head = Head(
            f"{spelling.id_prefix}{answers[0].sequence.id}", self._unix_time_s(), self.model
        )
        if request.stream:
            options = request.stream_options or StreamOptions()
            writer = spelling.writer(head, sum(map(len, prompts)), options)
            return Reply(200, EVENT_STREAM, EventStream(choices.events(writer), choices.cancel))
        return _json(
            spelling.whole(head, await choices.wholes(), choices.usage(), choices.timings())
        )

    def _refuse_too_long(self, num_prompt_tokens: int, max_tokens: int, param: str) -> None:
        most = self._engine.capacity.max_model_len
        if num_prompt_tokens + max_tokens > most:
            problem = (
                f"this model's maximum context length is {most} tokens, but {num_prompt_tokens} "
                f"prompt tokens and {max_tokens} output tokens were asked for"
            )
            raise ApiError(400, problem, param=param, code=_TOO_LONG)

    def _submit(self, asked: Asked, param: str) -> Sequence:
        """Queue the sequence. Raises ApiError if the engine refuses it."""
        try:
            return self._engine.submit(*asked)
        except QueueFullError as error:
            wait = {"Retry-After": str(max(1, ceil(error.retry_s)))}
            raise ApiError(429, str(error), code="queue_full", headers=wait) from error
        except PromptTooLongError as error:
            raise ApiError(400, str(error), param=param, code=_TOO_LONG) from error
        except EngineError as error:
            if not self._engine.is_healthy:
                raise ApiError(503, str(error), code="engine_closed") from error
            raise ApiError(400, str(error), param=param) from error

    def _unix_time_s(self) -> int:
        return int(self._unix_epoch_s + asyncio.get_running_loop().time())

    # --- texts and tokens ---

    async def _encode(self, encode: Callable[[], Result], size: int) -> Result:
        """Run `encode` for a text of `size` characters, on a thread if it takes long."""
        return encode() if size < _LONG_TEXT else await self._on_thread(encode)

    async def _on_thread(self, work: Callable[[], Result]) -> Result:
        """Other streams go on meanwhile, where there is a thread."""
        if self._threads is None:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _encode_chat(self, request: ChatRequest | TokenizeRequest) -> Encoded:
        """Raises ApiError for what the template or a medium's decoder refuses."""
        messages = request.messages or []

        def read() -> ChatPrompt:
            settings = request.chat_template_kwargs
            return chat_prompt(messages, request.tools, settings, self._image_tokens)

        has_media = any(message.has_media for message in messages)
        prompt = await self._on_thread(read) if has_media else read()
        try:
            return await self._encode(lambda: self._tokenizer.encode_chat(prompt), prompt.num_chars)
        except ChatTemplateError as error:
            raise ApiError(400, str(error), param="messages") from error

    async def _tokenize(self, body: bytes) -> Reply:
        request = read_body(body, TokenizeRequest)
        text = request.prompt if request.prompt is not None else request.content
        if request.messages is not None:
            ids, _ = await self._encode_chat(request)
        elif text is not None:
            ids = await self._encode(lambda: self._tokenizer.encode(text), len(text))
        else:
            raise ApiError(400, "give prompt (a text) or messages", param="prompt")
        return _json(Tokens(len(ids), self._engine.capacity.max_model_len, ids))

    async def _detokenize(self, body: bytes) -> Reply:
        return _json(Prompt(self._tokenizer.decode(read_body(body, DetokenizeRequest).tokens)))

    # --- about the server ---

    async def _models(self, body: bytes) -> Reply:
        return _json(ModelList([self._model_card()]))

    async def _model(self, body: bytes) -> Reply:
        return _json(self._model_card())

    def _model_card(self) -> Model:
        return Model(self.model, self._started_s, self._engine.capacity.max_model_len)

    async def _health(self, body: bytes) -> Reply:
        if not self._engine.is_healthy:
            raise ApiError(503, "the engine has stopped", code="engine_closed")
        return Reply(200, JSON, b'{"status":"ok"}')

    async def _metrics(self, body: bytes) -> Reply:
        return Reply(200, PROMETHEUS, self._engine.metrics().encode())


@asynccontextmanager
async def open_api(
    config: EngineConfig,
    *,
    unix_epoch_s: float = 0.0,
    threads: ThreadPoolExecutor | None = None,
    emit_log: EmitLog | None = None,
) -> AsyncIterator[Api]:
    """The API over a new engine, which runs until the block is left. Raises ConfigError."""
    tokenizer = open_tokenizer(config)
    known = config.source.shape().vocab_size
    if tokenizer.vocab_size > known:
        raise ConfigError(
            f"the tokenizer has {tokenizer.vocab_size} ids, the model {config.model!r} {known}"
        )
    async with Engine.open(config, emit_log) as engine:
        is_random = config.source.folder is None or isinstance(config.executor, Roofline)
        yield Api(
            engine,
            tokenizer,
            config.served_name,
            unix_epoch_s=unix_epoch_s,
            threads=threads,
            planner=Planner(config.behaviour, tokenizer, is_random=is_random, seed=config.seed),
            image_tokens=config.image_tokens,
        )


def _json(answer: msgspec.Struct) -> Reply:
    return Reply(200, JSON, msgspec.json.encode(answer))


def _spelt(values: list[float], encoding: str | None) -> list[float] | str:
    """Scaled to length 1; as numbers or as base64 of little-endian float32."""
    norm = hypot(*values) or 1.0
    scaled = [value / norm for value in values]
    if encoding != "base64":
        return scaled
    return b64encode(pack(f"<{len(scaled)}f", *scaled)).decode()


def _as_text(index: int) -> tuple[Plan, Guide | None]:
    """A completion: no thinking, no tools."""
    return PLAIN, None


def _for_choice(params: SamplingParams, reasoning_tokens: int, index: int) -> SamplingParams:
    """No end token while it thinks; each choice of a seeded request has its own seed."""
    changes: dict[str, Any] = {}
    if reasoning_tokens > params.min_tokens:
        changes["min_tokens"] = reasoning_tokens
    if index and params.seed is not None:
        changes["seed"] = params.seed + index
    return msgspec.structs.replace(params, **changes) if changes else params
