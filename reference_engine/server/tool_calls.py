"""A tool call read as it is written: its name first, then its arguments piece by piece.

The model writes `{"name":NAME,"arguments":{...}}`, as Hermes and its followers do between their
tags; clients never see what stands around the arguments.
"""

import json
from collections.abc import Iterable
from typing import NamedTuple


class Call(NamedTuple):
    """Which function, under which id."""

    id: str
    name: str


def call_opening(name: str) -> str:
    """What stands before the arguments of a call."""
    return f'{{"name":{json.dumps(name)},"arguments":'


class CallText:
    """Text of one call in; `name` as soon as it is known, and the text of its arguments, out.

    Arguments end where their braces do. What follows the call itself (white space, if the answer
    had to be longer) goes with them: it changes nothing in JSON.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._openings = {call_opening(name): name for name in names}
        self._held = ""
        self._depth = 0
        self._in_string = self._is_escaped = self._is_over = False
        self.name: str | None = None

    @property
    def unnamed(self) -> str:
        """All of the text, while it does not say which function it calls."""
        return self._held if self.name is None else ""

    def push(self, text: str) -> str:
        """The part of `text` that belongs to the arguments."""
        if self.name is None:
            text = self._held = self._held + text
            opening = next((one for one in self._openings if text.startswith(one)), None)
            if opening is None:
                return ""
            self.name = self._openings[opening]
            text = text.removeprefix(opening)
        if self._is_over:
            return text.removeprefix("}")
        end = self._end(text)
        if end is None:
            return text
        self._is_over = True
        return text[:end] + text[end:].removeprefix("}")

    def _end(self, text: str) -> int | None:
        """Where the arguments end in `text`, if they do."""
        for index, char in enumerate(text):
            if self._is_escaped:
                self._is_escaped = False
            elif self._in_string:
                self._is_escaped = char == "\\"
                self._in_string = char != '"'
            elif char == '"':
                self._in_string = True
            elif char == "{":
                self._depth += 1
            elif char == "}":
                self._depth -= 1
                if not self._depth:
                    return index + 1
        return None
