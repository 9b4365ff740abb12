"""Servers differ; what they mean does not."""

import json
import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchsuite.endpoints.openai_dialect import decode_stream, error_text, has_token
from benchsuite.endpoints.openai_message import Timings, stages_of
from benchsuite.exchange import Exchange, Kind, Response, Usage
from tests.dialects import ABC, DIALECTS, chunk, count_tokens, counts, text, tool, usage_event
from tests.scripted_server import (
    DONE,
    FAULTS,
    FINISH,
    LAST_CHUNK,
    OK_STREAM,
    STREAM_HEAD,
    Script,
    Step,
    answer,
    event,
    http_chunk,
    stream,
    words,
)


def exchange(reads: list[bytes], framing: Any = "http", **more: Any) -> Exchange:
    read_s = [float(i) for i in range(len(reads))]
    return Exchange(
        request_id=0, stamp_source="virtual", framing=framing, reads=reads, read_s=read_s, **more
    )


def decode(script: Script, **more: Any) -> Response:
    """What a script means when each of its steps is one read."""
    return decode_stream(exchange([step.data for step in script.steps], **more), count_tokens)


def body_of(*bodies: bytes) -> Response:
    """What events mean, without HTTP around them, a read each."""
    return decode_stream(exchange(list(bodies), "none", http_status=200), count_tokens)


@pytest.mark.parametrize("name", DIALECTS)
def test_dialect(name: str) -> None:
    """Each healthy server's stream decodes to its chunks, tokens, usage, and no error."""
    dialect = DIALECTS[name]
    response = decode(dialect.script)
    assert tuple((c.kind, c.text, c.tokens) for c in response.chunks) == dialect.chunks
    assert response.tokens_from == dialect.tokens_from
    assert response.finish_reason == dialect.finish_reason
    assert response.usage == dialect.usage
    assert (response.error_class, response.error) == (None, None)
    if dialect.usage is not None:
        assert response.output_tokens == dialect.usage.output_tokens


@given(st.sampled_from(sorted(DIALECTS)), st.lists(st.integers(0, 5_000), max_size=12))
def test_cuts_change_nothing_but_the_read(name: str, at: list[int]) -> None:
    """However a dialect's bytes are cut into reads, they mean the same."""
    data = DIALECTS[name].script.data
    places = sorted({0, len(data), *(place % (len(data) + 1) for place in at)})
    reads = [data[start:stop] for start, stop in pairwise(places)]
    cut = decode_stream(exchange(reads), count_tokens)
    uncut = decode_stream(exchange([data]), count_tokens)
    numbers = [c.read for c in cut.chunks]
    assert numbers == sorted(numbers)
    assert all(0 <= number < len(reads) for number in numbers)
    assert cut._replace(columns=cut.columns._replace(read=[0] * len(numbers))) == uncut


def test_a_chunk_has_the_read_that_brought_it() -> None:
    """The role chunk, in the first read, is no token; chunks of one read share it."""
    response = decode(DIALECTS["vllm"].script)
    assert [c.read for c in response.chunks] == [2, 3, 4]
    data = DIALECTS["vllm"].script.data
    assert [c.read for c in decode_stream(exchange([data]), len).chunks] == [0, 0, 0]


def test_llama_cpp_tells_its_stage_times() -> None:
    """llama.cpp's `timings`, in seconds."""
    assert decode(DIALECTS["llama_cpp"].script).server_s == {"prefill": 0.0125, "decode": 0.03}


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_stage_takes_a_time_that_can_be(told_ms: float) -> None:
    """What a server tells is taken for a duration only if it is one."""
    stages = stages_of(Timings(prompt_ms=told_ms))
    assert stages == ({"prefill": told_ms * 1e-3} if 0 <= told_ms < math.inf else {})


@pytest.mark.parametrize(("num_chunks", "tokens"), [(15, 16), (62, 64), (63, 64), (1002, 1024)])
def test_real_engines_send_fewer_chunks_than_tokens(num_chunks: int, tokens: int) -> None:
    """Held-back bytes and the end of sequence: the sum of chunk tokens is the server's usage."""
    script = stream(*words(*["w "] * num_chunks), FINISH, usage_event(9, tokens), DONE)
    response = decode(script)
    assert len(response.chunks) == num_chunks
    assert response.output_tokens == tokens


