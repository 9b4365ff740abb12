"""The API without sockets: what goes in, what comes out, event by event."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as TokenizerFile
from tokenizers.models import WordLevel

from benchsuite.endpoints.openai_dialect import decode_stream
from benchsuite.exchange import Exchange
from reference_engine.config import EngineConfig
from reference_engine.engine import PromptTooLongError, QueueFullError
from reference_engine.executors import Roofline
from reference_engine.server.api import Api, open_api
from reference_engine.server.protocol.requests import (
    ChatRequest,
    CompletionRequest,
    EmbeddingRequest,
)
from reference_engine.server.reply import EventStream, Reply
from reference_engine.server.responses.request import ResponsesRequest
from reference_engine.server.tokenizer import ByteTokenizer
from reference_engine.specs import ConfigError, EngineError
from reference_engine.virtual_time import VirtualTimeLoop
from tests.reference_engine.server.scripted_engine import ScriptedEngine
from tests.reference_engine.simulation import run_virtually

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
RESPONSES = "/v1/responses"
HELLO = {"messages": [{"role": "user", "content": "hello"}]}
PROMPT_TOKENS = len("<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n")


def api(engine: ScriptedEngine) -> Api:
    return Api(engine, ByteTokenizer(), "scripted")


async def post(server: Api, path: str, **body: object) -> Reply:
    return await server.handle("POST", path, json.dumps(body).encode())


def parsed(reply: Reply) -> Any:
    assert isinstance(reply.body, bytes)
    return json.loads(reply.body)


async def events(reply: Reply) -> list[Any]:
    """The stream's events, parsed; `[DONE]` as it is."""
    assert isinstance(reply.body, EventStream)
    text = b"".join([item async for item in reply.body]).decode()
    assert text.endswith("\n\n")
    bodies = [event.removeprefix("data: ") for event in text.split("\n\n")[:-1]]
    return [body if body == "[DONE]" else json.loads(body) for body in bodies]


async def test_a_chat_stream_in_order() -> None:
    """Role first, then one event a token, then the reason, then [DONE]; no usage unasked."""
    engine = ScriptedEngine(list(b"hey"))
    reply = await post(api(engine), CHAT, **HELLO, stream=True, max_tokens=3)
    assert (reply.status, reply.content_type) == (200, "text/event-stream; charset=utf-8")
    *chunks, done = await events(reply)
    assert done == "[DONE]"
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": ""},
        {"content": "h"},
        {"content": "e"},
        {"content": "y"},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * 4 + ["length"]
    assert {(c["id"], c["object"], c["model"]) for c in chunks} == {
        ("chatcmpl-0", "chat.completion.chunk", "scripted")
    }
    assert not any("usage" in chunk for chunk in chunks)


async def test_a_completion_stream_in_order() -> None:
    """Text in `choices[0].text`, no role; the counts come in an event without choices."""
    engine = ScriptedEngine(list(b"hey"), cached_tokens=2)
    options = {"include_usage": True}
    reply = await post(
        api(engine), COMPLETIONS, prompt="abc", stream=True, max_tokens=3, stream_options=options
    )
    *chunks, last, done = await events(reply)
    assert done == "[DONE]"
    assert [chunk["choices"][0]["text"] for chunk in chunks] == ["h", "e", "y", ""]
    assert all(chunk["usage"] is None for chunk in chunks)
    assert last["choices"] == []
    assert last["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 3,
        "total_tokens": 6,
        "prompt_tokens_details": {"cached_tokens": 2},
    }


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
async def test_running_usage_counts_every_token(path: str) -> None:
    """With continuous_usage_stats each event says how many tokens there are so far, also those
    whose text was held back."""
    engine = ScriptedEngine(list("aé".encode()))
    options = {"include_usage": True, "continuous_usage_stats": True}
    body = HELLO if path == CHAT else {"prompt": "abc"}
    reply = await post(api(engine), path, **body, stream=True, max_tokens=3, stream_options=options)
    *chunks, _ = await events(reply)
    counts = [chunk["usage"]["completion_tokens"] for chunk in chunks]
    assert counts == ([0] if path == CHAT else []) + [1, 3, 3, 3]
    assert all(
        chunk["usage"]["total_tokens"] - chunk["usage"]["prompt_tokens"]
        == chunk["usage"]["completion_tokens"]
        for chunk in chunks
    )


