"""What a tool is to an agent's run: a description to offer, and an outcome for each call."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from msgspec import Struct

from benchsuite.message import Tool
from benchsuite.tools.check import Problem


class Outcome(NamedTuple):
    """What came of a call."""

    output: str
    duration_s: float | None = None  # that it is to take; None: it took what it took
    exit_code: int = 0  # other than 0: it failed


class ToolSource(Protocol):
    """A tool that can be called."""

    @property
    def is_real(self) -> bool:
        """Whether calling it takes time of its own; then a thread does it."""
        ...

    def tool(self) -> Tool:
        """How it is offered to the model."""
        ...

    def call(self, arguments: Mapping[str, Any], key: tuple[int, ...]) -> Outcome:
        """Carry out a call that was found sound. `key`: which one of the run it is, so that what is
        drawn for it is the same in every run. Never raises for what a model asks for."""
        ...


class ToolResult(Struct, frozen=True, kw_only=True):
    """A call and what came of it. Times are seconds on the loop's clock, or from the run's start
    once it stands in a record."""

    call_id: str
    name: str
    started_s: float
    ended_s: float
    exit_code: int | None  # None: it was not carried out, see `problem`
    problem: Problem | None
    output: str
    output_tokens: int  # by our tokenizer