def test_a_limit_that_a_server_ignores_shows_in_its_usage() -> None:
    """transformers runs to 1024 whatever was asked: what came is what is counted."""
    response = decode(stream(*words(*["w "] * 1024), FINISH, usage_event(9, 1024)))
    assert response.output_tokens == 1024


def test_sixteen_chunks_of_ten_tokens() -> None:
    """LiteLLM's mock cuts words: the first and the last chunk keep a token each."""
    script = stream(*words(*["w"] * 16), FINISH, event({"choices": [], **counts(9, 10)}), DONE)
    tokens = [c.tokens for c in decode(script).chunks]
    assert (sum(tokens), tokens[0], tokens[-1], max(tokens)) == (10, 1, 1, 1)


def test_several_choices_count_once_and_are_marked() -> None:
    """n=2 was not asked: the first choice counts, by our tokenizer since usage covers both."""
    pieces = [chunk({"content": piece}, index=index) for piece in ABC for index in (0, 1)]
    ends = [chunk({}, "length", index=index) for index in (0, 1)]
    response = decode(stream(*pieces, *ends, usage_event(9, 6), DONE))
    assert (response.text, response.output_tokens) == (" a b c", 3)
    assert (response.tokens_from, response.error_class) == ("tokenizer", "extra_choices")


def test_choices_that_were_asked_for_are_counted_together() -> None:
    """Chunks and their times are the first choice's, their tokens all choices'; each has its text.

    Without the server's count ours is taken, of each text alone."""
    pieces = [chunk({"content": f"{piece}{i}"}, index=i) for piece in ABC for i in (0, 1)]
    ends = [chunk({}, reason, index=i) for i, reason in enumerate(("stop", "length"))]
    counted = decode(stream(*pieces, *ends, usage_event(9, 8), DONE), num_items=2)
    assert [(c.read, c.text) for c in counted.chunks] == [(1, " a0"), (3, " b0"), (5, " c0")]
    assert ([c.tokens for c in counted.chunks], counted.tokens_from) == ([3, 3, 2], "usage")
    assert (counted.error_class, counted.finish_reason) == (None, "stop")
    assert counted.items == (" a0 b0 c0", " a1 b1 c1")
    uncounted = decode(stream(*pieces, *ends, DONE), num_items=2)
    assert (uncounted.output_tokens, uncounted.tokens_from) == (6, "tokenizer")


def test_an_empty_first_choice_leaves_the_times_to_the_next() -> None:
    """Else the tokens would have no chunk to lie in."""
    events = (chunk({}, "stop"), chunk({"content": " b"}, "stop", index=1), usage_event(9, 3))
    response = decode(stream(*events, DONE), num_items=2)
    assert (response.items, response.text, response.error_class) == (("", " b"), " b", None)
    assert [chunk.tokens for chunk in response.chunks] == [3]
    assert has_token(exchange([stream(*events).data], num_items=2))


def test_an_answer_in_one_piece_has_its_choices_too() -> None:
    """Not streamed: one document that holds them all."""
    choices = [{"index": i, "text": word, "finish_reason": "stop"} for i, word in enumerate("ab")]
    whole = json.dumps({"choices": choices, **counts(9, 2)}).encode()
    response = decode_stream(exchange([whole], "none", http_status=200, num_items=2), count_tokens)
    assert (response.items, response.output_tokens, response.error_class) == (("a", "b"), 2, None)


@pytest.mark.parametrize(
    ("came", "asked", "error_class"),
    [(1, 2, "missing_choices"), (2, 3, "missing_choices"), (3, 2, "extra_choices")],
)
def test_choices_that_do_not_come_or_were_not_asked_for_are_errors(
    came: int, asked: int, error_class: str
) -> None:
    """A server that ignores `n` did less than what it is timed for."""
    pieces = [chunk({"content": " a"}, "stop", index=index) for index in range(came)]
    response = decode(stream(*pieces, usage_event(9, came), DONE), num_items=asked)
    assert (response.error_class, len(response.items)) == (error_class, asked)


def test_a_choice_that_was_cut_off_is_an_error() -> None:
    """Without [DONE] each choice has to say how it ended."""
    ended = chunk({"content": " a"}, "stop")
    response = decode(stream(ended, chunk({"content": " b"}, index=1)), num_items=2)
    assert response.error_class == "truncated"


