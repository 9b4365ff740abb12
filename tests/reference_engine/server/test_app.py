"""The API on real sockets, driven by the official client and by raw HTTP."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import openai
import pydantic
import pytest

from reference_engine.config import EngineConfig
from reference_engine.executors import Roofline
from reference_engine.server.api import Api, open_api
from reference_engine.server.app import AddressError, bind, serve, url
from reference_engine.server.tokenizer import ByteTokenizer
from reference_engine.timeouts import ServerTimeouts
from tests.reference_engine.server.scripted_engine import ScriptedEngine

MODEL = "tiny-byte"
CONFIG = EngineConfig(model="tiny", model_name=MODEL, executor=Roofline(overhead_s=0.0))
HELLO: Any = [{"role": "user", "content": "hello"}]


@asynccontextmanager
async def listening(api: Api) -> AsyncIterator[str]:
    listener = bind("127.0.0.1", 0)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # connections take it over
    async with serve(api, listener):
        yield url(listener)


@pytest.fixture
async def client() -> AsyncIterator[openai.AsyncOpenAI]:
    """The unmodified client before the engine itself, with simulated steps of no length."""
    async with (
        open_api(CONFIG) as api,
        listening(api) as base_url,
        openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key="none", max_retries=0) as client,
    ):
        yield client


@asynccontextmanager
async def scripted(
    engine: ScriptedEngine, **timeouts: float
) -> AsyncIterator[aiohttp.ClientSession]:
    patience = ServerTimeouts(**{"drain_s": 0.1, **timeouts})
    async with (
        listening(Api(engine, ByteTokenizer(), "scripted", timeouts=patience)) as base_url,
        aiohttp.ClientSession(base_url) as session,
    ):
        yield session


async def test_openai_client_streams_chat(client: openai.AsyncOpenAI) -> None:
    """Text, finish reason and exact counts, through the client's own types."""
    stream = await client.chat.completions.create(
        model=MODEL,
        messages=HELLO,
        max_completion_tokens=20,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"ignore_eos": True},
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert chunks[-2].choices[0].finish_reason == "length"
    usage = chunks[-1].usage
    assert usage is not None
    assert (usage.completion_tokens, chunks[-1].choices) == (20, [])


async def test_openai_client_gets_the_same_whole(client: openai.AsyncOpenAI) -> None:
    """With a seed the streamed text is the whole answer's text, and a second prompt finds its
    prefix in the cache."""
    asked: dict[str, Any] = {"model": MODEL, "prompt": "ab" * 40, "max_tokens": 30, "seed": 3}
    whole = await client.completions.create(**asked)
    stream = await client.completions.create(**asked, stream=True)
    assert "".join([c.choices[0].text async for c in stream]) == whole.choices[0].text
    again = await client.completions.create(**asked)
    assert again.usage is not None
    assert again.usage.prompt_tokens_details is not None
    assert again.usage.prompt_tokens_details.cached_tokens == 64


async def test_openai_clients_stream_helper(client: openai.AsyncOpenAI) -> None:
    """`.stream()` refuses streams without role or reason, and truncated ones."""
    async with client.chat.completions.stream(
        model=MODEL, messages=HELLO, max_tokens=400, stop=["?"]
    ) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.role == "assistant"
    assert final.choices[0].finish_reason == "stop"


async def test_openai_clients_stream_helper_reads_tool_calls(client: openai.AsyncOpenAI) -> None:
    """Its parser follows the arguments as they grow and ends with a whole call."""
    parameters = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    tool: Any = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    async with client.chat.completions.stream(
        model=MODEL, messages=HELLO, tools=[tool], tool_choice="required", reasoning_effort="low"
    ) as stream:
        kinds = {event.type async for event in stream}
        final = await stream.get_final_completion()
    (call,) = final.choices[0].message.tool_calls or ()
    assert "tool_calls.function.arguments.delta" in kinds
    assert final.choices[0].finish_reason == "tool_calls"
    assert call.function.name == "f"
    assert json.loads(call.function.arguments).keys() == {"a"}
    assert getattr(final.choices[0].message, "reasoning_content")  # noqa: B009 - not the client's