async def test_an_incomplete_character_is_flushed_at_the_end() -> None:
    """Bytes that never became a character are shown once the tokens end."""
    engine = ScriptedEngine([*b"a", 0xC3])
    reply = await post(api(engine), COMPLETIONS, prompt="x", stream=True, max_tokens=2)
    *chunks, _ = await events(reply)
    assert [chunk["choices"][0]["text"] for chunk in chunks] == ["a", "\ufffd", ""]


async def test_whole_answers() -> None:
    """Without `stream` the same text, reason and counts come in one body."""
    engine = ScriptedEngine(list(b"hey"))
    chat = parsed(await post(api(engine), CHAT, **HELLO, max_completion_tokens=3, max_tokens=9))
    assert chat["object"] == "chat.completion"
    assert chat["choices"][0]["message"] == {"content": "hey", "role": "assistant"}
    assert chat["choices"][0]["finish_reason"] == "length"
    assert chat["usage"]["prompt_tokens"] == PROMPT_TOKENS
    text = parsed(await post(api(engine), COMPLETIONS, prompt=[1, 2], max_tokens=3))
    assert text["object"] == "text_completion"
    assert text["choices"][0]["text"] == "hey"
    assert text["usage"]["prompt_tokens"] == 2


async def test_an_end_token_ends_the_answer_unseen() -> None:
    """EOS is counted, gives no text, and does nothing under ignore_eos."""
    engine = ScriptedEngine([*b"hi", ByteTokenizer.EOS_ID, *b"!"])
    stopped = parsed(await post(api(engine), COMPLETIONS, prompt="x", max_tokens=4))
    assert stopped["choices"][0] | {"logprobs": None} == {
        "text": "hi",
        "index": 0,
        "logprobs": None,
        "finish_reason": "stop",
    }
    assert stopped["usage"]["completion_tokens"] == 3
    body = {"prompt": "x", "max_tokens": 4, "ignore_eos": True}
    ignored = parsed(await post(api(engine), COMPLETIONS, **body))
    assert ignored["choices"][0]["text"] == "hi!"
    assert ignored["usage"]["completion_tokens"] == 4


@pytest.mark.parametrize("stop", ["wor", ["zzz", "o w"]])
async def test_a_stop_string_over_tokens_ends_the_answer(stop: object) -> None:
    """Nothing of it is sent, the sequence is stopped, tokens until then are counted."""
    engine = ScriptedEngine(list(b"hello world"))
    server = api(engine)
    body = {"prompt": "x", "stop": stop, "max_tokens": 11}
    whole = parsed(await post(server, COMPLETIONS, **body))
    assert whole["choices"][0]["text"] in ("hello ", "hell")
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert whole["usage"]["completion_tokens"] in (9, 7)
    assert engine.sequences[0].finish_reason == "stop"
    streamed = await events(await post(server, COMPLETIONS, **body, stream=True))
    text = "".join(chunk["choices"][0]["text"] for chunk in streamed[:-1])
    assert text == whole["choices"][0]["text"]


async def test_stop_strings_wait_for_min_tokens() -> None:
    """Text of the first min_tokens tokens never ends an answer."""
    engine = ScriptedEngine(list(b"abab"))
    body = {"prompt": "x", "stop": "b", "min_tokens": 2, "max_tokens": 4}
    assert parsed(await post(api(engine), COMPLETIONS, **body))["choices"][0]["text"] == "aba"


async def test_sampling_reaches_the_engine() -> None:
    """What the client asks for is what the engine is told; null means default."""
    engine = ScriptedEngine(list(b"x"))
    asked = {"temperature": 0, "top_p": 0.5, "seed": 7, "min_tokens": 2, "ignore_eos": True}
    await post(api(engine), COMPLETIONS, prompt="x", max_tokens=3, **asked)
    await post(api(engine), COMPLETIONS, prompt="x", max_tokens=None, temperature=None, seed=None)
    told, default = (sequence.params for sequence in engine.sequences)
    assert (told.temperature, told.top_p, told.seed) == (0, 0.5, 7)
    assert (told.max_tokens, told.min_tokens, told.ignore_eos) == (3, 2, True)
    assert (default.max_tokens, default.temperature, default.seed) == (16, 1.0, None)
    assert default.stop_token_ids == ByteTokenizer().eos_ids