def test_reasoning_and_content_of_one_event_are_two_chunks() -> None:
    """Their order is that of thinking."""
    response = body_of(chunk({"content": "yes", "reasoning": "hm"}), DONE)
    assert [(c.kind, c.text) for c in response.chunks] == [
        (Kind.REASONING, "hm"),
        (Kind.CONTENT, "yes"),
    ]
    assert (response.text, response.reasoning) == ("yes", "hm")


def test_parallel_tool_calls_of_one_event() -> None:
    """A tool call's text is what the model wrote: names and arguments, not the server's ids."""
    calls = [{"index": i, "id": f"call_{i}", "function": {"name": f"f{i}"}} for i in (0, 1)]
    response = body_of(chunk({"tool_calls": calls}), chunk(tool('{"x"')), FINISH)
    assert [c.text for c in response.chunks] == ["f0f1", '{"x"']


def test_a_count_from_before_the_text_is_not_its_total() -> None:
    """Usage that came with the first event only (a proxy's) says nothing of what followed."""
    early = chunk({"role": "assistant", "content": ""}, **counts(9, 1))
    response = body_of(early, *words("a ", "b ", "c "), FINISH, DONE)
    assert (response.output_tokens, response.tokens_from) == (3, "tokenizer")
    assert response.usage == Usage(9, 1, None, None)


def test_a_cut_stream_with_running_usage_counts_what_came() -> None:
    """The last count that came with text is the total of what was received."""
    pieces = [chunk({"content": "w "}, **counts(9, 2 * i)) for i in (1, 2, 3)]
    response = body_of(*pieces)
    assert (response.output_tokens, response.tokens_from) == (6, "running_usage")
    assert response.error_class == "truncated"


def test_events_of_another_api_are_no_answer() -> None:
    """/v1/responses streams named events without choices: no tokens, and no success."""
    script = stream(
        b'event: response.created\ndata: {"type":"response.created","response":{"error":null}}\n\n',
        b'event: response.output_text.delta\ndata: {"type":"x","delta":"hello"}\n\n',
    )
    response = decode(script)
    assert (response.chunks, response.error_class) == ((), "truncated")


# Errors


TRANSPORTS_OWN = (
    "reset",
    "closed",
    "timeout_first_token",
    "timeout_between_tokens",
    "timeout_total",
)


@pytest.mark.parametrize(
    "name", [n for n, f in FAULTS.items() if f.error_class not in TRANSPORTS_OWN]
)
def test_fault(name: str) -> None:
    """Each fault that shows in the bytes has its class, and what was understood is kept."""
    fault = FAULTS[name]
    response = decode_stream(exchange([fault.script.data]), count_tokens)
    assert (response.error_class, response.text) == (fault.error_class, fault.text)
    assert response.error
    assert response.output_tokens == count_tokens(fault.text)


@pytest.mark.parametrize("name", [n for n, f in FAULTS.items() if f.error_class in TRANSPORTS_OWN])
def test_the_transports_verdict_wins(name: str) -> None:
    """A reset or a timeout stays what it is, and the tokens that came before it stay too."""
    fault = FAULTS[name]
    reads = [step.data for step in fault.script.steps]
    response = decode_stream(
        exchange(reads, error_class=fault.error_class, error="as the socket said"), count_tokens
    )
    assert (response.error_class, response.error) == (fault.error_class, "as the socket said")
    assert response.text.startswith(fault.text)


