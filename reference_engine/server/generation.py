"""Requests that make the engine generate: checked, submitted, answered whole or as a stream."""

from base64 import b64encode
from collections.abc import Callable
from math import ceil, hypot
from struct import pack
from typing import Final, NamedTuple

from reference_engine.engine import PromptTooLongError, QueueFullError
from reference_engine.media import Placed
from reference_engine.sequence import Guide, SamplingParams, Sequence
from reference_engine.server.answer import PLAIN, Answer, Plan, TokenSource
from reference_engine.server.choices import Choices
from reference_engine.server.formats import CHAT, COMPLETION, Format, Head
from reference_engine.server.planning import Planner
from reference_engine.server.prompts import Prompts
from reference_engine.server.protocol.answers import Embedding, Embeddings, EmbeddingUsage
from reference_engine.server.protocol.errors import ApiError, read_body
from reference_engine.server.protocol.requests import (
    ChatRequest,
    CompletionRequest,
    EmbeddingRequest,
    GenerationRequest,
    StreamOptions,
)
from reference_engine.server.reply import EVENT_STREAM, EventStream, Reply, as_json
from reference_engine.server.responses.format import ResponsesFormat
from reference_engine.server.responses.request import ResponsesRequest
from reference_engine.server.sampling import for_choice, sampling
from reference_engine.server.tokenizer import Tokenizer
from reference_engine.specs import EngineError

_TOO_LONG: Final = "context_length_exceeded"  # OpenAI's code
_DEFAULT_COMPLETION_TOKENS: Final = 16  # as OpenAI's /v1/completions


class Asked(NamedTuple):
    """What one sequence is made of: `TokenSource.submit`'s arguments."""

    prompt_ids: list[int]
    params: SamplingParams
    guide: Guide | None
    name: str | None
    media: tuple[Placed, ...]


class Generation:
    """The generating handlers of one model. `now_s` is the Unix time that answers carry,
    `limit_s` what a request may take."""

    def __init__(
        self,
        engine: TokenSource,
        tokenizer: Tokenizer,
        model: str,
        *,
        planner: Planner,
        prompts: Prompts,
        now_s: Callable[[], int],
        limit_s: float | None = None,
    ) -> None:
        self._engine, self._tokenizer, self.model = engine, tokenizer, model
        self._planner, self._prompts, self._now_s = planner, prompts, now_s
        self._limit_s = limit_s

    async def chat(self, body: bytes) -> Reply:
        request = read_body(body, ChatRequest)
        return await self._converse(request, CHAT, "messages")

    async def responses(self, body: bytes) -> Reply:
        request = read_body(body, ResponsesRequest)
        return await self._converse(request.chat(), ResponsesFormat(request), "input")

    async def _converse(self, request: ChatRequest, spelling: Format, param: str) -> Reply:
        self._check(request)
        prompt_ids, media = await self._prompts.chat(request)
        if self._planner.needs_grammar(request):
            await self._prompts.on_thread(lambda: self._planner.grammars)
        limit = request.max_completion_tokens or request.max_tokens
        room = self._engine.capacity.max_model_len - len(prompt_ids)
        params = sampling(request, limit or max(room, 1), self._tokenizer.eos_ids)

        def plan(index: int) -> tuple[Plan, Guide | None]:
            return self._planner.plan(request, prompt_ids, params.max_tokens, index)

        return await self._generate(request, [prompt_ids], params, spelling, param, plan, media)

    async def completions(self, body: bytes) -> Reply:
        request = read_body(body, CompletionRequest)
        self._check(request)
        prompts = [await self._prompts.prompt(prompt) for prompt in request.prompts()]
        limit = request.max_tokens or _DEFAULT_COMPLETION_TOKENS
        params = sampling(request, limit, self._tokenizer.eos_ids)
        return await self._generate(request, prompts, params, COMPLETION, "prompt", _as_text)

    async def embeddings(self, body: bytes) -> Reply:
        """Means of hidden states, of length 1. Latency is real, meaning is not promised."""
        request = read_body(body, EmbeddingRequest)
        self._check_model(request.model)
        prompts = [await self._prompts.prompt(prompt) for prompt in request.prompts()]
        params = SamplingParams(max_tokens=1, temperature=0.0, embed=True)
        self._refuse_too_long(max(map(len, prompts)), 1, "input")
        answers: list[Answer] = []
        choices = Choices(answers, limit_s=self._limit_s)
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
        return as_json(Embeddings(data, self.model, EmbeddingUsage(num_tokens, num_tokens)))

    def _check(self, request: GenerationRequest) -> None:
        self._check_model(request.model)
        request.check()

    def _check_model(self, model: str | None) -> None:
        if model not in (None, self.model):
            problem = f"the model {model!r} does not exist; this server has {self.model!r}"
            raise ApiError(404, problem, param="model", code="model_not_found")

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
        choices = Choices(answers, n, self._limit_s)
        try:
            for index, (one, guide) in enumerate(plans):
                own = for_choice(params, one.reasoning_tokens, index % n)
                asked = Asked(prompts[index // n], own, guide, request.request_id, media)
                sequence = self._submit(asked, param)
                answers.append(Answer(self._engine, sequence, self._tokenizer, stops, one))
        except ApiError:
            choices.cancel()
            raise
        head = Head(f"{spelling.id_prefix}{answers[0].sequence.id}", self._now_s(), self.model)
        if request.stream:
            options = request.stream_options or StreamOptions()
            writer = spelling.writer(head, sum(map(len, prompts)), options)
            return Reply(200, EVENT_STREAM, EventStream(choices, writer))
        return as_json(
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