async def test_chat_without_a_limit_may_fill_the_context() -> None:
    """As with other servers, a chat answer without max_tokens goes on to the context's end."""
    engine = ScriptedEngine(list(b"x"), max_model_len=100)
    answer = parsed(await post(api(engine), CHAT, **HELLO))
    assert answer["usage"]["total_tokens"] == 100


async def test_text_parts_are_joined() -> None:
    """A message may be a list of text parts."""
    parts = [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]
    messages = [{"role": "user", "content": parts}]
    answer = parsed(await post(api(ScriptedEngine([1])), CHAT, messages=messages, max_tokens=1))
    assert answer["usage"]["prompt_tokens"] == PROMPT_TOKENS


async def test_a_batch_of_prompts_has_n_answers_to_each() -> None:
    """Choices are numbered prompt by prompt; each prompt's tokens count once."""
    engine = ScriptedEngine(list(b"hey"))
    body = {"prompt": ["a", "bcd"], "n": 2, "max_tokens": 3}
    answer = parsed(await post(api(engine), COMPLETIONS, **body))
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert [bytes(one.prompt_ids) for one in engine.sequences] == [b"a", b"a", b"bcd", b"bcd"]
    assert (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]) == (4, 12)


@pytest.mark.parametrize("prompt", ["abc", ["abc"], [97, 98, 99], [[97, 98, 99]]])
async def test_forms_of_a_prompt(prompt: object) -> None:
    """One text or one list of ids, alone or in a list."""
    engine = ScriptedEngine([1])
    await post(api(engine), COMPLETIONS, prompt=prompt, max_tokens=1)
    assert engine.sequences[0].prompt_ids == [97, 98, 99]


async def test_unknown_fields_are_ignored() -> None:
    """Clients send fields that only their favourite server knows."""
    body = {**HELLO, "max_tokens": 1, "top_k": 5, "user": "me", "nvext": {"a": [1]}}
    assert (await post(api(ScriptedEngine([1])), CHAT, **body)).status == 200


IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]


@pytest.mark.parametrize(
    ("path", "body", "status", "param", "says"),
    [
        (CHAT, {}, 400, None, "messages"),
        (CHAT, {"messages": []}, 400, "messages", "at least one"),
        (CHAT, {"messages": "hello"}, 400, "messages", "array"),
        (CHAT, {"messages": IMAGE}, 400, "messages", "image_url"),
        (CHAT, {**HELLO, "max_tokens": "many"}, 400, "max_tokens", "got `str`"),
        (CHAT, {**HELLO, "max_tokens": 0}, 400, "max_tokens", ">= 1"),
        (CHAT, {**HELLO, "temperature": -1}, 400, "temperature", ">= 0"),
        (CHAT, {**HELLO, "top_p": 0}, 400, "top_p", "> 0"),
        (CHAT, {**HELLO, "seed": 2**63}, 400, "seed", "<= 9223372036854775807"),
        (CHAT, {**HELLO, "top_logprobs": 21}, 400, "top_logprobs", "<= 20"),
        (CHAT, {**HELLO, "n": 0}, 400, "n", ">= 1"),
        (CHAT, {**HELLO, "stop": ["a", ""]}, 400, "stop", "empty"),
        (CHAT, {**HELLO, "stream_options": {}}, 400, "stream_options", "stream"),
        (CHAT, {**HELLO, "min_tokens": 3, "max_tokens": 2}, 400, "min_tokens", "max_tokens"),
        (CHAT, {**HELLO, "model": "other"}, 404, "model", "'other' does not exist"),
        (CHAT, {**HELLO, "max_tokens": 999}, 400, "messages", "maximum context length is 256"),
        (COMPLETIONS, {"prompt": "x" * 300}, 400, "prompt", "maximum context length is 256"),
        (COMPLETIONS, {"prompt": []}, 400, "prompt", "at least one"),
        (COMPLETIONS, {"prompt": [[]]}, 400, "prompt", "at least one"),
        (COMPLETIONS, {"prompt": [1, "b"]}, 400, "prompt", "at least one"),
        ("/v1/responses", {"input": [{"type": "file"}]}, 400, "input", "no items of type 'file'"),
        (
            "/v1/responses",
            {"input": "x", "previous_response_id": "resp_1"},
            400,
            "previous_response_id",
            "stores no answers",
        ),
        ("/tokenize", {}, 400, "prompt", "messages"),
        ("/detokenize", {"tokens": [-1]}, 400, "tokens[0]", ">= 0"),
        ("/detokenize", {"tokens": [2**40]}, 400, "tokens[0]", "<= 4294967295"),
        ("/v1/nothing", {}, 404, None, "unknown URL"),
        ("/health", {}, 405, None, "takes GET"),
    ],
)
async def test_errors_say_what_is_wrong(
    path: str, body: dict[str, Any], status: int, param: str | None, says: str
) -> None:
    """Every refusal is an OpenAI-style error, before any stream, and queues nothing."""
    engine = ScriptedEngine([1])
    reply = await post(api(engine), path, **body)
    error = parsed(reply)["error"]
    assert reply.status == status
    assert says in error["message"]
    assert (error["param"], error["type"]) == (param, "invalid_request_error")
    assert engine.sequences == []


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "text", "name"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    sorted(
        {
            *ChatRequest.__struct_fields__,
            *CompletionRequest.__struct_fields__,
            *ResponsesRequest.__struct_fields__,
            *EmbeddingRequest.__struct_fields__,
            "tokens",
        }
    )
)


