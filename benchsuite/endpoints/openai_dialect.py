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

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from msgspec import Raw, Struct

from benchsuite.endpoints import http_framing, sse
from benchsuite.endpoints.attribution import Attribution, attribute, in_proportion
from benchsuite.endpoints.openai_body import chat_body, completions_body
from benchsuite.endpoints.plain_stream import NotPlainError, PlainStream
from benchsuite.endpoints.tool_calls import tool_calls
from benchsuite.exchange import Chunks, Exchange, Kind, Response, TokenCounter, Usage

__all__ = ["chat_body", "completions_body", "decode_stream", "error_text", "has_token"]

MAX_ERROR_CHARS: Final = 200
MAX_ERROR_BYTES: Final = 64 * 1024
MAX_COUNT: Final = 10**7
"""Token counts beyond this are not believed."""

_CONTENT_TYPES: Final = frozenset(("text/event-stream", "application/json", ""))


class _Function(Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(Struct, gc=False):
    function: _Function | None = None


class _Delta(Struct, gc=False):
    """New text of a choice, or (not streamed) all of it."""

    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None


class _Choice(Struct, gc=False):
    index: int = 0
    delta: _Delta | None = None
    message: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class _PromptDetails(Struct, gc=False):
    cached_tokens: int | None = None
    image_tokens: int | None = None
    audio_tokens: int | None = None


class _OutputDetails(Struct, gc=False):
    reasoning_tokens: int | None = None


class _Usage(Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _OutputDetails | None = None


class _Timings(Struct, gc=False):
    """llama.cpp's own, and beside them what our engine says."""

    prompt_ms: float | None = None
    predicted_ms: float | None = None
    queue_ms: float | None = None
    encode_ms: float | None = None
    transfer_ms: float | None = None


class _Message(Struct, gc=False):
    """An event's data, or a whole answer."""

    object: str | None = None
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    timings: _Timings | None = None
    error: Raw | None = None
    detail: Raw | None = None


_decode = msgspec.json.Decoder(_Message).decode
_NO_DELTA: Final = _Delta()
_CONTENT, _REASONING, _TOOL_CALL = Kind
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
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
        self.usage: _Usage | None = None
        self.total: int | None = None  # tokens of the answer; None: not said since the last text
        self.timings: _Timings | None = None
        self.finish_reason: str | None = None
        self.is_done = False
        self.others: dict[int, _Other] = {}  # by the choice's index
        self.error_class: str | None = None
        self.error: str | None = None

    def fail(self, error_class: str, error: str) -> None:
        """The first failure is the one that counts."""
        if self.error_class is None:
            self.error_class, self.error = error_class, error[:MAX_ERROR_CHARS]

    def take(self, message: _Message, read: int) -> None:
        """Add what one event says."""
        usage = message.usage
        running = None
        if usage is not None:
            self.usage = usage
            self.total = running = _believed(usage.completion_tokens)
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

    def _take_other(self, choice: _Choice, delta: _Delta, read: int, *, is_counted: bool) -> None:
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
        usage=_usage(answer.usage),
        tokens_from=tokens_from,
        finish_reason=answer.finish_reason,
        error_class=answer.error_class,
        error=answer.error,
        server_s=_stages(answer.timings),
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
        answer.fail(f"http_{status}", _refusal(body, head))
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
    message = _message(body)
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
        message = _decode(data)
    except (msgspec.DecodeError, RecursionError):
        if data.strip() == b"[DONE]":
            answer.is_done = True
            return
        odd = _message(data)
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
        message = _decode(data)
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


def _check_error(answer: _Answer, message: _Message, data: bytes) -> None:
    said = any(raw is not None and bytes(raw) != b"null" for raw in (message.error, message.detail))
    if said or message.object == "error":
        answer.fail("server_error", error_text(data))


def _usage(usage: _Usage | None) -> Usage | None:
    if usage is None:
        return None
    prompt, output = usage.prompt_tokens_details, usage.completion_tokens_details
    reasoning = usage.reasoning_tokens if output is None else output.reasoning_tokens
    return Usage(
        prompt_tokens=_believed(usage.prompt_tokens),
        output_tokens=_believed(usage.completion_tokens),
        cached_tokens=None if prompt is None else _believed(prompt.cached_tokens),
        reasoning_tokens=_believed(reasoning),
        image_tokens=None if prompt is None else _believed(prompt.image_tokens),
        audio_tokens=None if prompt is None else _believed(prompt.audio_tokens),
    )


def _believed(count: int | None) -> int | None:
    return count if count is not None and 0 <= count <= MAX_COUNT else None


def _stages(timings: _Timings | None) -> Mapping[str, float]:
    """Seconds by stage, as far as the server says."""
    if timings is None:
        return {}
    stages = {
        "queue": timings.queue_ms,
        "encode": timings.encode_ms,
        "prefill": timings.prompt_ms,
        "transfer": timings.transfer_ms,
        "decode": timings.predicted_ms,
    }
    return {stage: ms * 1e-3 for stage, ms in stages.items() if ms is not None}


def _called(delta: _Delta) -> str:
    """What a model writes to call tools: names and arguments. The ids are the server's."""
    functions = [call.function for call in delta.tool_calls or ()]
    parts = [(f.name or "") + (f.arguments or "") for f in (*functions, delta.function_call) if f]
    return "".join(parts)


def error_text(body: bytes) -> str:
    """What an error body says, in one line of at most 200 characters.

    Bodies seen: `{"error": {message, type, code}}` with a number or text as code,
    `{"error": text}`, `{"object": "error", "message"}`, `{"detail": text or list}`, plain text.
    """
    text = body[:MAX_ERROR_BYTES].decode(errors="replace").strip().removeprefix("data:")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    if isinstance(value, dict):
        value = next((value[key] for key in ("error", "detail") if value.get(key)), value)
    if isinstance(value, dict) and isinstance(value.get("message"), str):
        value = value["message"]
    try:
        said = value if isinstance(value, str) else json.dumps(value)
    except RecursionError:
        said = text
    return _storable(" ".join(said[: 10 * MAX_ERROR_CHARS].split()))[:MAX_ERROR_CHARS]


def _refusal(body: bytes, head: http_framing.Head | None) -> str:
    """Why there is no answer, with what the headers add."""
    said = error_text(body)
    if head is None:
        return said
    if location := head.header("location"):
        said = f"redirect to {location}, not followed; {said}"
    if wait := head.header("retry-after"):
        said = f"retry after {wait}; {said}"
    return said or head.reason


def _excerpt(data: bytes) -> str:
    return repr(data[:80])[1:]


def _storable(text: str) -> str:
    """Without lone surrogates, which JSON can name and UTF-8 cannot hold."""
    return _SURROGATE.sub("\ufffd", text)


def _message(data: bytes) -> _Message | None:
    """`data`, which is UTF-8, read with patience; None if it is no JSON object."""
    try:
        return _decode(data)
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        value = json.loads(data.decode())
    except (ValueError, RecursionError):
        return None
    return _loose_message(value) if isinstance(value, dict) else None


# From here: the same types from JSON whose fields are not all of the kind they should be. Fields
# of another kind count as missing. `Any` ends at these functions.


def _loose_message(value: dict[str, Any]) -> _Message:
    timings = _object(value.get("timings"))
    return _Message(
        object=_text(value.get("object")),
        choices=[_loose_choice(choice) for choice in _objects(value.get("choices"))],
        usage=_loose_usage(_object(value.get("usage"))),
        timings=_Timings(*(_number(timings.get(name)) for name in _Timings.__struct_fields__)),
        error=None if value.get("error") is None else Raw(b"true"),
        detail=None if value.get("detail") is None else Raw(b"true"),
    )


def _loose_choice(value: dict[str, Any]) -> _Choice:
    return _Choice(
        index=_count(value.get("index")) or 0,
        delta=_loose_delta(_object(value.get("delta"))),
        message=_loose_delta(_object(value.get("message"))),
        text=_text(value.get("text")),
        finish_reason=_text(value.get("finish_reason")),
    )


def _loose_delta(value: dict[str, Any]) -> _Delta | None:
    if not value:
        return None
    return _Delta(
        content=_text(value.get("content")),
        reasoning=_text(value.get("reasoning")),
        reasoning_content=_text(value.get("reasoning_content")),
        refusal=_text(value.get("refusal")),
        tool_calls=[
            _ToolCall(_loose_function(call.get("function")))
            for call in _objects(value.get("tool_calls"))
        ],
        function_call=_loose_function(value.get("function_call")),
    )


def _loose_function(value: Any) -> _Function:
    function = _object(value)
    return _Function(_text(function.get("name")), _text(function.get("arguments")))


def _loose_usage(value: dict[str, Any]) -> _Usage | None:
    if not value:
        return None
    prompt = _object(value.get("prompt_tokens_details"))
    output = _object(value.get("completion_tokens_details"))
    return _Usage(
        prompt_tokens=_count(value.get("prompt_tokens")),
        completion_tokens=_count(value.get("completion_tokens")),
        reasoning_tokens=_count(value.get("reasoning_tokens")),
        prompt_tokens_details=_PromptDetails(
            _count(prompt.get("cached_tokens")),
            _count(prompt.get("image_tokens")),
            _count(prompt.get("audio_tokens")),
        ),
        completion_tokens_details=_OutputDetails(_count(output.get("reasoning_tokens"))),
    )


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    """A text, or the texts of a list of parts."""
    if isinstance(value, str):
        return _storable(value)
    parts = [_text(part.get("text")) for part in _objects(value)]
    return "".join(part for part in parts if part) or None


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) <= MAX_COUNT else None


def _count(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number.is_integer() else None
