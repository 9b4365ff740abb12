"""What an OpenAI-compatible server's answer means: chat and completions, streamed or whole.

Servers differ in which events they send and which fields they fill; whatever carries generated
text is a chunk, the rest is not. Nothing a server sends raises here: what is wrong becomes the
response's `error_class`, and what was understood is kept.

Where several answers were asked for at once (`Exchange.num_items`), tool calls and finish reason
are those of the first choice; so are the chunks and their times, or those of the next choice that
says anything where the first is empty. Tokens are those of all choices together: the chunks' sum
is the server's count for the whole, which it does not tell apart, and times per token are per
token of the whole. Each choice has its text in `items`, and no times of its own.

Error classes, the first that applies: the transport's own; malformed_http, too_large (framing);
http_<status>; encoding; content_type; server_error (said inside a stream that began well);
malformed_event; malformed_sse; truncated; invalid_utf8; extra_choices, missing_choices.
"""

import re
from typing import Final, NamedTuple

import msgspec
import numpy as np

from benchsuite.endpoints import http_framing, sse
from benchsuite.endpoints.attribution import Attribution, attribute, in_proportion
from benchsuite.endpoints.openai_body import chat_body, completions_body
from benchsuite.endpoints.openai_message import (
    Choice,
    Delta,
    Message,
    Timings,
    UsageFields,
    believed,
    decode,
    read_message,
    stages_of,
    usage_of,
)
from benchsuite.endpoints.openai_refusal import MAX_ERROR_CHARS, error_text, refusal
from benchsuite.endpoints.plain_stream import NotPlainError, PlainStream
from benchsuite.endpoints.tool_calls import tool_calls
from benchsuite.exchange import Chunks, Exchange, Kind, Response, TokenCounter

__all__ = ["chat_body", "completions_body", "decode_stream", "error_text", "has_token"]

_CONTENT_TYPES: Final = frozenset(("text/event-stream", "application/json", ""))


_NO_DELTA: Final = Delta()
_CONTENT, _REASONING, _TOOL_CALL = Kind
_TEXT: Final = re.compile(
    rb'"(?:content|reasoning|reasoning_content|text)"\s*:\s*"((?:[^"\\]|\\.)+)"'
)
_SHORT_RUN: Final = 32  # events; to look for a run costs as much as to read so many of them


class _Other:
    """A choice beside the first."""

    def __init__(self) -> None:
        self.reads: list[int] = []  # [chunks], as the next two
        self.kinds = bytearray()
        self.texts: list[str] = []
        self.finish_reason: str | None = None


class _Answer:
    """What has been understood so far."""

    def __init__(self) -> None:
        self.reads: list[int] = []  # [chunks], as the next three
        self.kinds = bytearray()
        self.texts: list[str] = []
        self.running: list[int | None] = []  # tokens so far; None: not said
        self.usage: UsageFields | None = None
        self.total: int | None = None  # tokens of the answer; None: not said since the last text
        self.timings: Timings | None = None
        self.finish_reason: str | None = None
        self.is_done = False
        self.others: dict[int, _Other] = {}  # by the choice's index
        self.error_class: str | None = None
        self.error: str | None = None

    def fail(self, error_class: str, error: str) -> None:
        """The first failure is the one that counts."""
        if self.error_class is None:
            self.error_class, self.error = error_class, error[:MAX_ERROR_CHARS]

    def take(self, message: Message, read: int) -> None:
        """Add what one event says."""
        usage = message.usage
        running = None
        if usage is not None:
            self.usage = usage
            self.total = running = believed(usage.completion_tokens)
        num_chunks = len(self.texts)
        for choice in message.choices or ():
            delta = choice.delta or choice.message or _NO_DELTA
            if choice.index != 0:
                self._take_other(choice, delta, read, is_counted=usage is not None)
                continue
            # Both keys at once are one text told twice.
            if reasoning := delta.reasoning_content or delta.reasoning:
                self._add(_REASONING, reasoning, read, running)
            if content := choice.text or delta.content or delta.refusal:
                self._add(_CONTENT, content, read, running)
            if (delta.tool_calls or delta.function_call) and (called := _called(delta)):
                self._add(_TOOL_CALL, called, read, running)
            if choice.finish_reason:
                self.finish_reason = choice.finish_reason
        if usage is None and len(self.texts) > num_chunks:
            self.total = None
        if message.timings is not None:
            self.timings = message.timings

    def take_texts(self, kind: Kind, texts: list[str], reads: list[int]) -> None:
        """Add what as many events say which carry a text each and nothing else."""
        self.reads += reads
        self.kinds += bytes((kind,)) * len(texts)
        self.texts += texts
        self.running += [None] * len(texts)
        self.total = None

    def _take_other(self, choice: Choice, delta: Delta, read: int, *, is_counted: bool) -> None:
        other = self.others.setdefault(choice.index, _Other())
        called = _called(delta) if delta.tool_calls or delta.function_call else None
        said = (
            (_REASONING, delta.reasoning_content or delta.reasoning),
            (_CONTENT, choice.text or delta.content or delta.refusal),
            (_TOOL_CALL, called),
        )
        for kind, text in said:
            if text:
                other.reads.append(read)
                other.kinds.append(kind)
                other.texts.append(text)
                self.total = self.total if is_counted else None
        other.finish_reason = choice.finish_reason or other.finish_reason

    def _add(self, kind: Kind, text: str, read: int, running: int | None) -> None:
        self.reads.append(read)
        self.kinds.append(kind)
        self.texts.append(text)
        self.running.append(running)