@pytest.mark.parametrize(
    "path", [CHAT, COMPLETIONS, RESPONSES, "/v1/embeddings", "/tokenize", "/detokenize"]
)
def test_no_body_breaks_the_server(path: str) -> None:
    """Whatever JSON a field holds, the answer is a reply, and a refusal says why."""

    @given(st.dictionaries(FIELDS, VALUES, max_size=3), st.booleans())
    @settings(max_examples=60, deadline=None)
    def check(fields: dict[str, object], has_prompt: bool) -> None:
        valid = {**HELLO, "prompt": "x", "input": "x", "tokens": [1]} if has_prompt else {}
        body = json.dumps({**valid, **fields}).encode()

        async def handled() -> None:
            reply = await api(ScriptedEngine([65])).handle("POST", path, body)
            if isinstance(reply.body, EventStream):
                data = b"".join([item async for item in reply.body])
                assert (b"[DONE]" in data) == (path != RESPONSES)
            else:
                assert (reply.status == 200) == (parsed(reply).get("error") is None)
                assert reply.status in (200, 400, 404)

        asyncio.run(handled())

    check()


DEEP = b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"messages": [}', b"[]", b"null", DEEP])
async def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    """Broken JSON is the client's error, not the server's."""
    assert (await api(ScriptedEngine([1])).handle("POST", CHAT, body)).status == 400


@pytest.mark.parametrize(
    ("refusal", "is_healthy", "status", "code"),
    [
        (PromptTooLongError("needs 9 blocks of 4"), True, 400, "context_length_exceeded"),
        (EngineError("the prompt is empty"), True, 400, None),
        (EngineError("the engine is closed"), False, 503, "engine_closed"),
    ],
)
async def test_the_engines_refusal_becomes_a_reply(
    refusal: EngineError, is_healthy: bool, status: int, code: str | None
) -> None:
    """What the engine will not take is told in its own words, before the stream."""
    engine = ScriptedEngine([1])
    engine.refusal, engine.is_healthy = refusal, is_healthy
    reply = await post(api(engine), CHAT, **HELLO, stream=True, max_tokens=1)
    error = parsed(reply)["error"]
    assert (reply.status, error["message"], error["code"]) == (status, str(refusal), code)
    assert (await api(engine).handle("GET", "/health", b"")).status == (200 if is_healthy else 503)


async def test_a_failure_in_the_stream_is_its_last_event() -> None:
    """What was sent stays sent; the client is told, and sees no [DONE]."""
    engine = ScriptedEngine(list(b"abc"), fails_after=2)
    reply = await post(api(engine), COMPLETIONS, prompt="x", stream=True, max_tokens=3)
    a, b, error = await events(reply)
    assert [a["choices"][0]["text"], b["choices"][0]["text"]] == ["a", "b"]
    assert error["error"]["type"] == "server_error"
    assert "the scripted failure" in error["error"]["message"]


async def test_a_failure_without_a_stream_is_a_500() -> None:
    """No half answer passes for a whole one."""
    reply = await post(api(ScriptedEngine([1], fails_after=0)), CHAT, **HELLO, max_tokens=2)
    assert reply.status == 500


async def test_a_full_queue_is_a_429_that_says_when() -> None:
    """With Retry-After in whole seconds, as clients' own retries read it."""
    engine = ScriptedEngine([1])
    engine.refusal = QueueFullError(7, 2.3)
    reply = await post(api(engine), CHAT, **HELLO, stream=True)
    error = parsed(reply)["error"]
    assert (reply.status, reply.headers["Retry-After"]) == (429, "3")
    assert (error["type"], error["code"]) == ("rate_limit_error", "queue_full")