def test_retry_after_and_location_are_told() -> None:
    """What the headers of a refusal add stands in its error."""
    assert decode(FAULTS["too_many_requests"].script).error == "retry after 7; slow down"
    assert "http://192.0.2.1/, not followed" in str(decode(FAULTS["redirect"].script).error)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            b'{"error":{"message":"The model `nope` does not exist.","type":"NotFoundError",'
            b'"param":"model","code":404}}',
            "The model `nope` does not exist.",
        ),
        (
            b'{"error":{"code":400,"message":"request (9005 tokens) exceeds the available context '
            b'size (4096 tokens)","type":"exceed_context_size_error","n_prompt_tokens":9005}}',
            "request (9005 tokens) exceeds the available context size (4096 tokens)",
        ),
        (
            b'{"error":{"message":"Invalid model name","type":"None","param":"None","code":"400"}}',
            "Invalid model name",
        ),
        (
            b'{"detail":"Unexpected fields in the request: {\'ignore_eos\'}"}',
            "Unexpected fields in the request: {'ignore_eos'}",
        ),
        (b'{"detail":[{"loc":["body"],"msg":"missing"}]}', '[{"loc": ["body"], "msg": "missing"}]'),
        (b"Internal Server Error\n", "Internal Server Error"),
        (b'{"error":"model is loading"}', "model is loading"),
        (b'{"object":"error","message":"too long","code":40303}', "too long"),
        (b'data: {"error":{"message":"in an event"}}\n\n', "in an event"),
        (b'{"error":{"type":"x"}}', '{"type": "x"}'),
        (b'{"error":{"message":"lone \\ud800"}}', "lone \ufffd"),
        (b"", ""),
        (b"null", "null"),
        (b"[" * 100_000, "[" * 200),
        (b"line\r\n  line\x00\xff", "line line\x00\ufffd"),
    ],
)
def test_error_bodies(body: bytes, said: str) -> None:
    """Four shapes and their variants, from the servers of the dialect table, in one short line."""
    assert error_text(body) == said


@pytest.mark.parametrize(
    "status", ["400 Bad Request", "404 Not Found", "422 Unprocessable Entity", "500 Oops"]
)
def test_http_errors_have_their_status_as_class(status: str) -> None:
    """Whatever the body, an answer that is not 2xx carries no tokens."""
    body = b'{"detail":"no"}'
    response = decode(Script((Step(answer(status, body, "content-type: application/json")),)))
    assert (response.error_class, response.error) == (f"http_{status[:3]}", "no")
    assert response.chunks == ()


def test_a_refusal_without_body_tells_its_reason() -> None:
    """An empty 503 still has the words of its status line."""
    assert (
        decode(Script((Step(answer("503 Service Unavailable", b"")),))).error
        == "Service Unavailable"
    )


@pytest.mark.parametrize(
    "data",
    [
        event({"error": {"message": "boom", "type": "x", "code": 500}}),
        event({"error": {"message": "boom", "code": "500"}}),
        event({"error": "boom"}),
        event({"detail": "boom"}),
        event({"object": "error", "message": "boom", "code": 50001}),
        event({"choices": [], "error": {"message": "boom"}}),
        event(
            {"choices": [{"index": 0, "delta": {"content": None}}], "error": {"message": "boom"}}
        ),
        event({"choices": 5, "detail": "boom"}),
        b"event: error\ndata: boom\n\n",
    ],
)
def test_an_error_inside_a_good_stream(data: bytes) -> None:
    """The tokens before it are kept; the request is no success even if the stream ends well."""
    response = decode(stream(*words("one "), data, FINISH, DONE))
    assert response.error_class == "server_error"
    assert "boom" in str(response.error)
    assert response.text == "one "


def test_an_error_field_that_is_null_is_none() -> None:
    """Some servers write every field."""
    response = body_of(
        chunk({"content": "x"}, "stop", error=None, detail=None), event({"error": None})
    )
    assert (response.error_class, response.text) == (None, "x")


def test_the_first_failure_is_told() -> None:
    """Later ones are mostly its consequences."""
    response = body_of(b"data: {oops\n\n", event({"error": "boom"}))
    assert response.error_class == "malformed_event"


def test_end_of_stream_after_a_finish_reason_is_fine() -> None:
    """transformers never sends [DONE]; a stream without either was cut."""
    assert body_of(*words("a"), FINISH).error_class is None
    assert body_of(*words("a"), DONE).error_class is None
    assert body_of(*words("a")).error_class == "truncated"
    assert body_of().error_class == "truncated"


def test_the_frame_must_end_even_after_done() -> None:
    """[DONE] in a chunked body whose last chunk never came: the connection broke."""
    script = Script((Step(STREAM_HEAD), *map(Step, map(http_chunk, (*words("a"), FINISH, DONE)))))
    assert decode(script).error_class == "truncated"
    assert decode(script._replace(steps=(*script.steps, Step(LAST_CHUNK)))).error_class is None


def test_an_event_cut_in_the_middle_is_truncation_not_malformed() -> None:
    """The last, unfinished line of a broken stream says nothing about the server's JSON."""
    response = body_of(*words("a "), words("b")[0][:20])
    assert (response.error_class, response.text) == ("truncated", "a ")


