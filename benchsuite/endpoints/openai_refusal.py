"""What a server says where it gives no answer, in one line."""

import json
from typing import Final

from benchsuite.endpoints import http_framing
from benchsuite.endpoints.openai_message import storable

MAX_ERROR_CHARS: Final = 200
MAX_ERROR_BYTES: Final = 64 * 1024


def error_text(body: bytes) -> str:
    """What an error body says, in one line of at most 200 characters.

    Bodies seen: `{"error": {message, type, code}}` with a number or text as code,
    `{"error": text}`, `{"object": "error", "message"}`, `{"detail": text or list}`, plain text.
    """
    text = body[:MAX_ERROR_BYTES].decode(errors="replace").strip().removeprefix("data:")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    if isinstance(value, dict):
        value = next((value[key] for key in ("error", "detail") if value.get(key)), value)
    if isinstance(value, dict) and isinstance(value.get("message"), str):
        value = value["message"]
    try:
        said = value if isinstance(value, str) else json.dumps(value)
    except RecursionError:
        said = text
    return storable(" ".join(said[: 10 * MAX_ERROR_CHARS].split()))[:MAX_ERROR_CHARS]


def refusal(body: bytes, head: http_framing.Head | None) -> str:
    """Why there is no answer, with what the headers add."""
    said = error_text(body)
    if head is None:
        return said
    if location := head.header("location"):
        said = f"redirect to {location}, not followed; {said}"
    if wait := head.header("retry-after"):
        said = f"retry after {wait}; {said}"
    return said or head.reason