@pytest.mark.parametrize("stream", [False, True])
async def test_timings_say_where_the_time_went(stream: bool) -> None:
    """Queue, prefill and decode of the answer, in milliseconds, as the suite's client reads them;
    in a stream beside the usage that was asked for."""
    async with open_api(EngineConfig(model="8b", executor=Roofline())) as server:
        usage = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        reply = await post(server, CHAT, **HELLO, max_tokens=3, **usage)
        body = (await events(reply))[-2] if stream else parsed(reply)
    assert body["timings"].keys() == {"queue_ms", "prompt_ms", "predicted_ms"}
    assert all(value > 0 for value in body["timings"].values())
    data = json.dumps(body).encode()
    exchange = Exchange(
        request_id=0, stamp_source="virtual", framing="none", reads=[data], read_s=[0.0]
    )
    stages = decode_stream(exchange, len).server_s
    assert stages == {
        "queue": pytest.approx(body["timings"]["queue_ms"] / 1e3),
        "prefill": pytest.approx(body["timings"]["prompt_ms"] / 1e3),
        "decode": pytest.approx(body["timings"]["predicted_ms"] / 1e3),
    }


@pytest.mark.parametrize("read", [0, 1])
async def test_closing_a_stream_cancels_its_sequence(read: int) -> None:
    """Begun or not: what nobody reads must not go on."""
    engine = ScriptedEngine(list(b"abc"))
    reply = await post(api(engine), COMPLETIONS, prompt="x", stream=True)
    assert isinstance(reply.body, EventStream)
    for _ in range(read):
        await anext(aiter(reply.body))
    await reply.body.aclose()
    assert engine.sequences[0].finish_reason == "cancelled"


async def test_a_waiting_whole_answer_can_be_cancelled() -> None:
    """The same when the client waits for the whole answer."""
    engine = ScriptedEngine(list(b"abc"), is_stuck=True)
    task = asyncio.create_task(post(api(engine), COMPLETIONS, prompt="x"))
    await engine.is_waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.sequences[0].finish_reason == "cancelled"


async def test_long_texts_are_tokenized_beside_the_loop() -> None:
    """With threads a long prompt holds up nobody; a short one is not worth the way."""
    names: list[str] = []

    class Noting(ByteTokenizer):
        def encode(self, text: str) -> list[int]:
            names.append(threading.current_thread().name)
            return super().encode(text)

    engine = ScriptedEngine([1], max_model_len=10_000)
    with ThreadPoolExecutor(1, "tokenize") as threads:
        server = Api(engine, Noting(), "scripted", threads=threads)
        for length in (10, 9_000):
            assert (await post(server, COMPLETIONS, prompt="x" * length)).status == 200
            body = json.dumps({"prompt": "x" * length}).encode()
            assert (await server.handle("POST", "/tokenize", body)).status == 200
    assert names == ["MainThread", "MainThread", "tokenize_0", "tokenize_0"]


def test_virtual_time_gives_the_same_bytes_at_the_same_times() -> None:
    """A simulated run is equal to the last bit, ids and dates included."""

    async def stream(server: Api, seed: int) -> list[tuple[float, bytes]]:
        await asyncio.sleep(seed * 0.01)
        reply = await post(server, CHAT, **HELLO, stream=True, max_tokens=20, seed=seed)
        assert isinstance(reply.body, EventStream)
        loop = asyncio.get_running_loop()
        return [(loop.time(), item) async for item in reply.body]

    async def simulation() -> list[list[tuple[float, bytes]]]:
        async with open_api(EngineConfig(model="8b", executor=Roofline())) as server:
            return await asyncio.gather(*(stream(server, seed) for seed in range(8)))

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        first = runner.run(simulation())
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        assert runner.run(simulation()) == first
    assert all(len(items) > 10 for items in first)