def decode_stream(exchange: Exchange, count_tokens: TokenCounter) -> Response:
    """What the reads of `exchange` mean."""
    answer = _answer(exchange)
    choices = _asked_for(answer, exchange.num_items)
    shown = next((choice for choice in choices if choice.texts), answer)
    tokens, tokens_from = _tokens(answer, shown.texts, choices, count_tokens)
    return Response(
        columns=Chunks(shown.reads, bytes(shown.kinds), shown.texts, tokens),
        usage=usage_of(answer.usage),
        tokens_from=tokens_from,
        finish_reason=answer.finish_reason,
        error_class=answer.error_class,
        error=answer.error,
        server_s=stages_of(answer.timings),
        tool_calls=tool_calls(exchange) if _TOOL_CALL in answer.kinds else (),
        items=tuple(map(_visible, choices)),
    )


def _asked_for(answer: _Answer, num_items: int) -> list[_Answer | _Other]:
    """The choices in their order, where several were asked for; none where one was. Those that
    did not come are empty, and a failure; so are those that nobody asked for, and they are left
    out."""
    others = answer.others
    if any(index not in range(num_items) for index in others):
        wanted = "only the first is" if num_items == 1 else f"only {num_items} are"
        answer.fail("extra_choices", f"several choices came; {wanted} counted")
    if num_items == 1:
        return []
    came = bool(answer.texts or answer.finish_reason) + sum(i in range(num_items) for i in others)
    if came < num_items:
        answer.fail("missing_choices", f"{num_items} choices were asked for, {came} came")
    return [answer, *(others.get(index) or _Other() for index in range(1, num_items))]


def _tokens(
    answer: _Answer,
    texts: list[str],
    choices: list[_Answer | _Other],
    count_tokens: TokenCounter,
) -> Attribution:
    """Tokens of each of `texts`, which have to stand for those of all `choices`."""
    if not answer.others:
        return attribute(texts, answer.running, answer.total, count_tokens)
    unsaid = [None] * len(texts)  # running counts are of one choice with some servers
    own = attribute(texts, unsaid, None, count_tokens)  # the server's count covers all that came
    if not choices or not texts:
        return own
    if answer.total:
        return Attribution(in_proportion(own.tokens, answer.total), "usage")
    each = [attribute(c.texts, [None] * len(c.texts), None, count_tokens).tokens for c in choices]
    return own._replace(tokens=in_proportion(own.tokens, sum(map(sum, each))))


def _visible(choice: _Answer | _Other) -> str:
    told = zip(choice.kinds, choice.texts, strict=True)
    return "".join(text for kind, text in told if kind == _CONTENT)


def has_token(exchange: Exchange) -> bool:
    """Whether any generated text has arrived so far."""
    answer = _answer(exchange)
    return bool(answer.texts) or any(other.texts for other in answer.others.values())


def _answer(exchange: Exchange) -> _Answer:
    answer = _begun(exchange)
    try:
        if exchange.http_status in (None, 200):
            is_framed = exchange.framing == "http"
            _read_plain(answer, PlainStream(exchange.reads, is_framed=is_framed))
            return answer
    except NotPlainError:
        answer = _begun(exchange)
    if exchange.framing == "none":
        framed = http_framing.unframed(exchange.reads)
        _read_body(answer, framed, exchange.http_status or 200)
        return answer
    framed = http_framing.unframe(exchange.reads)
    if framed.error_class is not None:
        answer.fail(framed.error_class, framed.error or "")
    if framed.head is not None:
        _read_body(answer, framed, framed.head.status)
    if not framed.is_complete:
        answer.fail("truncated", "the response ended before its stated end")
    return answer


def _begun(exchange: Exchange) -> _Answer:
    answer = _Answer()
    if exchange.error_class is not None:
        answer.fail(exchange.error_class, exchange.error or "")
    return answer


def _read_body(answer: _Answer, framed: http_framing.Framed, status: int) -> None:
    head, body = framed.head, framed.body
    if head is not None and head.content_encoding:
        answer.fail("encoding", f"the answer is encoded ({head.content_encoding}), unasked")
        return
    if not 200 <= status < 300:
        answer.fail(f"http_{status}", refusal(body, head))
        return
    if head is not None and head.content_type not in _CONTENT_TYPES:
        answer.fail(
            "content_type", f"neither events nor JSON but {head.content_type}: {body[:80]!r}"
        )
    if body.lstrip().startswith(b"{"):
        _read_whole(answer, framed)
    else:
        _read_events(answer, sse.parse(body, framed.read_end))


