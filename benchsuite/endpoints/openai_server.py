"""What every OpenAI-compatible server needs of us: where it is, the key, deadlines, readiness.

`openai_chat` and `openai_completions` add the path and the body. The data plane is `wire`
(default) or `aiohttp`; the control plane (is it there, does it take our key) is `control`.
"""

import asyncio
import re
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Protocol, Self
from urllib.parse import urlsplit

import msgspec

from benchsuite.endpoints import control, wire
from benchsuite.endpoints.base import (
    ClockError,
    Connection,
    Exchange,
    Response,
    TokenCounter,
    http_status,
)
from benchsuite.endpoints.openai_dialect import decode_stream, has_token
from benchsuite.endpoints.reasoning_fields import ReasoningFields
from benchsuite.endpoints.think_tags import told_apart
from benchsuite.endpoints.wire_loop import WireLoop
from benchsuite.errors import EndpointError, ScenarioError
from benchsuite.request import Request
from benchsuite.spec import DataPath, EnvText, Seconds, Spec, resolve_env

READY_POLL_S = 0.2


class Timeouts(Spec, frozen=True):
    """Each ends the request as an error of its own class; it stays in every denominator."""

    connect: Seconds = 10.0
    first_token: Seconds = 300.0  # from sent
    between_tokens: Seconds = 60.0  # since the last bytes
    total: Seconds = 900.0  # from sent


class OpenAIServer(Spec, frozen=True):
    """A server that speaks OpenAI's HTTP API."""

    is_real_time: ClassVar[bool] = True

    url: EnvText  # with or without /v1
    model: str = "default"
    api_key: EnvText | None = None  # `${env:NAME}`; a key itself is refused
    headers: dict[str, EnvText] = {}
    body_fields: dict[str, Any] = msgspec.field(
        name="body", default_factory=dict
    )  # further fields of every request, e.g. {temperature: 0}
    vendor_fields: bool = True  # send ignore_eos and min_tokens where a request wants them
    reasoning: ReasoningFields = ReasoningFields()  # where a request says how much to think
    request_ids: bool = False  # send each request's number as `request_id`, as engines log it
    running_usage: bool = False  # ask for usage with every chunk (vLLM): exact tokens per chunk
    transport: Literal["wire", "aiohttp"] = "wire"
    timeouts: Timeouts = Timeouts()
    verify: bool = True  # of TLS certificates; false is said aloud in the result
    ca_file: DataPath | None = None  # trust this CA besides the system's
    ready_within: Seconds = 10.0  # how long to wait for the server to answer at all

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://", "${env:")):
            raise ValueError(f"url: expected http://... or https://..., got {self.url!r}")
        if "${env:" not in self.url and (problem := _url_problem(self.url)):
            raise ValueError(f"url: {problem}")
        if self.api_key is not None and "${env:" not in self.api_key:
            raise ValueError(
                "api_key: a key that stands here would be written into every result; "
                "name the variable that holds it: ${env:NAME}"
            )

    @property
    def title(self) -> str:
        return f"{self.model} at {self.url}"

    def notes(self) -> tuple[str, ...]:
        said = "TLS certificates were not verified (endpoint.verify: false)"
        return () if self.verify else (said,)

    def loop(self) -> asyncio.AbstractEventLoop:
        return WireLoop()

    def resource(self, path: str) -> str:
        """The full URL of `path` (such as `/models`) under this server's `/v1`."""
        base = resolved("endpoint.url", self.url).rstrip("/")
        if problem := _url_problem(base):
            raise ScenarioError(f"endpoint.url: {problem}")
        return (base if base.endswith("/v1") else base + "/v1") + path

    def request_headers(self) -> dict[str, str]:
        """Headers of every request, secrets resolved. Never stored."""
        headers = {
            name: _header(f"endpoint.headers.{name}", text) for name, text in self.headers.items()
        }
        for name in headers:
            if not _HEADER_NAME.fullmatch(name):
                raise ScenarioError(f"endpoint.headers: {name!r} is no name of a header")
        if self.api_key is not None:
            headers["Authorization"] = f"Bearer {_header('endpoint.api_key', self.api_key)}"
        return headers

    def extra(self, request: Request) -> dict[str, Any]:
        """Further fields of the body."""
        if not self.request_ids:
            return self.body_fields
        return {"request_id": str(request.id), **self.body_fields}

    def tls(self) -> ssl.SSLContext | None:
        """How certificates are checked; None where there are none (reading CAs takes 50 ms)."""
        if not self.resource("").startswith("https:"):
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            reason = error.strerror or error
            raise ScenarioError(f"endpoint.ca_file: {self.ca_file}: {reason}") from error
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    @asynccontextmanager
    async def started(self, folder: Path) -> AsyncIterator[Self]:
        """It runs already; nothing to bring up."""
        yield self

    @asynccontextmanager
    async def open(
        self, path: str, has_token: Callable[[Exchange], bool] = has_token
    ) -> AsyncIterator[Connection]:
        """A connection that posts to `path`, once the server answers at all.

        `has_token`: whether any generated text has arrived in such an answer so far.
        """
        await self.wait_until_ready()
        limits = self.timeouts
        timeouts = wire.Timeouts(
            limits.connect, limits.first_token, limits.between_tokens, limits.total
        )
        url, headers = self.resource(path), self.request_headers()
        connect = _transport(self.transport)
        async with connect(url, headers, timeouts, self.tls(), has_token) as connection:
            yield _VendorFallback(connection) if self.vendor_fields else connection

    def decode(self, exchange: Exchange, count_tokens: TokenCounter) -> Response:
        return told_apart(decode_stream(exchange, count_tokens))

    async def wait_until_ready(self) -> None:
        """Ask for the model list until anything answers; a refused key is said at once."""
        deadline_s = time.monotonic() + self.ready_within
        url = self.resource("/models")
        headers, context = self.request_headers(), self.tls()
        while True:
            is_late = time.monotonic() >= deadline_s
            try:
                answer = await control.get(url, headers, context, max(self.ready_within, 1.0))
            except (OSError, control.NotHttpError) as error:
                if is_late or not _may_come_up(error):
                    reason = str(error) or f"no answer within {self.ready_within:g} s"
                    raise EndpointError(f"{self.url}: {reason}") from error
            else:
                if answer.status in (401, 403):
                    raise EndpointError(
                        f"{self.url}: the key was refused ({answer.status}); "
                        "set endpoint.api_key, e.g. to ${env:OPENAI_API_KEY}"
                    )
                if answer.status != 503:  # 503: still loading
                    return
                if is_late:
                    raise EndpointError(f"{self.url}: still not ready (503)")
            await asyncio.sleep(READY_POLL_S)