USAGE = {"include_usage": True}
RUNNING = {**USAGE, "continuous_usage_stats": True}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, HELLO),
        (CHAT, {**HELLO, "stream_options": USAGE}),
        (COMPLETIONS, {"prompt": "abc", "stream_options": RUNNING}),
        (COMPLETIONS, {"prompt": "abc", "max_tokens": 1}),
        (RESPONSES, {"input": "hello", "max_output_tokens": 60}),
    ],
)
@pytest.mark.parametrize("is_failed", [False, True])
def test_what_is_told_at_once_is_what_is_told_event_by_event(
    path: str, body: dict[str, Any], is_failed: bool
) -> None:
    """The same bytes, each with the same time; of an answer that the engine gives up too."""

    async def told(*, at_once: bool) -> list[tuple[bytes, float]]:
        config = EngineConfig(model="tiny", executor=Roofline())
        async with open_api(config) as server:
            reply = await post(server, path, **{"max_tokens": 60, **body}, stream=True, seed=7)
            stream = reply.body
            assert isinstance(stream, EventStream)
            if is_failed:
                asyncio.get_running_loop().call_later(0.003, server.abort)
            if not at_once:
                loop = asyncio.get_running_loop()
                return [(event, loop.time()) async for event in stream]
            assert await stream.told.gathered()
            whole = stream.at_once()
            assert whole is not None
            return list(zip(*whole, strict=True))

    assert run_virtually(lambda: told(at_once=True)) == run_virtually(lambda: told(at_once=False))


async def test_a_tokenizer_larger_than_the_model_is_refused(tmp_path: Path) -> None:
    """Its ids would have no embedding: told before anything is served."""
    path = tmp_path / "tokenizer.json"
    words = {f"word{number}": number for number in range(9_000)}
    TokenizerFile(WordLevel(words, "word0")).save(str(path))
    with pytest.raises(ConfigError, match="9000 ids, the model 'tiny' 8192"):
        async with open_api(EngineConfig(tokenizer=str(path), executor=Roofline())):
            pass


async def test_each_token_is_yielded_before_the_next_is_asked_for() -> None:
    """An event leaves as soon as its token is there: nothing is gathered."""
    engine = ScriptedEngine(list(b"abc"))
    reply = await post(api(engine), COMPLETIONS, prompt="x", stream=True, max_tokens=3)
    assert isinstance(reply.body, EventStream)
    stream = aiter(reply.body)
    for count in (1, 2, 3):
        await anext(stream)
        assert len(engine.sequences[0].output_ids) == count


@pytest.mark.parametrize("text", ['"\\\n\t\x07', "\x85\u2028\u2029", "é你🙂", "\x00"])
async def test_any_text_is_one_line_of_json(text: str) -> None:
    """Line ends of any kind are escaped, so clients that split lines their own way see one."""
    engine = ScriptedEngine(list(text.encode()))
    server = api(engine)
    body = {"prompt": "x", "max_tokens": len(text.encode()), "stream": True}
    reply = await post(server, COMPLETIONS, **body)
    assert isinstance(reply.body, EventStream)
    items = [item async for item in reply.body]
    assert all(len(item.decode().rstrip("\n").splitlines()) == 1 for item in items[:-1])
    reply = await post(server, COMPLETIONS, **body)
    chunks = (await events(reply))[:-1]
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == text


async def test_models_health_metrics() -> None:
    """What clients look at before they start."""
    server = api(ScriptedEngine([1]))
    card = parsed(await server.handle("GET", "/v1/models", b""))["data"][0]
    assert (card["id"], card["object"], card["max_model_len"]) == ("scripted", "model", 256)
    assert parsed(await server.handle("GET", "/v1/models/scripted", b"")) == card
    assert (await server.handle("GET", "/health", b"")).status == 200
    assert (await server.handle("HEAD", "/metrics", b"")).status == 200
    metrics = await server.handle("GET", "/metrics", b"")
    assert isinstance(metrics.body, bytes)
    assert metrics.body.startswith(b"scripted_sequences_total 0\n")  # the engine's own, then
    assert b"reference_engine:event_loop_lag_seconds_max" in metrics.body  # the server's
    assert metrics.content_type.startswith("text/plain; version=0.0.4")


async def test_tokenize_and_back() -> None:
    """vLLM's dialect: a prompt or messages in, ids and their count out."""
    server = api(ScriptedEngine([1]))
    answer = parsed(await post(server, "/tokenize", model="scripted", prompt="é"))
    assert answer == {"count": 2, "max_model_len": 256, "tokens": [0xC3, 0xA9]}
    assert parsed(await post(server, "/tokenize", **HELLO))["count"] == PROMPT_TOKENS
    back = parsed(await post(server, "/detokenize", tokens=[0xC3, 0xA9]))
    assert back == {"prompt": "é"}