async def test_openai_client_parses_structured_output(client: openai.AsyncOpenAI) -> None:
    """`.parse()` sends a model's schema and gets one of its instances."""

    class Point(pydantic.BaseModel):
        x: int
        name: str

    answer = await client.chat.completions.parse(
        model=MODEL, messages=HELLO, response_format=Point, max_tokens=300
    )
    assert isinstance(answer.choices[0].message.parsed, Point)


async def test_openai_client_sees_errors_as_its_own(client: openai.AsyncOpenAI) -> None:
    """Each refusal raises the client's matching exception, with message, param and code."""
    with pytest.raises(openai.NotFoundError) as not_found:
        await client.chat.completions.create(model="other", messages=HELLO)
    assert not_found.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as too_long:
        await client.completions.create(model=MODEL, prompt="x" * 5000, stream=True)
    assert (too_long.value.code, too_long.value.param) == ("context_length_exceeded", "prompt")
    with pytest.raises(openai.BadRequestError, match="<= 128"):
        await client.chat.completions.create(model=MODEL, messages=HELLO, n=200)
    for prompt in ([9000], [-1]):
        with pytest.raises(openai.BadRequestError, match="token ids must lie between 0 and 8191"):
            await client.completions.create(model=MODEL, prompt=prompt)
    with pytest.raises(openai.BadRequestError, match="empty"):
        await client.completions.create(model=MODEL, prompt="")
    assert [model.id async for model in client.models.list()] == [MODEL]


async def test_openai_client_sees_a_failure_in_the_stream() -> None:
    """The error event raises in the midst of the stream."""
    engine = ScriptedEngine(list(b"abc"), fails_after=2)
    async with (
        listening(Api(engine, ByteTokenizer(), "scripted")) as base_url,
        openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key="none", max_retries=0) as client,
    ):
        stream = await client.completions.create(model="scripted", prompt="x", stream=True)
        with pytest.raises(openai.APIError, match="the scripted failure"):
            _ = [chunk async for chunk in stream]


async def test_many_streams_at_once_get_their_own_text(client: openai.AsyncOpenAI) -> None:
    """Streams never mix: each text is what its seed gives alone."""

    async def text(seed: int) -> str:
        stream = await client.completions.create(
            model=MODEL, prompt="x", max_tokens=20, seed=seed, stream=True
        )
        return "".join([chunk.choices[0].text async for chunk in stream])

    together = await asyncio.gather(*map(text, range(12)))
    assert together == [await text(seed) for seed in range(12)]


async def test_metrics_count_what_was_served(client: openai.AsyncOpenAI) -> None:
    """/metrics speaks Prometheus under vLLM's names; HEAD has the head alone."""
    await client.completions.create(model=MODEL, prompt="abc", max_tokens=5)
    root = str(client.base_url).removesuffix("/v1/")
    async with aiohttp.ClientSession() as session:
        text = await (await session.get(f"{root}/metrics")).text()
        assert f'vllm:generation_tokens_total{{model_name="{MODEL}"}} 5.0' in text
        head = await session.head(f"{root}/metrics")
        assert (head.status, await head.read()) == (200, b"")


async def test_metrics_tell_how_late_the_event_loop_was(client: openai.AsyncOpenAI) -> None:
    """Whatever blocks it shows as its longest lag."""
    root = str(client.base_url).removesuffix("/v1/")
    async with aiohttp.ClientSession() as session:
        await session.get(f"{root}/health")
        await asyncio.sleep(0.02)
        time.sleep(0.2)  # noqa: ASYNC251 - the stall
        await asyncio.sleep(0.02)
        text = await (await session.get(f"{root}/metrics")).text()
    name = "reference_engine:event_loop_lag_seconds"
    (longest,) = [line for line in text.splitlines() if line.startswith(f"{name}_max{{")]
    assert float(longest.split()[-1]) > 0.18
    assert f'{name}_bucket{{le="+Inf"' in text


async def test_a_client_that_goes_away_cancels_its_sequence() -> None:
    """Also while no token comes, when nothing would be written."""
    engine = ScriptedEngine(list(b"abc"), is_stuck=True)
    async with scripted(engine) as session:
        body = {"prompt": "x", "stream": True, "max_tokens": 100}
        response = await session.post("/v1/completions", json=body)
        await response.content.readuntil(b"\n\n")
        await engine.is_waiting.wait()
        response.close()
        await asyncio.wait_for(engine.is_cancelled.wait(), 10)
    assert engine.sequences[0].finish_reason == "cancelled"


