"""What a trace format gives: rows, each saying when a request came and how long it was."""

from collections.abc import Iterator
from typing import Protocol

from msgspec import Struct

from benchsuite.errors import TraceError
from benchsuite.request import Grader, Message


class TraceRow(Struct, frozen=True):
    """One recorded request. It has `arrival_s`, or `gap_s` if it is a later turn of its session."""

    line: int
    output_tokens: int
    prompt_tokens: int | None = None  # the whole prompt, earlier turns included; None: `messages`
    arrival_s: float | None = None  # from any one origin
    gap_s: float | None = None  # from the end of the session's previous request
    session_id: str | int | None = None  # None: a session of its own
    hash_ids: tuple[int, ...] = ()  # one per block of the prompt, the last block may be partial
    messages: tuple[Message, ...] | None = None
    slo_class: str = "default"
    expected: str | None = None
    grader: Grader | None = None


class TraceSource(Protocol):
    """One file in one format; knows nothing of slices, scales or prompts."""

    @property
    def path(self) -> str: ...

    @property
    def block_tokens(self) -> int:
        """Tokens that one entry of `hash_ids` stands for."""
        ...

    def rows(self) -> Iterator[TraceRow | TraceError]:
        """Rows in file order; a broken row is given as the error that describes it.

        Raises ScenarioError if the file cannot be read, TraceError if it is of another format.
        """
        ...
