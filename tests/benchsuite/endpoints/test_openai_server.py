"""What every OpenAI-compatible server needs of us: URLs, keys, readiness, TLS, strict servers."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from benchsuite.endpoints.base import Exchange
from benchsuite.endpoints.openai_chat import OpenAIChat
from benchsuite.endpoints.openai_completions import OpenAICompletions
from benchsuite.endpoints.wire_loop import WireLoop
from benchsuite.errors import EndpointError, ScenarioError
from benchsuite.request import Message, Request, Scripted
from tests.scripted_server import OK_STREAM, Script, Step, answer, scripted_server

ASK = Request(
    id=7,
    prompt=Scripted((Message("user", "hello"),), 1),
    prompt_tokens=1,
    max_output_tokens=3,
    ignore_eos=True,
)
MODELS = Script((Step(answer("200 OK", b'{"data": []}')),))


def send(endpoint: OpenAIChat | OpenAICompletions, num: int = 1) -> list[Exchange]:
    async def work() -> list[Exchange]:
        async with endpoint.connect() as connection:
            body = endpoint.body(ASK, ASK.prompt.render().messages)
            return [await connection.send(i, body) for i in range(num)]

    with asyncio.Runner(loop_factory=WireLoop) as runner:
        return runner.run(work())


def against(*scripts: Script, num: int = 1, **fields: object) -> tuple[list[Exchange], list[dict]]:
    """Exchanges with a scripted server, and the bodies that it got."""

    async def work() -> tuple[list[Exchange], list[dict]]:
        async with scripted_server(MODELS, *scripts) as server:
            endpoint = OpenAIChat(url=server.url, model="m", **fields)
            async with endpoint.connect() as connection:
                body = endpoint.body(ASK, ASK.prompt.render().messages)
                found = [await connection.send(i, body) for i in range(num)]
            return found, [json.loads(one.body) for one in server.requests[1:]]

    with asyncio.Runner(loop_factory=WireLoop) as runner:
        return runner.run(work())


@pytest.mark.parametrize("url", ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/"])
def test_a_url_may_end_in_v1_or_not(url: str) -> None:
    assert OpenAIChat(url=url).resource("/models") == "http://h:1/v1/models"


def test_the_body_says_what_is_asked() -> None:
    """Model, messages, stream with usage, length; extra fields of the scenario; vendor fields."""
    _, (body,) = against(OK_STREAM, body_fields={"temperature": 0})
    assert body["model"] == "m"
    assert body["messages"] == [{"role": "user", "content": "hello"}]
    assert body["stream"] is True
    assert body["stream_options"]["include_usage"] is True
    assert body["max_tokens"] == 3
    assert body["temperature"] == 0
    assert body["ignore_eos"] is True


def test_vendor_fields_can_be_left_out() -> None:
    _, (body,) = against(OK_STREAM, vendor_fields=False, max_tokens_field="max_completion_tokens")
    assert "ignore_eos" not in body
    assert "min_tokens" not in body
    assert body["max_completion_tokens"] == 3


def test_running_usage_is_asked_for() -> None:
    _, (body,) = against(OK_STREAM, running_usage=True)
    assert body["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}


def test_a_strict_server_gets_the_request_again_without_vendor_fields() -> None:
    """After one 422 vendor fields stay away; the request that found out is answered too."""
    refusal = Script((Step(answer("422 Unprocessable Entity", b'{"detail": "ignore_eos"}')),))
    found, bodies = against(refusal, OK_STREAM, num=2)
    assert [exchange.reads[0][9:12] for exchange in found] == [b"200", b"200"]
    assert ["ignore_eos" in body for body in bodies] == [True, False, False]


def test_a_422_for_another_reason_stays_one() -> None:
    """If leaving vendor fields out does not help, the refusal is the answer."""
    refusal = Script((Step(answer("422 Unprocessable Entity", b'{"detail": "no"}')),))
    (exchange,), bodies = against(refusal)
    assert exchange.reads[0][9:12] == b"422"
    assert len(bodies) == 2


def test_a_server_that_is_still_loading_is_waited_for() -> None:
    """503 means not yet."""

    async def work() -> int:
        loading = Script((Step(answer("503 Service Unavailable", b"loading")),))
        async with scripted_server(loading, loading, MODELS) as server:
            await OpenAIChat(url=server.url).wait_until_ready()
            return len(server.requests)

    assert asyncio.run(work()) == 3


def test_a_server_that_never_gets_ready() -> None:
    async def work() -> None:
        loading = Script((Step(answer("503 Service Unavailable", b"loading")),))
        async with scripted_server(loading) as server:
            await OpenAIChat(url=server.url, ready_within=0.3).wait_until_ready()

    with pytest.raises(EndpointError, match="still not ready"):
        asyncio.run(work())


def test_a_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", "sk-1")
    endpoint = OpenAIChat(url="http://h", api_key="${env:THE_KEY}", headers={"x-org": "me"})
    assert endpoint.request_headers() == {"Authorization": "Bearer sk-1", "x-org": "me"}
    monkeypatch.delenv("THE_KEY")
    with pytest.raises(ScenarioError, match="THE_KEY is not set"):
        endpoint.request_headers()


@asynccontextmanager
async def _tls_server(context: ssl.SSLContext) -> AsyncIterator[str]:
    """Answers GET with a model list and POST with a stream, over TLS."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET"):
                    writer.write(MODELS.data)
                    continue
                size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(size)
                for step in OK_STREAM.steps:
                    writer.write(step.data)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@pytest.mark.parametrize("trusted", [True, False])
