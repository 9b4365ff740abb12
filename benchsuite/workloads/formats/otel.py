"""OpenTelemetry spans of LLM calls (JSON; the GenAI semantic conventions)."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, ClassVar, NamedTuple

import msgspec
from msgspec import Struct

from benchsuite.errors import TraceError
from benchsuite.request import Message
from benchsuite.spec import DataPath, Spec
from benchsuite.workloads.formats import chat
from benchsuite.workloads.formats.base import Outcome, TraceRow
from benchsuite.workloads.formats.reading import objects

_LLM_CALLS = {"chat", "text_completion", "generate_content"}


class _Span(Struct):
    span_id: str
    start_time: str  # ISO 8601
    end_time: str
    trace_id: str = ""
    attributes: dict[str, Any] = {}


class _File(Struct):
    """A span, or a list of them."""

    spans: list[dict[str, Any]] | None = None


class _Call(NamedTuple):
    line: int
    span: _Span
    raw: dict[str, Any]
    start_s: float
    end_s: float
    asked: tuple[Message, ...]  # where the span holds the texts
    reply: Message | None


class Otel(Spec, frozen=True, tag="otel"):
    """OpenTelemetry GenAI spans (JSON `{"spans": [...]}` or JSONL of spans): calls of one trace.

    The calls of a `trace_id` are a session. A call waits for the latest ones that had ended before
    it began, first for the one whose prompt and answer its own prompt begins with; calls that were
    under way together fork. Spans that are no call of a model are passed over.
    """

    block_tokens: ClassVar[int] = 1  # the format has no hash ids

    path: DataPath  # JSON or JSONL, plain or gzipped

    def rows(self) -> Iterator[TraceRow | TraceError]:
        calls: list[_Call] = []
        for found in objects(self.path, _File):
            if isinstance(found, TraceError):
                yield found
                continue
            place, file = found
            for raw in [place.raw] if file.spans is None else file.spans:
                try:
                    call = _call(place.line, raw)
                except ValueError as error:
                    yield TraceError(self.path, place.line, f"span: {error}")
                    continue
                if call is not None:
                    calls.append(call)
        calls.sort(key=lambda call: (call.span.trace_id, call.start_s))
        for _, session in groupby(calls, key=lambda call: call.span.trace_id):
            yield from _session(list(session))


def _call(line: int, raw: dict[str, Any]) -> _Call | None:
    """None: it is no call of a model. Raises ValueError."""
    attributes = raw.get("attributes")
    operation = attributes.get("gen_ai.operation.name") if isinstance(attributes, dict) else None
    if operation not in _LLM_CALLS and not str(raw.get("name", "")).startswith("chat"):
        return None
    span = msgspec.convert(raw, _Span)
    replies = _messages(span.attributes.get("gen_ai.output.messages"))
    return _Call(
        line,
        span,
        raw,
        datetime.fromisoformat(span.start_time).timestamp(),
        datetime.fromisoformat(span.end_time).timestamp(),
        _messages(span.attributes.get("gen_ai.input.messages")),
        replies[-1] if replies else None,
    )


def _messages(raw: Any) -> tuple[Message, ...]:
    """JSON text of messages, with `content`, or with `parts` as the conventions have it now."""
    if not raw:
        return ()
    found = msgspec.json.decode(raw) if isinstance(raw, str) else raw
    return tuple(chat.message(_flat(one)) for one in found)


def _flat(one: dict[str, Any]) -> dict[str, Any]:
    parts = one.get("parts")
    if parts is None:
        return one
    by_type = {kind: [p for p in parts if p.get("type") == kind] for kind in _PARTS}
    answers = by_type["tool_call_response"]
    return {
        "role": one["role"],
        "content": "\n".join(part["content"] for part in by_type["text"])
        or (_text(answers[0].get("response", answers[0].get("result"))) if answers else None),
        "tool_calls": by_type["tool_call"],
        "tool_call_id": answers[0].get("id") if answers else None,
        "reasoning": "\n".join(part["content"] for part in by_type["reasoning"]) or None,
    }


_PARTS = ("text", "reasoning", "tool_call", "tool_call_response")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _session(calls: Sequence[_Call]) -> Iterator[TraceRow]:
    for at, call in enumerate(calls):
        parents = _parents(calls, at)
        new = None
        if parents:
            parents.sort(key=lambda turn: _added(calls[turn], call) is None)  # stable
            new = _added(calls[parents[0]], call)
        told = call.span.attributes
        yield TraceRow(
            line=call.line,
            session_id=call.span.trace_id or call.span.span_id,
            id=call.span.span_id,
            after=tuple(calls[turn].span.span_id for turn in parents) if at else None,
            arrival_s=call.start_s,
            gap_s=call.start_s - max(calls[t].end_s for t in parents) if parents else None,
            prompt_tokens=_count(told, "input_tokens", "prompt_tokens"),
            output_tokens=_count(told, "output_tokens", "completion_tokens"),
            messages=None if new is not None else call.asked or None,
            new_messages=new,
            reply=call.reply,
            model=told.get("gen_ai.request.model"),
            outcome=Outcome(e2e_s=max(0.0, call.end_s - call.start_s)),
            extra=_rest(call.raw),
        )


def _parents(calls: Sequence[_Call], at: int) -> list[int]:
    """Calls that had ended before this one began, without those that others of them waited for."""
    ended = [turn for turn in range(at) if calls[turn].end_s <= calls[at].start_s]
    latest_s = max((calls[turn].start_s for turn in ended), default=0.0)
    return [turn for turn in ended if calls[turn].end_s > latest_s]


def _added(before: _Call, call: _Call) -> tuple[Message, ...] | None:
    """What `call` asked behind the prompt and the answer of `before`; None: it does not follow."""
    if before.reply is None or not before.asked:
        return None
    said = (*before.asked, before.reply)
    return call.asked[len(said) :] if call.asked[: len(said)] == said else None


def _count(attributes: dict[str, Any], *names: str) -> int | None:
    found = [attributes.get(f"gen_ai.usage.{name}") for name in names]
    return next((int(one) for one in found if one is not None), None)


def _rest(raw: dict[str, Any]) -> dict[str, Any]:
    texts = ("gen_ai.input.messages", "gen_ai.output.messages")
    told = {k: v for k, v in (raw.get("attributes") or {}).items() if k not in texts}
    return {key: value for key, value in raw.items() if key != "attributes"} | {"attributes": told}