def test_whole_answers_that_are_not_json() -> None:
    """A JSON answer that does not parse is malformed; one that says error is an error."""
    for body, error_class in (
        (b'{"choices": [', "malformed_event"),
        (b'{"error": "x"}', "server_error"),
    ):
        script = Script((Step(answer("200 OK", body, "content-type: application/json")),))
        assert decode(script).error_class == error_class


def test_a_whole_answer_that_is_not_utf8() -> None:
    """Its text is repaired and kept, as in a stream."""
    response = body_of(b'{"choices":[{"message":{"content":"a\xe2\x82"},"finish_reason":"stop"}]}')
    assert (response.text, response.error_class) == ("a\ufffd", "invalid_utf8")


def test_a_whole_answer_arrives_with_its_last_byte() -> None:
    """Not streamed: all of it belongs to the read that completed it."""
    data = DIALECTS["litellm_whole_answer"].script.data
    response = decode_stream(exchange([data[:40], data[40:-5], data[-5:-1], data[-1:], b""]), len)
    assert [c.read for c in response.chunks] == [3]


def test_whole_answer_with_every_kind() -> None:
    """Reasoning, text and tool calls of one message are a chunk each."""
    message = {"reasoning_content": "hm", "content": "yes", **tool("{}", "f")}
    body = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    response = body_of(body.encode())
    assert [(c.kind, c.text) for c in response.chunks] == [
        (Kind.REASONING, "hm"),
        (Kind.CONTENT, "yes"),
        (Kind.TOOL_CALL, "f{}"),
    ]


# JSON that is not what it should be


def _with(fields: str) -> bytes:
    return b'data: {"choices":[{"index":0,"delta":{"content":"x"}}],' + fields.encode() + b"}\n\n"


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(_with('"a":1e400'), id="number beyond a double"),
        pytest.param(_with('"a":NaN'), id="NaN"),
        pytest.param(
            _with('"a":1,"a":2,"choices":[{"delta":{"content":"x"}}]'), id="same key twice"
        ),
        pytest.param(_with('"usage":{"completion_tokens":1e400}'), id="infinite count"),
        pytest.param(_with('"usage":{"completion_tokens":-1}'), id="negative count"),
        pytest.param(_with('"usage":{"completion_tokens":' + "9" * 400 + "}"), id="huge count"),
        pytest.param(_with('"usage":{"completion_tokens":true}'), id="count that is a bool"),
        pytest.param(_with('"usage":"many"'), id="usage that is a text"),
        pytest.param(_with('"usage":[]'), id="usage that is a list"),
        pytest.param(_with('"timings":{"prompt_ms":"fast"}'), id="timings that are texts"),
        pytest.param(_with('"object":7'), id="object that is a number"),
        pytest.param(
            event(
                {
                    "choices": [
                        7,
                        {"index": "0", "delta": {"content": [{"type": "text", "text": "x"}]}},
                    ]
                }
            ),
            id="content in parts",
        ),
        pytest.param(
            event({"choices": [{"delta": {"content": "x", "tool_calls": "none"}}]}),
            id="tools as text",
        ),
        pytest.param(
            event(
                {"choices": [{"delta": {"content": "x", "tool_calls": [{"function": None}, 1]}}]}
            ),
            id="tools without function",
        ),
        pytest.param(event({"choices": [{"delta": "?", "text": "x"}]}), id="delta that is a text"),
        pytest.param(event({"choices": [{"index": None, "text": "x"}]}), id="index null"),
        pytest.param(
            event({"choices": [{"text": "x", "finish_reason": {}}]}), id="finish as object"
        ),
    ],
)
def test_odd_json_is_read_as_far_as_it_makes_sense(odd: bytes) -> None:
    """Fields of the wrong kind count as missing; the text beside them counts."""
    response = body_of(odd, FINISH, DONE)
    assert (response.text, response.error_class, response.output_tokens) == ("x", None, 1)
    assert response.tokens_from == "tokenizer"


