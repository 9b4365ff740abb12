"""Embeddings: an answer without tokens that is none the less one."""

import json
from typing import Any

import pytest

from benchsuite.endpoints.openai_embeddings import OpenAIEmbeddings
from benchsuite.errors import ScenarioError
from benchsuite.exchange import EMBEDDED, Exchange, Response, Usage
from benchsuite.message import ImagePart, Message
from benchsuite.request import Request, Scripted
from tests.scripted_server import Script, Step, answer, scripted_server

ENDPOINT = OpenAIEmbeddings(url="http://localhost", model="m")
TWO = (Message("user", "one"), Message("user", "two"))
VECTORS = json.dumps(
    {
        "object": "list",
        "data": [{"index": i, "embedding": [0.5, -1.0]} for i in range(2)],
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }
).encode()


def request(**more: Any) -> Request:
    return Request(0, Scripted(TWO, 2), 2, 0, **more)


def decode(data: bytes, **more: Any) -> Response:
    exchange = Exchange(
        request_id=0, stamp_source="virtual", framing="http", reads=[data], read_s=[0.0], **more
    )
    return ENDPOINT.decode(exchange, len)


def test_body() -> None:
    """One input, or a list of them for a batch."""
    whole = json.loads(ENDPOINT.body(request(), TWO))
    assert whole == {"model": "m", "input": "one\ntwo", "encoding_format": "float"}
    assert json.loads(ENDPOINT.body(request(is_batch=True), TWO))["input"] == ["one", "two"]
    with pytest.raises(ScenarioError, match="text only"):
        ENDPOINT.body(request(), (Message("user", (ImagePart("data:1"),)),))


def test_vectors_are_an_answer_without_tokens() -> None:
    """No chunks, the prompt's tokens, and a finish reason that says why."""
    response = decode(answer("200 OK", VECTORS, "content-type: application/json"))
    assert (response.chunks, response.output_tokens) == ((), 0)
    assert response.usage == Usage(7, None, None, None)
    assert (response.finish_reason, response.error_class) == (EMBEDDED, None)


@pytest.mark.parametrize(
    ("data", "error_class"),
    [
        (answer("400 Bad Request", b'{"error": {"message": "too long"}}'), "http_400"),
        (answer("200 OK", b'{"error": {"message": "no such model"}}'), "server_error"),
        (answer("200 OK", b'{"data": []}'), "malformed_event"),
        (answer("200 OK", b"oops"), "malformed_sse"),
        (answer("200 OK", VECTORS)[:-3], "truncated"),
    ],
)
def test_failures_are_classes(data: bytes, error_class: str) -> None:
    """A refusal, an error, no vectors, no JSON, or half of it."""
    response = decode(data)
    assert response.error_class == error_class
    assert response.chunks == ()


def test_a_transport_s_error_stays() -> None:
    """Even where all bytes had come."""
    data = answer("200 OK", VECTORS)
    assert decode(data, error_class="timeout_total", error="late").error_class == "timeout_total"


async def test_over_a_socket() -> None:
    """The path, and the answer."""
    models = Script((Step(answer("200 OK", b'{"data": []}')),))
    vectors = Script((Step(answer("200 OK", VECTORS, "content-type: application/json")),))
    async with scripted_server(models, vectors) as server:
        endpoint = OpenAIEmbeddings(url=server.url, model="m", transport="aiohttp")
        async with endpoint.connect() as connection:
            found = await connection.send(0, endpoint.body(request(), TWO))
        assert server.requests[1].path == "/v1/embeddings"
    assert endpoint.decode(found, len).finish_reason == EMBEDDED
