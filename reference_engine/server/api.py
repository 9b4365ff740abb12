"""The OpenAI API without a transport: method, path and body in, a reply out.

`app.py` puts it on sockets; on virtual time it is called directly.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from reference_engine.behaviour import Behaviour
from reference_engine.config import EngineConfig
from reference_engine.emit_log import EmitLog
from reference_engine.engine import Engine
from reference_engine.executors import Roofline
from reference_engine.server.answer import TokenSource
from reference_engine.server.generation import Generation
from reference_engine.server.loop_lag import LoopLag
from reference_engine.server.planning import Planner
from reference_engine.server.prompts import Prompts
from reference_engine.server.protocol.answers import Model, ModelList, Prompt, Tokens
from reference_engine.server.protocol.errors import ApiError, read_body
from reference_engine.server.protocol.requests import DetokenizeRequest, TokenizeRequest
from reference_engine.server.reply import JSON, PROMETHEUS, Reply, as_json
from reference_engine.server.tokenizer import Tokenizer, open_tokenizer
from reference_engine.specs import ConfigError
from reference_engine.stats import model_label
from reference_engine.timeouts import DEFAULT, ServerTimeouts

_STOPPING = "the server is stopping"

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
        timeouts: ServerTimeouts = DEFAULT,
    ) -> None:
        self._engine, self._tokenizer, self.model = engine, tokenizer, model
        self.timeouts = timeouts
        self.loop_lag = LoopLag()
        self._prompts = Prompts(tokenizer, threads, image_tokens)
        self._unix_epoch_s = unix_epoch_s
        self._started_s = self._unix_time_s()
        generation = Generation(
            engine,
            tokenizer,
            model,
            planner=planner or Planner(Behaviour(), tokenizer, is_random=True, seed=0),
            prompts=self._prompts,
            now_s=self._unix_time_s,
            limit_s=timeouts.request_s,
        )
        self._routes: dict[str, tuple[str, Handler]] = {
            "/v1/chat/completions": ("POST", generation.chat),
            "/v1/completions": ("POST", generation.completions),
            "/v1/responses": ("POST", generation.responses),
            "/v1/embeddings": ("POST", generation.embeddings),
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

    def refuse(self) -> None:
        """Answer what is open, and new requests with 503."""
        self._engine.refuse(_STOPPING)

    def abort(self) -> None:
        """End with an error what is open."""
        self._engine.abort(_STOPPING)

    def _handler(self, method: str, path: str) -> Handler:
        if path not in self._routes:
            raise ApiError(404, f"unknown URL: {method} {path}", code="unknown_url")
        allowed, handler = self._routes[path]
        if method != allowed and (method, allowed) != ("HEAD", "GET"):
            problem = f"{path} takes {allowed}, not {method}"
            raise ApiError(405, problem, code="method_not_allowed", headers={"Allow": allowed})
        return handler

    # --- texts and tokens ---

    async def _tokenize(self, body: bytes) -> Reply:
        request = read_body(body, TokenizeRequest)
        text = request.prompt if request.prompt is not None else request.content
        if request.messages is not None:
            ids, _ = await self._prompts.chat(request)
        elif text is not None:
            ids = await self._prompts.text(text)
        else:
            raise ApiError(400, "give prompt (a text) or messages", param="prompt")
        return as_json(Tokens(len(ids), self._engine.capacity.max_model_len, ids))

    async def _detokenize(self, body: bytes) -> Reply:
        return as_json(Prompt(self._tokenizer.decode(read_body(body, DetokenizeRequest).tokens)))

    # --- about the server ---

    async def _models(self, body: bytes) -> Reply:
        return as_json(ModelList([self._model_card()]))

    async def _model(self, body: bytes) -> Reply:
        return as_json(self._model_card())

    def _model_card(self) -> Model:
        return Model(self.model, self._started_s, self._engine.capacity.max_model_len)

    async def _health(self, body: bytes) -> Reply:
        if not self._engine.is_healthy:
            raise ApiError(503, "the engine has stopped", code="engine_closed")
        return Reply(200, JSON, b'{"status":"ok"}')

    async def _metrics(self, body: bytes) -> Reply:
        lines = [*self.loop_lag.lines(model_label(self.model)), ""]
        return Reply(200, PROMETHEUS, (self._engine.metrics() + "\n".join(lines)).encode())

    def _unix_time_s(self) -> int:
        return int(self._unix_epoch_s + asyncio.get_running_loop().time())


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
            timeouts=config.timeouts,
        )
