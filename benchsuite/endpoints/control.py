"""The control plane: one request at a time, on a connection of its own, beside what is measured.

Not an HTTP library: to load one takes as long as a short run of ours, and the framing of answers
is here already. No redirects, no proxies, no compression.
"""

import asyncio
import ssl
from typing import NamedTuple

from benchsuite.endpoints.http_framing import ResponseEnd
from benchsuite.endpoints.http_request import Target, request_head, target
from benchsuite.endpoints.wire import READ_BYTES


class Answer(NamedTuple):
    status: int
    body: bytes


class NotHttpError(Exception):
    """Whoever listens there answered with something else, or with half an answer."""


async def get(
    url: str, headers: dict[str, str], context: ssl.SSLContext | None, within_s: float
) -> Answer:
    """What `url` answers. Raises OSError (TimeoutError, ssl.SSLError among them), NotHttpError."""
    where = target(url)
    return await _exchange(where, request_head(where, headers, "GET"), b"", context, within_s)


async def post(
    url: str, headers: dict[str, str], body: bytes, context: ssl.SSLContext | None, within_s: float
) -> Answer:
    """What `url` answers to that JSON. Raises as `get` does."""
    where = target(url)
    head = request_head(where, headers) + b"Content-Length: %d\r\n" % len(body)
    return await _exchange(where, head, body, context, within_s)


async def _exchange(
    where: Target, head: bytes, body: bytes, context: ssl.SSLContext | None, within_s: float
) -> Answer:
    tls = context if where.scheme == "https" else None
    async with asyncio.timeout(within_s):
        reader, writer = await asyncio.open_connection(where.host, where.port, ssl=tls)
        try:
            writer.write(head + b"Connection: close\r\n\r\n" + body)
            return await _answer(reader)
        finally:
            writer.close()


async def _answer(reader: asyncio.StreamReader) -> Answer:
    body = bytearray()
    end = ResponseEnd(body.extend)
    while True:
        data = await reader.read(READ_BYTES)
        if not data and not end.ends_at_close:
            raise NotHttpError("it closed the connection before it had answered")
        if not data or end.feed(data):
            break
    if end.error_class is not None or end.head is None:
        raise NotHttpError(end.error or "no answer")
    return Answer(end.head.status, bytes(body))
