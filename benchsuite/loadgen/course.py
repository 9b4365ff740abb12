"""A session under way: what its turns said so far, and what is recorded of what was sent."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import msgspec

from benchsuite.exchange import Response
from benchsuite.loadgen.ahead import Ready
from benchsuite.loadgen.order import Order
from benchsuite.request import Message, PlannedResult, Session
from benchsuite.tools.base import ToolResult


@dataclass
class Course:
    """A session under way."""

    session: Session
    order: Order
    forks: set[asyncio.Task[object]] = field(default_factory=set)  # walks beside the first
    made: dict[int, asyncio.Future[Ready]] = field(default_factory=dict)  # or being made, by turn
    ended_s: float = 0.0  # when the last of its requests so far ended
    _said: dict[int, tuple[Message, ...]] = field(default_factory=dict)  # of live ones, by turn

    def keep(self, turn: int, history: tuple[Message, ...]) -> None:
        if history:
            self._said[turn] = history

    def history_of(self, turn: int) -> tuple[Message, ...]:
        """The messages that stand before the turn's own in a live session."""
        parents = self.session.waits_for(turn)
        return () if self.is_whole(turn) or not parents else self._said.get(parents[0], ())

    def is_whole(self, turn: int) -> bool:
        """Whether the turn's prompt holds nothing that the model has yet to say."""
        return self.session.history == "scripted" or turn in self.session.fresh


def sent(
    session: Session, turn: int, ready: Ready, due_s: float | None, results: tuple[ToolResult, ...]
) -> dict[str, Any]:
    """What a record says of the body beside its lengths."""
    request, messages = ready.request, ready.messages
    facts: dict[str, Any] = {
        "bytes_sent": len(ready.body),
        "num_images": sum(len(message.images) for message in messages),
        "num_items": request.num_samples * (len(messages) if request.is_batch else 1),
        "group": request.group,
    }
    if request.tools:
        facts["tools"] = msgspec.json.encode(request.tools).decode()
    if request.results and due_s is not None:
        results = tuple(_took_place(result, due_s) for result in request.results)
    if results:
        facts["tool_results"] = msgspec.json.encode(results).decode()
    if session.box is not None and turn > 0:  # nobody knew before how long it would be
        facts["prompt_tokens_asked"] = ready.prompt_tokens
    return facts


def _took_place(result: PlannedResult, due_s: float) -> ToolResult:
    """A planned tool ends when its request is due."""
    return ToolResult(
        call_id=result.call_id,
        name=result.name,
        started_s=due_s - result.latency_s,
        ended_s=due_s,
        exit_code=result.exit_code,
        problem=None,
        output="",
        output_tokens=result.output_tokens,
    )


def said(reply: Response, keep_reasoning: bool) -> Message:
    """An agent's answer as the next turn repeats it."""
    return Message(
        role="assistant",
        content=reply.text or None,
        tool_calls=reply.tool_calls,
        reasoning=(reply.reasoning or None) if keep_reasoning else None,
    )
