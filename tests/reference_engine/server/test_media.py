"""Images and sound: read, counted, encoded once, and part of what is answered."""

import base64
import io
import json
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from reference_engine.config import EngineConfig
from reference_engine.executors import Roofline, Torch
from reference_engine.policies import ChunkedPrefill
from reference_engine.server.api import Api, open_api
from reference_engine.server.media import MediaError, _grid, audio, image

BUNDLED = str(Path(__file__).parents[3] / "benchsuite" / "data" / "tokenizer.json.gz")
SMALL: dict[str, Any] = {"num_blocks": 64, "max_model_len": 512}


def picture(width: int, height: int, shade: int = 0, kind: str = "PNG") -> str:
    data = io.BytesIO()
    Image.new("RGB", (width, height), (shade, 99, 200)).save(data, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(data.getvalue()).decode()}"


def sound(seconds: float, rate: int = 16_000, channels: int = 1) -> str:
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(b"\1\2" * channels * int(seconds * rate))
    return base64.b64encode(data.getvalue()).decode()


def show(*urls: str, text: str = "what is it?", **more: Any) -> dict[str, Any]:
    parts = [{"type": "image_url", "image_url": {"url": url, **more}} for url in urls]
    return {"messages": [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]}


async def ask(api: Api, body: dict[str, Any], path: str = "/v1/chat/completions") -> Any:
    body = {"max_tokens": 4, "temperature": 0, "ignore_eos": True, **body}
    reply = await api.handle("POST", path, json.dumps(body).encode())
    assert isinstance(reply.body, bytes)
    return json.loads(reply.body)


@pytest.fixture(params=["torch", "roofline"])
async def api(request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    executor = Torch(threads=1) if request.param == "torch" else Roofline()
    config = EngineConfig(executor=executor, image_tokens=20, **SMALL)
    async with open_api(config) as server:
        yield server


@given(st.integers(1, 9000), st.integers(1, 9000), st.integers(1, 1000))
def test_an_image_keeps_to_the_budget(width: int, height: int, budget: int) -> None:
    """At least one token, at most the budget, and about the image's own proportions."""
    columns, rows = _grid(width, height, budget)
    assert 1 <= columns * rows <= budget
    if min(columns, rows) > 8:
        assert 0.7 < (columns / rows) / (width / height) < 1.4


def test_the_patches_of_a_token_lie_together() -> None:
    """Row by row of tokens; in each, its four patches of 14 x 14."""
    data = io.BytesIO()
    pixels = np.zeros((56, 84, 3), np.uint8)
    pixels[28:, 28:56] = 255  # second row, second column of tokens
    Image.fromarray(pixels).save(data, "PNG")
    url = "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()
    media = image(url, None, 256)
    assert (media.num_tokens, media.features.shape) == (6, (24, 588))
    bright = np.flatnonzero((media.features > 0.99).all(1))
    assert bright.tolist() == [16, 17, 18, 19]


@pytest.mark.parametrize(("seconds", "tokens"), [(0.01, 1), (0.08, 1), (0.081, 2), (2.0, 25)])
@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (8_000, 2), (44_100, 1)])
def test_a_token_is_80_ms_of_sound(seconds: float, tokens: int, rate: int, channels: int) -> None:
    """Whatever the file's rate and channels."""
    assert audio(sound(seconds, rate, channels), "wav").num_tokens == tokens


async def test_images_are_tokens_of_the_prompt(api: Api) -> None:
    """Counted in prompt_tokens and apart; JPEG and PNG; `detail: low` is no more than allowed."""
    plain = await ask(api, {"messages": [{"role": "user", "content": "what is it?"}]})
    text_tokens = plain["usage"]["prompt_tokens"]
    for url, tokens in [(picture(56, 84), 6), (picture(900, 600, kind="JPEG"), 15)]:
        usage = (await ask(api, show(url)))["usage"]
        assert usage["prompt_tokens"] == text_tokens + tokens
        assert usage["prompt_tokens_details"]["image_tokens"] == tokens
    usage = (await ask(api, show(picture(28, 28), picture(56, 28))))["usage"]
    assert usage["prompt_tokens"] == text_tokens + 3


