"""The JSON documents of an answer, whole: for what an agent needs of it, off the hot path."""

import json
from collections.abc import Iterator
from typing import Any

from benchsuite.endpoints import http_framing, sse
from benchsuite.exchange import Exchange


def documents(exchange: Exchange) -> Iterator[dict[str, Any]]:
    """Each event's object, or the one that the answer is; what is none is passed over, since
    decoding has said so already."""
    framed = (
        http_framing.unframed(exchange.reads)
        if exchange.framing == "none"
        else http_framing.unframe(exchange.reads)
    )
    body = framed.body
    is_whole = body.lstrip().startswith(b"{")
    for data in [body] if is_whole else sse.parse(body, framed.read_end).data:
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield value


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; none where it is no list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
