"""Answers of /v1/responses as the chat events that say the same.

Pure. What is left after the translation (framing, attribution of tokens, errors) is the dialect's:
one reader for both. Each event keeps the read that brought it. Events that carry no generated text
(created, in_progress, content_part ..., done) have no counterpart. Of a call's arguments the deltas
count; where a server sends none, what stands in the finished item.
"""

import json
from typing import Any

from benchsuite.endpoints import http_framing, sse
from benchsuite.endpoints.documents import objects
from benchsuite.exchange import Exchange

_TEXT = frozenset(("response.output_text.delta", "response.refusal.delta"))
_REASONING = frozenset(("response.reasoning_text.delta", "response.reasoning_summary_text.delta"))
_ENDS = frozenset(("response.completed", "response.incomplete", "response.failed"))


def as_chat(exchange: Exchange) -> Exchange:
    """The same answer in chat events; an answer that is no success, or no answer, as it is."""
    is_framed = exchange.framing == "http"
    framed = (http_framing.unframe if is_framed else http_framing.unframed)(exchange.reads)
    status = framed.head.status if framed.head is not None else exchange.http_status or 200
    if (is_framed and framed.head is None) or not 200 <= status < 300 or _is_odd(framed):
        return exchange
    error_class, error = exchange.error_class, exchange.error
    if error_class is None and framed.error_class is not None:
        error_class, error = framed.error_class, framed.error
    if error_class is None and not framed.is_complete:
        error_class, error = "truncated", "the response ended before its stated end"
    reads, num_replaced = _translated(framed, len(exchange.reads))
    if error_class is None and num_replaced:
        error_class, error = "invalid_utf8", f"{num_replaced} sequences are not UTF-8"
    return Exchange(
        request_id=exchange.request_id,
        stamp_source=exchange.stamp_source,
        framing="none",
        connect_s=exchange.connect_s,
        sent_s=exchange.sent_s,
        reads=reads,
        read_s=exchange.read_s,
        lag_s=exchange.lag_s,
        finished_s=exchange.finished_s,
        http_status=status,
        error_class=error_class,
        error=error,
    )


def _is_odd(framed: http_framing.Framed) -> bool:
    head = framed.head
    if head is None:
        return False
    return bool(head.content_encoding) or head.content_type not in (
        "text/event-stream",
        "application/json",
        "",
    )


def _translated(framed: http_framing.Framed, num_reads: int) -> tuple[list[bytes], int]:
    """What each read brought, in chat events; and how many of its sequences were no UTF-8."""
    reads = [b""] * num_reads
    if framed.body.lstrip().startswith(b"{"):
        body, num_replaced = sse.repaired(framed.body)
        reads[-1] = _whole(body)
        return reads, num_replaced
    stream = sse.parse(framed.body, framed.read_end)
    seen = _Seen()
    last = len(stream.data) - 1
    for i, (data, read) in enumerate(zip(stream.data, stream.read, strict=True)):
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            event = None
        if isinstance(event, dict):
            reads[read] += b"".join(map(_event, seen.chat(event)))
        else:  # for the dialect to judge: [DONE], or broken
            reads[read] += b"data: " + data + (b"" if stream.is_cut and i == last else b"\n\n")
    return reads, stream.num_replaced


def _event(fields: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


class _Seen:
    """What has come so far: calls by their place, and whether their arguments were streamed."""

    def __init__(self) -> None:
        self._calls: dict[Any, int] = {}
        self._streamed: set[Any] = set()

    def chat(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """The chat events that say what `event` does."""
        kind, place = event.get("type"), event.get("output_index", event.get("item_id"))
        item = event.get("item")
        called = item if isinstance(item, dict) and _is_call(item) else None
        if kind in _TEXT:
            return [_choice({"content": event.get("delta")})]
        if kind in _REASONING:
            return [_choice({"reasoning_content": event.get("delta")})]
        if kind == "response.output_item.added" and called is not None:
            self._calls[place] = len(self._calls)
            return [_choice(_call(self._calls[place], called, called.get("arguments")))]
        if kind == "response.function_call_arguments.delta" and place in self._calls:
            self._streamed.add(place)
            return [_choice(_call(self._calls[place], {}, event.get("delta")))]
        if kind == "response.output_item.done" and called is not None:
            return self._done(place, called)
        if kind in _ENDS:
            return _end(event.get("response"), bool(self._calls))
        if kind == "error":
            return [{"error": event.get("error") or event.get("message") or event}]
        return []

    def _done(self, place: Any, item: dict[str, Any]) -> list[dict[str, Any]]:
        """A finished call: news only if its deltas did not come."""
        if place not in self._calls:
            self._calls[place] = len(self._calls)
            return [_choice(_call(self._calls[place], item, item.get("arguments")))]
        if place in self._streamed or not item.get("arguments"):
            return []
        return [_choice(_call(self._calls[place], {}, item["arguments"]))]


def _whole(body: bytes) -> bytes:
    """An answer in one document, as one of chat; another document as it is."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return body
    if not isinstance(answer.get("output"), list):
        return body
    content, reasoning, calls = "", "", list[dict[str, Any]]()
    for item in objects(answer["output"]):
        if _is_call(item):
            calls += _call(len(calls), item, item.get("arguments"))["tool_calls"]
        elif item.get("type") == "reasoning":
            reasoning += _text(item.get("content")) or _text(item.get("summary"))
        else:
            content += _text(item.get("content"))
    ended, *usage = _end(answer, bool(calls))
    if usage:
        message = {"content": content, "reasoning_content": reasoning, "tool_calls": calls}
        finish = ended["choices"][0]["finish_reason"]
        ended = {"choices": [{"index": 0, "message": message, "finish_reason": finish}]} | {
            "usage": usage[0]["usage"]
        }
    return json.dumps(ended).encode()


def _text(parts: Any) -> str:
    return "".join(str(part.get("text") or part.get("refusal") or "") for part in objects(parts))


def _end(response: Any, has_calls: bool) -> list[dict[str, Any]]:
    """How an answer ended: its finish reason, its usage, or what went wrong."""
    if not isinstance(response, dict):
        return []
    if error := response.get("error"):
        return [{"error": error}]
    details = response.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    finish = {"max_output_tokens": "length", None: "tool_calls" if has_calls else "stop"}
    ended = _choice({}, finish.get(reason, reason))
    return [ended, {"choices": [], "usage": _usage(response.get("usage"))}]


def _usage(usage: Any) -> dict[str, Any] | None:
    if not isinstance(usage, dict):
        return None
    return {
        "prompt_tokens": usage.get("input_tokens"),
        "completion_tokens": usage.get("output_tokens"),
        "prompt_tokens_details": usage.get("input_tokens_details"),
        "completion_tokens_details": usage.get("output_tokens_details"),
    }


def _is_call(item: dict[str, Any]) -> bool:
    return item.get("type") == "function_call"


def _call(index: int, item: dict[str, Any], arguments: Any) -> dict[str, Any]:
    """A delta of a call; an item names it, its pieces do not."""
    function: dict[str, Any] = {"arguments": arguments if isinstance(arguments, str) else ""}
    call: dict[str, Any] = {"index": index, "function": function}
    if item:
        function["name"] = item.get("name")
        call["id"] = item.get("call_id") or item.get("id")
    return {"tool_calls": [call]}


def _choice(delta: dict[str, Any], finish: Any = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
