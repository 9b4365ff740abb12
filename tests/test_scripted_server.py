"""The scripted server plays what is written, byte for byte, and notes what it was asked."""

import asyncio
from urllib.parse import urlsplit

import pytest

from tests.scripted_server import (
    FAULTS,
    OK_STREAM,
    Script,
    Step,
    answer,
    refused_url,
    scripted_server,
)

REQUEST = b"POST /v1/x HTTP/1.1\r\nHost: h\r\nX-Key: k\r\nContent-Length: 2\r\n\r\nhi"


async def opened(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    place = urlsplit(url)
    return await asyncio.open_connection(place.hostname, place.port)


async def test_plays_scripts_in_turn_on_one_connection() -> None:
    """Kept-alive scripts follow each other; the last one repeats; requests are noted."""
    first, last = answer("404 Not Found", b"no"), answer("200 OK", b"yes")
    async with scripted_server(Script((Step(first),)), Script((Step(last),))) as server:
        reader, writer = await opened(server.url)
        for expected in (first, last, last):
            writer.write(REQUEST)
            assert await reader.readexactly(len(expected)) == expected
        writer.close()
    assert [(r.method, r.path, r.body, r.connection) for r in server.requests] == [
        ("POST", "/v1/x", b"hi", 0)
    ] * 3
    assert server.requests[0].headers["x-key"] == "k"


async def test_a_gate_holds_bytes_back() -> None:
    """What stands behind a gate is sent when the test says so."""
    async with scripted_server(Script((Step(b"a"), Step(b"b", gate="go")), "close")) as server:
        reader, writer = await opened(server.url)
        writer.write(REQUEST)
        assert await reader.readexactly(1) == b"a"
        rest = asyncio.ensure_future(reader.read())
        await asyncio.sleep(0)
        assert not rest.done()
        server.open_gate("go")
        assert await rest == b"b"
        writer.close()


@pytest.mark.parametrize("name", ["closed_mid_stream", "half_close", "truncated_chunk"])
async def test_ends_that_the_client_reads_as_end_of_file(name: str) -> None:
    """All bytes of the script, then the end."""
    async with scripted_server(FAULTS[name].script) as server:
        reader, writer = await opened(server.url)
        writer.write(REQUEST)
        assert await reader.read() == FAULTS[name].script.data
        writer.close()


async def test_reset() -> None:
    """A reset reaches the client as one."""
    async with scripted_server(FAULTS["reset_before_head"].script) as server:
        reader, writer = await opened(server.url)
        writer.write(REQUEST)
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        writer.close()


async def test_stalled_connections_end_with_the_server() -> None:
    """A test that leaves a stalled stream behind does not hang."""
    async with scripted_server(FAULTS["stall_mid_stream"].script, OK_STREAM) as server:
        reader, writer = await opened(server.url)
        writer.write(REQUEST)
        stalled = FAULTS["stall_mid_stream"].script.data
        assert await reader.readexactly(len(stalled)) == stalled
    assert await reader.read() == b""
    writer.close()


async def test_refused() -> None:
    """Nobody listens at a refused address."""
    with pytest.raises(ConnectionRefusedError):
        await opened(refused_url())