def _read_whole(answer: _Answer, framed: http_framing.Framed) -> None:
    """An answer that is one JSON document: it was there when its last byte was."""
    body, num_replaced = sse.repaired(framed.body)
    message = read_message(body)
    if message is not None:
        answer.take(message, int(np.searchsorted(framed.read_end, len(framed.body))))
        _check_error(answer, message, body)
    elif framed.is_complete:
        answer.fail("malformed_event", f"not a JSON document: {_excerpt(body)}")
    if num_replaced:
        answer.fail("invalid_utf8", f"{num_replaced} sequences are not UTF-8")


def _read_plain(answer: _Answer, stream: PlainStream) -> None:
    """Event by event, but for runs of events that differ only in their texts.

    Raises NotPlainError; the answer is then to be read anew.
    """
    num_events, next_shape, wait = 0, 0, _SHORT_RUN
    while (event := stream.event()) is not None:
        if answer.is_done:
            continue
        num_chunks = len(answer.texts)
        _read_event(answer, *event)
        num_events += 1
        if len(answer.texts) == num_chunks or num_events < next_shape:
            continue
        texts: list[str] = []
        if (shape := _shape(event[0])) is not None:
            texts, reads = stream.texts(shape.before, shape.after)
            answer.take_texts(shape.kind, texts, reads)
            num_events += len(texts)
        if len(texts) < _SHORT_RUN:  # looking costs; where no event is like the next, ever less
            next_shape, wait = num_events + wait, 2 * wait
    _check_end(answer)


def _read_events(answer: _Answer, stream: sse.Stream) -> None:
    for i, (data, read) in enumerate(zip(stream.data, stream.read, strict=True)):
        if answer.is_done:
            break
        is_cut = stream.is_cut and i == len(stream.data) - 1
        _read_event(answer, data, read, name=stream.names.get(i, b""), is_cut=is_cut)
    if stream.is_too_large:
        answer.fail("too_large", f"a line over {http_framing.MAX_LINE_BYTES} bytes")
    _check_end(answer, stream.num_unknown, stream.num_replaced)


def _read_event(
    answer: _Answer, data: bytes, read: int, *, name: bytes = b"", is_cut: bool = False
) -> None:
    try:
        message = decode(data)
    except (msgspec.DecodeError, RecursionError):
        if data.strip() == b"[DONE]":
            answer.is_done = True
            return
        odd = read_message(data)
        if odd is None:
            if name == b"error":
                answer.fail("server_error", _excerpt(data))
            elif not is_cut:
                answer.fail("malformed_event", f"not a JSON object: {_excerpt(data)}")
            return
        message = odd
    answer.take(message, read)
    if not message.choices or message.error is not None:
        _check_error(answer, message, data)


class _Shape(NamedTuple):
    """What stands around the text of an event that carries a text and nothing else."""

    before: bytes  # up to the quote that opens the text
    after: bytes  # from the quote that closes it
    kind: Kind


def _shape(data: bytes) -> _Shape | None:
    """The shape of an event; None if it says more than a text.

    Shown by an event with a longer text: if that is all that changes, the place is the text's.
    """
    found = _TEXT.search(data)
    if found is None:
        return None
    before, text, after = data[: found.start(1)], found[1], data[found.end(1) :]
    seen = [_told(before + raw + after) for raw in (text, text + b"x")]
    if seen[0] is None or seen[1] is None or seen[1] != (seen[0][0], seen[0][1] + "x"):
        return None
    return _Shape(before, after, seen[0][0])


def _told(data: bytes) -> tuple[Kind, str] | None:
    """The text of an event and its kind, if it says nothing else."""
    try:
        message = decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None
    answer = _Answer()
    answer.take(message, 0)
    says_more = answer.usage or answer.timings or answer.finish_reason or answer.others
    if says_more or message.error is not None or len(answer.texts) != 1:
        return None
    return Kind(answer.kinds[0]), answer.texts[0]


def _check_end(answer: _Answer, num_unknown: int = 0, num_replaced: int = 0) -> None:
    """`num_unknown` lines were no server-sent event, `num_replaced` sequences no UTF-8."""
    finish_reasons = (answer.finish_reason, *(o.finish_reason for o in answer.others.values()))
    if not answer.is_done and None in finish_reasons:
        if num_unknown:
            answer.fail("malformed_sse", f"{num_unknown} lines are no server-sent event")
        answer.fail("truncated", "the stream ended without [DONE] and without a finish reason")
    if num_replaced:
        answer.fail("invalid_utf8", f"{num_replaced} sequences are not UTF-8")


def _check_error(answer: _Answer, message: Message, data: bytes) -> None:
    said = any(raw is not None and bytes(raw) != b"null" for raw in (message.error, message.detail))
    if said or message.object == "error":
        answer.fail("server_error", error_text(data))


def _called(delta: Delta) -> str:
    """What a model writes to call tools: names and arguments. The ids are the server's."""
    functions = [call.function for call in delta.tool_calls or ()]
    parts = [(f.name or "") + (f.arguments or "") for f in (*functions, delta.function_call) if f]
    return "".join(parts)


def _excerpt(data: bytes) -> str:
    return repr(data[:80])[1:]