def test_tls_is_verified(tmp_path: Path, trusted: bool) -> None:
    """A certificate that nobody vouches for ends the run before it starts."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))

    async def work() -> list[Exchange]:
        async with _tls_server(context) as url:
            endpoint = OpenAIChat(url=url, ca_file=str(ca_file) if trusted else None)
            async with endpoint.connect() as connection:
                body = endpoint.body(ASK, ASK.prompt.render().messages)
                return [await connection.send(i, body) for i in range(2)]

    with asyncio.Runner(loop_factory=WireLoop) as runner:
        if not trusted:
            with pytest.raises(EndpointError, match="CERTIFICATE_VERIFY_FAILED"):
                runner.run(work())
            return
        first, second = runner.run(work())
    endpoint = OpenAIChat(url="https://localhost")
    for exchange in (first, second):
        response = endpoint.decode(exchange, len)
        assert response.text == "one two three"
        assert response.error_class is None
    assert first.connect_s > 0
    assert second.connect_s == 0


@pytest.mark.parametrize("value", ["sk-1\n", "a\r\nX: y", "schlüssel", "\x1b[31m"])
def test_what_no_header_can_hold_is_refused_unseen(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """A key file's line end is a common slip; the message must not show the key."""
    monkeypatch.setenv("THE_KEY", value)
    for endpoint in (
        OpenAIChat(url="http://h", api_key="${env:THE_KEY}"),
        OpenAIChat(url="http://h", headers={"x-key": "${env:THE_KEY}"}),
    ):
        with pytest.raises(ScenarioError, match="no header may") as caught:
            endpoint.request_headers()
        assert value not in str(caught.value)
    with pytest.raises(ScenarioError, match="no name of a header"):
        OpenAIChat(url="http://h", headers={"a b": "c"}).request_headers()


def test_a_key_in_the_file_is_refused() -> None:
    """What stands in a scenario is written into results: a key itself must not stand there."""
    with pytest.raises(ValueError, match="name the variable"):
        OpenAIChat(url="http://h", api_key="sk-123")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://h/v1?api-version=1", "without .query"),
        ("http://h/#top", "without .query"),
        ("http://user:secret@h", "name or password"),
        ("http://[::1", "IPv6"),
    ],
)
def test_an_address_that_cannot_be_kept_whole_is_refused(
    url: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it stands in the file and where it comes from the environment; it is never shown."""
    with pytest.raises(ValueError, match=problem) as refused:
        OpenAIChat(url=url)
    assert "secret" not in str(refused.value)
    monkeypatch.setenv("THE_URL", url)
    with pytest.raises(ScenarioError, match=problem) as refused_later:
        OpenAIChat(url="${env:THE_URL}").resource("/models")
    assert "secret" not in str(refused_later.value)


def test_a_ca_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ScenarioError, match=r"endpoint.ca_file: /no/ca.pem: No such file"):
        OpenAIChat(url="https://h", ca_file="/no/ca.pem").tls()