@pytest.mark.parametrize(
    "bomb",
    [
        b"data: " + b"[" * 100_000 + b"\n\n",
        b'data: {"choices":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n\n",
        b'data: {"a":' + b"9" * 10_000 + b"\n\n",
        b"data: 7\n\n",
        b'data: "text"\n\n',
        b"data: null\n\n",
        b"data: [1]\n\n",
        b"data: [DONE\n\n",
        b"data: \n\n",
        b"data: \x00\n\n",
    ],
)
def test_json_bombs_are_malformed_events(bomb: bytes) -> None:
    """Depth, length and other values than objects end nothing but their own event."""
    response = body_of(*words("one "), bomb, *words("two "), FINISH, DONE)
    assert (response.error_class, response.text) == ("malformed_event", "one two ")
    assert len(str(response.error)) <= 200


def test_deep_json_in_an_unknown_field_is_harmless_or_malformed() -> None:
    """Depth where nobody looks: no crash, and the other events stand."""
    deep = b'data: {"x":' + b'{"x":' * 50_000 + b"1" + b"}" * 50_000 + b"}\n\n"
    response = body_of(*words("one "), deep, FINISH, DONE)
    assert response.text == "one "
    assert response.error_class in (None, "malformed_event")


def test_text_can_be_stored_as_utf8() -> None:
    """Lone surrogates, which JSON can write and UTF-8 cannot hold, are replaced."""
    response = body_of(b'data: {"choices":[{"delta":{"content":"a\\ud83d"}}]}\n\n', FINISH)
    assert response.text == "a\ufffd"
    assert response.text.encode()


def test_counts_beyond_belief_are_not_reported() -> None:
    """A count that cannot be one is as if it were missing."""
    response = body_of(
        *words("a"), FINISH, usage_event(-5, 10**8, prompt_tokens_details={"cached_tokens": 4})
    )
    assert response.usage == Usage(None, None, 4, None)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "delta",
                    "content",
                    "usage",
                    "completion_tokens",
                    "index",
                    "error",
                    "detail",
                    "message",
                    "tool_calls",
                    "function",
                    "arguments",
                    "text",
                    "finish_reason",
                    "timings",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.lists(json_values, max_size=4))
def test_no_json_raises(values: list[Any]) -> None:
    """Any JSON in the place of events decodes to a response whose tokens are counted."""
    response = body_of(*[event(value) for value in values])
    assert response.output_tokens >= 0
    assert all(c.text and c.text.encode() for c in response.chunks)


@given(st.lists(st.binary(max_size=80), max_size=5), st.sampled_from(["http", "none"]))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_no_bytes_raise(reads: list[bytes], framing: str) -> None:
    """Noise is an error, never an exception."""
    assert decode_stream(exchange(reads, framing), len).error_class is not None


@given(st.sampled_from(sorted(DIALECTS)), st.integers(0, 5_000), st.integers(0, 255))
def test_no_broken_byte_raises(name: str, place: int, value: int) -> None:
    """A healthy stream with one byte changed, or cut short there, is still only data."""
    data = bytearray(DIALECTS[name].script.data)
    data[place % len(data)] = value
    decode_stream(exchange([bytes(data)]), len)
    decode_stream(exchange([bytes(data[: place % len(data)])]), len)


def test_has_token_tells_when_text_has_begun() -> None:
    """Neither a head, nor a role, nor a comment is a token; a reasoning or tool chunk is."""
    reads = [
        STREAM_HEAD,
        http_chunk(b": hi\n\n"),
        http_chunk(chunk({"role": "assistant", "content": ""})),
    ]
    assert not has_token(exchange([]))
    assert not has_token(exchange(reads))
    for first in (chunk({"reasoning": "x"}), chunk(tool(name="f")), text("x")):
        assert has_token(exchange([*reads, http_chunk(first)]))


def test_a_stream_without_http_needs_no_head() -> None:
    """In-process exchanges hold the body alone; the status comes beside it."""
    events = [b"", *words("one ", "two "), FINISH, DONE]
    response = decode_stream(exchange(events, "none", http_status=200), count_tokens)
    assert [(c.read, c.text) for c in response.chunks] == [(1, "one "), (2, "two ")]
    refused = exchange([b'{"error":{"message":"no"}}'], "none", http_status=503)
    assert decode_stream(refused, count_tokens)[4:6] == ("http_503", "no")


def test_ok_stream_of_the_scripted_server_is_ok() -> None:
    """The stream that other tests take for a healthy one is one."""
    response = decode(OK_STREAM)
    assert (response.text, response.error_class, response.finish_reason) == (
        "one two three",
        None,
        "stop",
    )