async def test_sound_is_tokens_of_the_prompt(api: Api) -> None:
    """As `input_audio`."""
    part = {"type": "input_audio", "input_audio": {"data": sound(1.0), "format": "wav"}}
    answer = await ask(api, {"messages": [{"role": "user", "content": [part]}]})
    assert answer["usage"]["prompt_tokens_details"]["audio_tokens"] == 13


async def test_an_image_is_encoded_once(api: Api) -> None:
    """The encoder's time is told; a second question about the same image finds it, and its prefix
    in the KV cache; another image does neither."""
    first = await ask(api, show(picture(200, 200)))
    assert first["timings"]["encode_ms"] > 0
    again = await ask(api, show(picture(200, 200), text="and what else do you see there?"))
    other = await ask(api, show(picture(200, 200, shade=200)))
    assert [one["usage"]["prompt_tokens_details"]["cached_tokens"] for one in (first, again)] == [
        0,
        32,
    ]
    assert other["usage"]["prompt_tokens_details"]["cached_tokens"] < 32
    reply = await api.handle("GET", "/metrics", b"")
    assert isinstance(reply.body, bytes)
    assert b'vllm:mm_cache_queries_total{model_name="tiny"} 48.0' in reply.body
    assert b'vllm:mm_cache_hits_total{model_name="tiny"} 16.0' in reply.body


async def test_responses_read_images_too(api: Api) -> None:
    """As `input_image` with a plain URL."""
    content = [{"type": "input_image", "image_url": picture(56, 28)}]
    body = {"input": [{"role": "user", "content": content}], "max_output_tokens": 3}
    with_image = await ask(api, body, "/v1/responses")
    without = await ask(api, body | {"input": [{"role": "user", "content": []}]}, "/v1/responses")
    counts = [one["usage"]["input_tokens"] for one in (with_image, without)]
    assert counts[0] - counts[1] == 2


async def test_what_is_seen_changes_the_answer() -> None:
    """The decoder attends to the encoder's output; chunks of a prompt cut through an image and
    change nothing."""
    answers = []
    for chunk in (512, 3):
        policy = ChunkedPrefill(token_budget=chunk)
        config = EngineConfig(executor=Torch(threads=1), policy=policy, tokenizer=BUNDLED, **SMALL)
        async with open_api(config) as api:
            for shade in (0, 250):
                answer = await ask(api, show(picture(112, 112, shade)) | {"max_tokens": 12})
                answers.append(answer["choices"][0]["message"]["content"])
    assert answers[0] == answers[2]
    assert answers[1] == answers[3]
    assert answers[0] != answers[1]


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ({"type": "image_url", "image_url": {"url": "https://x.org/a.png"}}, "data URL"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}, "not an image"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,??"}}, "base64"),
        ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}, "WAV"),
        ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}}, "wav only"),
        ({"type": "video_url"}, "'video_url'"),
    ],
)
async def test_what_cannot_be_read_is_refused(part: dict[str, Any], says: str) -> None:
    """With the reason, and nothing is queued."""
    async with open_api(EngineConfig(executor=Roofline(), **SMALL)) as api:
        error = (await ask(api, {"messages": [{"role": "user", "content": [part]}]}))["error"]
    assert error["param"] == "messages"
    assert says in error["message"]


@given(st.binary(max_size=60))
@settings(deadline=None)
def test_no_bytes_break_the_decoders(data: bytes) -> None:
    """What is no image and no sound is said to be none."""
    text = base64.b64encode(data).decode()
    with pytest.raises(MediaError):
        image(f"data:image/png;base64,{text}", None, 16)
    with pytest.raises(MediaError):
        audio(text, "wav")


async def test_a_marks_own_characters_are_text() -> None:
    """A client cannot point at a medium by writing its mark."""
    async with open_api(EngineConfig(executor=Roofline(), **SMALL)) as api:
        answer = await ask(api, show(picture(28, 28), text="\uf8ff0\uf8fe\uf8ff7\uf8fe"))
        assert answer["usage"]["prompt_tokens_details"]["image_tokens"] == 1
