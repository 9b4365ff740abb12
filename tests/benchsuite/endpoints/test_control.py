"""One GET: answers in every framing, and servers that give none."""

import asyncio

import pytest

from benchsuite.endpoints import control
from benchsuite.endpoints.control import Answer, NotHttpError
from tests.scripted_server import Received, Script, Step, refused_url, scripted_server

HEAD = b"HTTP/1.1 200 OK\r\n"
WHOLE = {
    "length": HEAD + b"content-length: 2\r\n\r\nok",
    "chunks": HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
    "close": HEAD + b"\r\nok",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"content-length: 2\r\n\r\nok",
}
BROKEN = {
    "no word": b"",
    "another protocol": b"220 mail ready\r\n",
    "half": HEAD + b"content-length: 9\r\n\r\nok",
}


def ask(*steps: bytes) -> tuple[Answer, Received]:
    async def work() -> tuple[Answer, Received]:
        script = Script(tuple(Step(data) for data in steps), end="close")
        async with scripted_server(script) as server:
            found = await control.get(f"{server.url}/v1/models", {"x-key": "1"}, None, 5.0)
            return found, server.requests[0]

    return asyncio.run(work())


@pytest.mark.parametrize("name", WHOLE)
def test_an_answer_is_read_to_its_end(name: str) -> None:
    """However its end is told, and however it is cut."""
    data = WHOLE[name]
    for cut in (0, 20, len(data) - 1):
        answer, asked = ask(data[:cut], data[cut:])
        assert answer == (200, b"ok")
    assert (asked.method, asked.path, asked.body) == ("GET", "/v1/models", b"")
    assert asked.headers["x-key"] == "1"
    assert "content-type" not in asked.headers


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_answer_is_said(name: str) -> None:
    with pytest.raises(NotHttpError):
        ask(BROKEN[name])


def test_nobody_there_and_nobody_answers() -> None:
    """The errors are those of the network."""
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        asyncio.run(control.get(refused_url(), {}, None, 5.0))

    async def silent() -> None:
        async with scripted_server(Script((), end="stall")) as server:
            await control.get(server.url, {}, None, 0.05)

    with pytest.raises(TimeoutError):
        asyncio.run(silent())
