"""Berkeley Function Calling Leaderboard v4 (JSONL; Patil et al., ICML 2025): calls to be made."""

from collections.abc import Iterator
from typing import Any, ClassVar

from msgspec import Struct

from benchsuite.errors import TraceError
from benchsuite.request import Tool
from benchsuite.spec import DataPath, Spec
from benchsuite.workloads.formats import chat
from benchsuite.workloads.formats.base import TraceRow
from benchsuite.workloads.formats.reading import Found, objects, whole


class _Row(Struct):
    id: str
    question: list[list[dict[str, Any]]]  # by turn, the messages that are new in it
    function: list[dict[str, Any]] | None = None
    involved_classes: list[str] = []


class Bfcl(Spec, frozen=True, tag="bfcl"):
    """BFCL v4 (JSONL): questions by turn and the functions for them; no answers were recorded.

    Sessions of several turns are live: the model's own replies stand between the questions. The
    expected calls stay in `extra`, and so do a row's functions as the leaderboard writes them: its
    types are Python's (`dict`, `tuple`), and become those of JSON Schema. Rows of several turns
    name classes whose functions stand in `functions`, a JSON file of them.
    """

    block_tokens: ClassVar[int] = 1  # the format has no hash ids

    path: DataPath  # the JSONL, plain or gzipped
    functions: DataPath | None = None  # JSON: {class or file name: [function ...]}

    def rows(self) -> Iterator[TraceRow | TraceError]:
        known: dict[str, Any] = {}
        if self.functions is not None:
            known = whole(self.functions, dict[str, Any])
        for found in objects(self.path, _Row):
            if isinstance(found, TraceError):
                yield found
                continue
            try:
                rows = list(_session(*found, known))
            except ValueError as error:
                yield TraceError(self.path, found[0].line, str(error))
            else:
                yield from rows


def _session(place: Found, row: _Row, known: dict[str, Any]) -> Iterator[TraceRow]:
    tools = _tools(row, known)
    for turn, new in enumerate(row.question):
        messages = tuple(chat.message(one) for one in new)
        yield TraceRow(
            line=place.line,
            session_id=row.id,
            gap_s=0.0 if turn else None,
            messages=None if turn else messages,
            new_messages=messages if turn else None,
            tools=None if turn else tools,
            extra=None if turn else {k: v for k, v in place.raw.items() if k not in _TOLD},
        )


_TOLD = {"id", "question"}


def _tools(row: _Row, known: dict[str, Any]) -> tuple[Tool, ...] | None:
    if row.function is not None:
        return tuple(_tool(one) for one in row.function)
    if not known:
        return None
    found: list[dict[str, Any]] = []
    for name in row.involved_classes:
        file = FILES.get(name, name)
        if file not in known:
            raise ValueError(f"involved_classes: no functions of {name!r} ({', '.join(known)})")
        found += known[file]
    return tuple(_tool(one) for one in found)


def _tool(raw: dict[str, Any]) -> Tool:
    found = chat.tool(raw)
    return Tool(found.name, found.description, _schema(found.parameters))


def _schema(raw: Any) -> Any:
    """The leaderboard writes Python's names of types; JSON Schema has others."""
    if isinstance(raw, list):
        return [_schema(one) for one in raw]
    if not isinstance(raw, dict):
        return raw
    found = {key: _schema(value) for key, value in raw.items()}
    kind = found.get("type")
    if isinstance(kind, str) and kind in TYPES:
        found |= {"type": TYPES[kind]}
    elif kind == "any":
        del found["type"]
    return found


TYPES = {"dict": "object", "float": "number", "tuple": "array"}

FILES = {
    "GorillaFileSystem": "gorilla_file_system",
    "MathAPI": "math_api",
    "MessageAPI": "message_api",
    "TicketAPI": "ticket_api",
    "TradingBot": "trading_bot",
    "TravelAPI": "travel_booking",
    "TwitterAPI": "posting_api",
    "VehicleControlAPI": "vehicle_control",
}
"""Class -> the stem of the file of its functions, as the leaderboard names them."""