STREAM = {"prompt": "x", "stream": True, "max_tokens": 100}


def last_event(text: str) -> Any:
    """The last event before the end, decoded; None for `[DONE]`."""
    data = text.strip().split("\n\n")[-1].removeprefix("data: ")
    return None if data == "[DONE]" else json.loads(data)


async def test_stopping_the_server_ends_open_streams_with_an_error() -> None:
    """What would go on forever is told after the drain time; its sequence is freed."""
    engine = ScriptedEngine(list(b"abc"), is_stuck=True)
    api = Api(engine, ByteTokenizer(), "scripted", timeouts=ServerTimeouts(drain_s=0.1))
    async with aiohttp.ClientSession() as session:
        async with listening(api) as base_url:
            response = await session.post(f"{base_url}/v1/completions", json=STREAM)
            await engine.is_waiting.wait()
        error = last_event(await response.text())["error"]
    assert "the server is stopping" in error["message"]
    assert engine.sequences[0].finish_reason == "error"


async def test_a_stopping_server_finishes_what_is_open() -> None:
    """A stream that ends within the drain time is whole; new requests are refused meanwhile, and
    new connections too."""
    slow = EngineConfig(
        model="tiny",
        model_name=MODEL,
        executor=Roofline(overhead_s=0.02),
        timeouts=ServerTimeouts(drain_s=60),
    )
    body = {"prompt": "abc", "stream": True, "max_tokens": 30, "ignore_eos": True}
    async with open_api(slow) as api, aiohttp.ClientSession() as session:
        async with listening(api) as base_url:
            response = await session.post(f"{base_url}/v1/completions", json=body)
            kept = await session.get(f"{base_url}/health")  # a second connection, kept alive
            assert await kept.json() == {"status": "ok"}
            api.refuse()
            late = await session.post(f"{base_url}/v1/completions", json=body)
            assert (late.status, (await late.json())["error"]["code"]) == (503, "engine_closed")
            assert (await session.get(f"{base_url}/health")).status == 503
        text = await response.text()
        assert last_event(text) is None
        assert text.count('"finish_reason":"length"') == 1
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(f"{base_url}/health")


@pytest.mark.parametrize("stream", [True, False])
async def test_a_request_has_its_time_limit(stream: bool) -> None:
    """504 where nothing was sent yet, else an error event; the sequence is freed."""
    engine = ScriptedEngine(list(b"abc"), is_stuck=True)
    async with scripted(engine, request_s=0.1) as session:
        response = await session.post("/v1/completions", json=STREAM | {"stream": stream})
        text = await response.text()
    error = last_event(text)["error"]
    assert response.status == (200 if stream else 504)
    assert error["code"] == "timeout"
    assert error["message"].endswith("it took longer than 0.1 s")
    assert engine.sequences[0].finish_reason == "error"


