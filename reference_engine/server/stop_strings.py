"""Ends an answer at a stop string, wherever the tokens cut it."""

from collections.abc import Sequence


class StopStrings:
    """Text in, text that may be sent out; nothing of a stop string or behind it ever passes.

    The stop string that is complete first ends the answer (of two that end together, the
    longer), so the result does not depend on how the text was cut.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        assert all(stops), "an empty stop string would end every answer at once"
        self._stops = tuple(stops)
        self._longest = max(map(len, stops))
        self._held = ""
        self.found = False

    def push(self, text: str) -> str:
        """What of the text so far can be sent now; the rest may be the start of a stop string."""
        text = self._held + text
        matches = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if matches:
            self.found, self._held = True, ""
            return text[: min(matches)[1]]
        keep = len(text) - self._undecided(text)
        self._held = text[keep:]
        return text[:keep]

    def flush(self) -> str:
        """What was held back, when no more text comes."""
        text, self._held = self._held, ""
        return text

    def _undecided(self, text: str) -> int:
        """Length of the longest end of `text` with which a stop string begins."""
        for length in range(min(len(text), self._longest - 1), 0, -1):
            end = text[-length:]
            if any(stop.startswith(end) for stop in self._stops):
                return length
        return 0
