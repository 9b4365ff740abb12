"""The tool calls of an answer, put together from its deltas. Made from the exchange, and only
where decoding has found some.

A delta belongs to the call of its `index`. Servers differ: some leave `index` out, some send every
call whole under index 0 with an id of its own, some send arguments as an object.
"""

import json
from typing import Any

from benchsuite.endpoints.documents import documents, objects
from benchsuite.exchange import Exchange
from benchsuite.message import ToolCall


class _Call:
    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []


class _Calls:
    """Calls of the first choice in the order in which they began."""

    def __init__(self) -> None:
        self._all: list[_Call] = []
        self._by_index: dict[Any, _Call] = {}

    def take(self, delta: dict[str, Any]) -> None:
        """Add what a delta, or a whole message, says."""
        for position, piece in enumerate(objects(delta.get("tool_calls"))):
            index = piece.get("index")
            self._add(self._place(index, position, piece), piece)
        if isinstance(legacy := delta.get("function_call"), dict):
            self._add("function_call", {"function": legacy})

    def done(self) -> tuple[ToolCall, ...]:
        return tuple(
            ToolCall(call.id or f"call_{i}", call.name, "".join(call.arguments))
            for i, call in enumerate(self._all)
        )

    def _place(self, index: Any, position: int, piece: dict[str, Any]) -> Any:
        """Where a piece goes: its index; without one a new id begins, else the last goes on."""
        if index is not None:
            return index
        if piece.get("id") or not self._all:
            return (len(self._all), position)
        return next(place for place, call in self._by_index.items() if call is self._all[-1])

    def _add(self, place: Any, piece: dict[str, Any]) -> None:
        call = self._by_index.get(place)
        identity = str(piece.get("id") or "")
        if call is None or (identity and call.id and identity != call.id):
            call = self._by_index[place] = _Call()
            self._all.append(call)
        call.id = call.id or identity
        function = piece.get("function")
        if not isinstance(function, dict):
            return
        if isinstance(name := function.get("name"), str):
            call.name = call.name or name
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            call.arguments.append(arguments)
        elif arguments is not None:
            call.arguments.append(json.dumps(arguments))


def tool_calls(exchange: Exchange) -> tuple[ToolCall, ...]:
    """The calls of a chat answer, streamed or whole, in order; arguments as the model wrote them.

    A call without an id gets one (`call_0`), since its answer has to name it.
    """
    calls = _Calls()
    for document in documents(exchange):
        for choice in objects(document.get("choices")):
            if choice.get("index", 0) == 0:
                told = choice.get("delta") or choice.get("message")
                calls.take(told if isinstance(told, dict) else {})
    return calls.done()