async def test_a_body_that_does_not_come_is_given_up() -> None:
    """408 in OpenAI's form; the head alone holds nobody."""
    async with scripted(ScriptedEngine([1]), body_s=0.1) as session:
        address = session._base_url
        assert address is not None
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{")
        answer = await reader.readuntil(b"}}")
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"no whole body came within 0.1 s" in answer
        writer.close()


@pytest.mark.parametrize("begun", [b"", b"GET /health HTTP/1.1\r\nHost: x\r\n"])
async def test_a_connection_without_a_request_is_closed(begun: bytes) -> None:
    """Whether it says nothing or never ends its head."""
    async with scripted(ScriptedEngine([1]), idle_s=0.1) as session:
        address = session._base_url
        assert address is not None
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(begun)
        assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()


@asynccontextmanager
async def never_reading(base_url: str, body: dict[str, Any]) -> AsyncIterator[socket.socket]:
    """A client that sends its request and takes nothing of the answer."""
    host, port = base_url.removeprefix("http://").split(":")
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect((host, int(port)))
        data = json.dumps(body).encode()
        head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(data)
        deaf.sendall(head + data)
        yield deaf


async def test_a_client_that_never_reads_is_dropped_and_holds_up_nobody() -> None:
    """Others stream on beside it; what waits for it in the server stays small; after the limit its
    connection is cut and its sequence freed."""
    engine = ScriptedEngine(list(b"abc"), max_model_len=1_000_000)
    endless = STREAM | {"max_tokens": 999_000}
    async with scripted(engine, stalled_s=1.0) as session:
        assert session._base_url is not None
        async with never_reading(str(session._base_url).rstrip("/"), endless):
            while not engine.sequences:
                await asyncio.sleep(0.01)
            for _ in range(5):
                beside = await session.post("/v1/completions", json=STREAM)
                assert last_event(await beside.text()) is None
            await asyncio.wait_for(engine.is_cancelled.wait(), 60)
        slow = engine.sequences[0]
        assert slow.finish_reason == "cancelled"
        assert 10 < len(slow.output_ids) < 5_000  # about 200 bytes each: buffers, and no more


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("GET", "/v1/completions", 405), ("DELETE", "/health", 405)],
)
async def test_unknown_routes_are_openai_errors(method: str, path: str, status: int) -> None:
    """JSON as everywhere, and Allow with a 405."""
    async with scripted(ScriptedEngine([1])) as session:
        response = await session.request(method, path)
        assert response.status == status
        assert (await response.json())["error"]["type"] == "invalid_request_error"
        assert ("Allow" in response.headers) == (status == 405)


async def test_a_body_that_is_too_large_is_refused() -> None:
    """413 in words, not a dead connection."""
    listener = bind("127.0.0.1", 0)
    api = Api(ScriptedEngine([1]), ByteTokenizer(), "scripted")
    async with serve(api, listener, max_body_bytes=100), aiohttp.ClientSession() as session:
        response = await session.post(f"{url(listener)}/v1/completions", data=b" " * 101)
        assert response.status == 413
        assert (await response.json())["error"]["message"].endswith("larger than 100 bytes")


async def test_a_body_that_is_not_encoded_as_it_says_is_refused() -> None:
    """The client's mistake, told as every other."""
    async with scripted(ScriptedEngine([1])) as session:
        headers = {"Content-Encoding": "gzip"}
        response = await session.post("/v1/completions", data=b"{}", headers=headers)
        assert response.status == 400
        assert "cannot be read" in (await response.json())["error"]["message"]


async def test_rubbish_does_not_harm_the_server() -> None:
    """What is not HTTP is turned away; the next request is answered."""
    async with scripted(ScriptedEngine([1])) as session:
        address = session._base_url
        assert address is not None
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"\x16\x03\x01 what is this\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.0 400")
        writer.close()
        assert (await session.get("/health")).status == 200


async def test_a_stream_on_the_wire() -> None:
    """Chunked, uncached, flushed at once; each event is one HTTP chunk that can be read alone."""
    engine = ScriptedEngine(list(b"ab"), is_stuck=True)
    async with scripted(engine) as session:
        body = {"prompt": "x", "stream": True, "max_tokens": 3}
        response = await session.post("/v1/completions", json=body)
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert response.headers["Transfer-Encoding"] == "chunked"
        assert response.headers["Cache-Control"] == "no-cache"
        for char in "ab":
            event = await response.content.readuntil(b"\n\n")
            assert json.loads(event.removeprefix(b"data: "))["choices"][0]["text"] == char
        response.close()


def test_a_taken_address_is_an_error() -> None:
    """Told before anything is loaded."""
    with bind("127.0.0.1", 0) as first:
        first.listen()
        with pytest.raises(AddressError, match="Address already in use"):
            bind("127.0.0.1", first.getsockname()[1])


async def test_an_address_taken_meanwhile_is_an_error() -> None:
    """Two may bind before either listens; the later to listen is told."""
    with bind("127.0.0.1", 0) as first, bind("127.0.0.1", first.getsockname()[1]) as second:
        first.listen()
        with pytest.raises(AddressError, match="Address already in use"):
            async with serve(Api(ScriptedEngine([1]), ByteTokenizer(), "scripted"), second):
                pass


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_the_url_of_an_ipv6_address_has_brackets() -> None:
    """As RFC 3986 wants it."""
    with bind("::1", 0) as listener:
        assert url(listener) == f"http://[::1]:{listener.getsockname()[1]}"
