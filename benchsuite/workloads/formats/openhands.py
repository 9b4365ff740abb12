"""Trajectories of OpenHands (JSONL of event histories; Wang et al., ICLR 2025)."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, ClassVar

from msgspec import Struct

from benchsuite.errors import TraceError
from benchsuite.spec import DataPath, Spec
from benchsuite.workloads.formats import chat
from benchsuite.workloads.formats.base import TraceRow
from benchsuite.workloads.formats.reading import Found, sessions


class _Row(Struct):
    instance_id: str
    history: list[dict[str, Any]]


class OpenHands(Spec, frozen=True, tag="openhands"):
    """OpenHands event histories (JSONL): actions with the model's answer, and observations.

    The gap before a request is from the action's event to the last observation before it, by their
    timestamps: how long the tools took. Answers without a recorded response are told by their
    thought. What the agent looked up for itself (`recall`) stays in the first row's `extra`.
    """

    block_tokens: ClassVar[int] = 1  # the format has no hash ids

    path: DataPath  # the JSONL, plain or gzipped

    def rows(self) -> Iterator[TraceRow | TraceError]:
        return sessions(self.path, _Row, _told_history)


def _told_history(place: Found, row: _Row) -> Iterator[TraceRow]:
    try:
        yield from _session(place, row)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"history: {error!r}") from error


def _session(place: Found, row: _Row) -> Iterator[TraceRow]:
    messages: list[dict[str, Any]] = []
    gaps_s: dict[int, float] = {}
    recalls: list[dict[str, Any]] = []  # the agent's own look-ups: they say nothing to the model
    acted_s: float | None = None  # when the latest action was decided
    for event in row.history:
        at_s = datetime.fromisoformat(event["timestamp"]).timestamp()
        action, observation = event.get("action"), event.get("observation")
        call = event.get("tool_call_metadata") or {}
        if action == "system" or (action == "message" and event["source"] == "user"):
            role = "system" if action == "system" else "user"
            messages.append({"role": role, "content": event["args"]["content"]} | _told(event))
        elif action == "recall" or observation == "recall":
            recalls.append(event)
        elif action is not None:
            messages.append(_answer(event, call) | _told(event))
            acted_s = at_s
        else:
            gaps_s[len(messages)] = max(0.0, at_s - acted_s) if acted_s is not None else 0.0
            content, answered = event.get("content", ""), call.get("tool_call_id")
            said = {"role": "tool", "tool_call_id": answered} if answered else {"role": "user"}
            messages.append(said | {"content": content} | _told(event))
    extra = {key: value for key, value in place.raw.items() if key != "history"}
    if recalls:
        extra["recalls"] = recalls
    return chat.session(place.line, row.instance_id, messages, gaps_s=gaps_s, extra=extra)


def _answer(event: dict[str, Any], call: dict[str, Any]) -> dict[str, Any]:
    choices = (call.get("model_response") or {}).get("choices")
    if choices:
        found: dict[str, Any] = choices[0]["message"]
        return {key: found.get(key) for key in ("role", "content", "tool_calls")}
    args = event.get("args") or {}
    text = args.get("thought") or args.get("final_thought") or event.get("message") or ""
    return {"role": "assistant", "content": text}


def _told(event: dict[str, Any]) -> dict[str, Any]:
    """The event itself: what it says besides stays in the row's `extra`."""
    return {"event": event}