class _Connect(Protocol):
    """How a data plane is opened."""

    def __call__(
        self,
        url: str,
        headers: dict[str, str],
        timeouts: wire.Timeouts,
        context: ssl.SSLContext | None,
        has_token: Callable[[Exchange], bool],
    ) -> AbstractAsyncContextManager[Connection]: ...


def _transport(name: str) -> _Connect:
    if name == "wire":
        return wire.connect
    from benchsuite.endpoints import aiohttp_transport

    return aiohttp_transport.connect


def _may_come_up(error: Exception) -> bool:
    """Whether waiting can help: a server that starts refuses; a bad certificate stays bad."""
    return isinstance(error, OSError) and not isinstance(error, ssl.SSLError | TimeoutError)


def _url_problem(url: str) -> str | None:
    """What a server's address cannot have. Never shows it: it may hold a password."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        return str(error)
    if parts.username is not None:
        return "a name or password in it would be written into every result; use headers"
    if parts.query or parts.fragment:
        return "expected an address without ?query and #fragment; a path is added behind it"
    return None


def resolved(key: str, text: str) -> str:
    """`text` with its `${env:NAME}` looked up; ScenarioError names the key and the variable."""
    try:
        return resolve_env(text)
    except KeyError as error:
        raise ScenarioError(f"{key}: environment variable {error.args[0]} is not set") from None


_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2


def _header(key: str, text: str) -> str:
    """The resolved value; ScenarioError, which never shows it, if no header can hold it."""
    value = resolved(key, text)
    if not (value.isascii() and value.isprintable()):
        raise ScenarioError(
            f"{key}: holds a line end or another character that no header may (its value: ASCII)"
        )
    return value


class _VendorFallback:
    """Leaves vendor fields out once a strict server has refused them (422).

    The request that found out is sent again; its latency still counts from when it was due.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._is_strict = False

    async def send(self, request_id: int, body: bytes) -> Exchange:
        if self._is_strict:
            body = _without_vendor_fields(body)
        exchange = await self._connection.send(request_id, body)
        if not self._is_strict and http_status(exchange) == 422:
            plain = _without_vendor_fields(body)
            if plain != body:
                second = await self._connection.send(request_id, plain)
                self._is_strict = http_status(second) != 422
                return second
        return exchange

    def in_flight(self) -> int:
        return self._connection.in_flight()

    def abort(self, error_class: str, error: str) -> None:
        self._connection.abort(error_class, error)

    def clock_error(self) -> ClockError:
        return self._connection.clock_error()


def _without_vendor_fields(body: bytes) -> bytes:
    fields = msgspec.json.decode(body)
    for name in ("ignore_eos", "min_tokens"):
        fields.pop(name, None)
    fields.get("stream_options", {}).pop("continuous_usage_stats", None)
    return msgspec.json.encode(fields)
