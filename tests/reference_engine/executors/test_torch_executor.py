"""The torch executor on a real checkpoint: greedy answers do not depend on the way to them."""

import asyncio
import base64
import json
import sys
import threading
from collections.abc import Sequence as Seq
from typing import Any

import msgspec
import numpy as np
import pytest
from torch import Tensor

from reference_engine.config import EngineConfig
from reference_engine.engine import Engine
from reference_engine.executors import Torch, torch_executor
from reference_engine.executors.torch_executor import TorchExecutor, default_threads
from reference_engine.media import MERGED, Media, Placed
from reference_engine.model.encoder import Encoder
from reference_engine.model_source import ModelSource
from reference_engine.policies import (
    ChunkedPrefill,
    Colocated,
    Deadline,
    Disaggregated,
    EncodePrefillDecode,
    LayeredPrefill,
)
from reference_engine.sequence import Phase, SamplingParams, Sequence
from reference_engine.server.api import Api, open_api
from reference_engine.server.grammar import Grammars, call_grammar, schema_grammar
from reference_engine.server.reply import EventStream
from reference_engine.server.tokenizer import FileTokenizer
from reference_engine.specs import Capacity, ConfigError
from reference_engine.step import DecodeWork, PrefillWork, Step, StepOutput
from tests.reference_engine.model.stories import FOLDER, Story, stories

GREEDY = SamplingParams(max_tokens=96, temperature=0.0, ignore_eos=True)
CAPACITY = Capacity(num_blocks=64, block_size=16, max_sequences=8, max_model_len=256)
SOURCE = ModelSource(name=str(FOLDER))
EVERY_LAYER = range(5)


def config(**changes: Any) -> EngineConfig:
    defaults: dict[str, Any] = {
        "model": str(FOLDER),
        "executor": Torch(threads=1),
        "num_blocks": 128,
        "max_sequences": 8,
        "max_model_len": 256,
    }
    return EngineConfig(**defaults | changes)


async def answered(
    engine: Engine, prompt_ids: list[int], params: SamplingParams = GREEDY
) -> Sequence:
    """The sequence, when it has ended."""
    sequence = engine.submit(prompt_ids, params)
    async for _ in engine.tokens(sequence):
        pass
    return sequence


async def tell_all(engine: Engine, told: Seq[Story]) -> list[Sequence]:
    """All at once; each must be the golden one."""
    sequences = await asyncio.gather(*(answered(engine, story.prompt) for story in told))
    for sequence, story in zip(sequences, told, strict=True):
        assert (sequence.output_ids, sequence.error) == (story.output, None)
    return sequences


@pytest.mark.parametrize(
    ("policy", "block_size"),
    [
        (Colocated(), 16),
        (ChunkedPrefill(), 1),
        (ChunkedPrefill(token_budget=7), 16),
        (ChunkedPrefill(token_budget=7), 5),
        (ChunkedPrefill(token_budget=1), 16),
        (LayeredPrefill(step_tokens=20), 16),
        (Deadline(step_tokens=30), 5),
        (Disaggregated(decode_workers=2), 16),
        (Disaggregated(prefill_workers=2), 5),
        (EncodePrefillDecode(), 16),
    ],
    ids=[
        *("colocated", "chunked", "chunks-of-7", "odd-blocks", "chunks-of-1"),
        *("layered", "deadline", "1p2d", "2p1d", "1e1p1d"),
    ],
)
async def test_greedy_answers_are_the_golden_ones(policy: Any, block_size: int) -> None:
    """Six prompts of 1 to 109 tokens in one batch, under every policy and odd chunk sizes."""
    settings = config(policy=policy, block_size=block_size, num_blocks=2048 // block_size)
    async with Engine.open(settings) as engine:
        await tell_all(engine, stories())


async def test_images_read_by_several_workers_are_the_images() -> None:
    """Encoders of one seed are one encoder, whoever reads, and each output stands in its place."""
    rows = np.random.default_rng(1).normal(0, 1, (4, 3 * MERGED, 588)).astype(np.float32)
    images = [Media("image", bytes([number]), features) for number, features in enumerate(rows)]
    images.append(images[1])
    params = SamplingParams(max_tokens=6, temperature=0.0, ignore_eos=True, logprobs=0)

    async def told(policy: Any, images: list[Media]) -> list[float]:
        placed = tuple(Placed(2 + 3 * number, image) for number, image in enumerate(images))
        async with Engine.open(config(policy=policy)) as engine:
            sequence = engine.submit([1] * 20, params, media=placed)
            async for _ in engine.tokens(sequence):
                pass
            return [one.chosen for one in sequence.logprobs]

    expected = await told(Colocated(), images)
    spread = await told(EncodePrefillDecode(encode_workers=3), images)
    assert spread == pytest.approx(expected, abs=1e-5)
    assert await told(Colocated(), images[::-1]) != pytest.approx(expected, abs=1e-3)


async def test_encode_workers_know_what_another_has_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight questions about two images at once are two calls of an encoder, as of one worker."""
    read: list[bytes] = []
    encode = Encoder.encode

    def counted(encoder: Encoder, media: Media) -> Tensor:
        read.append(media.key)
        return encode(encoder, media)

    monkeypatch.setattr(Encoder, "encode", counted)
    rows = np.random.default_rng(1).normal(0, 1, (2, 3 * MERGED, 588)).astype(np.float32)
    images = [Media("image", bytes([number]), features) for number, features in enumerate(rows)]
    placed = tuple(Placed(2 + 3 * number, image) for number, image in enumerate(images))
    async with Engine.open(config(policy=EncodePrefillDecode(encode_workers=3))) as engine:
        params = SamplingParams(max_tokens=4, temperature=0.0, ignore_eos=True)
        asked = [engine.submit([1] * 20, params, media=placed) for _ in range(8)]
        for sequence in asked:
            async for _ in engine.tokens(sequence):
                pass
    assert {one.finish_reason for one in asked} == {"length"}
    assert len({tuple(one.output_ids) for one in asked}) == 1
    assert sorted(read) == [b"\0", b"\1"]


async def test_a_cached_prefix_is_really_there() -> None:
    """Reused tokens are not computed again, their sequence and its slot being gone, and count."""
    async with Engine.open(config(prefix_caching=True, max_sequences=2)) as engine:
        first = await tell_all(engine, stories())
        again = await tell_all(engine, stories()[::-1])
    assert all(sequence.num_cached_tokens == 0 for sequence in first)
    assert [s.num_cached_tokens for s in again] == [96, 64, 0, 16, 0, 0]


async def test_a_prefix_is_reused_while_its_owner_still_runs() -> None:
    """Blocks filled by decoding serve others at once: the answer so far is a cached prompt."""
    story = stories()[4]
    async with Engine.open(config()) as engine:
        owner = engine.submit(story.prompt, GREEDY)
        async for _ in engine.tokens(owner):
            if len(owner.output_ids) == 40:
                ids = story.prompt + story.output[:40]
                params = SamplingParams(max_tokens=20, temperature=0.0, ignore_eos=True)
                heir = await answered(engine, ids, params)
                assert owner.finish_reason is None
    assert heir.num_cached_tokens == 112  # 7 blocks, of 73 + 40 tokens
    assert heir.output_ids == story.output[40:60]
    assert owner.output_ids == story.output


async def test_preempted_answers_are_the_golden_ones() -> None:
    """With too few blocks sequences lose theirs and are computed again, outputs included."""
    settings = config(num_blocks=24, prefix_caching=False)
    async with Engine.open(settings) as engine:
        sequences = await tell_all(engine, stories())
    assert sum(sequence.num_preemptions for sequence in sequences) >= 3


@pytest.mark.parametrize("swap_blocks", [40, 8])
async def test_swapped_answers_are_the_golden_ones(swap_blocks: int) -> None:
    """KV goes to host memory and back, in part filled blocks too; with little room for it some are
    computed again."""
    settings = config(
        num_blocks=24, prefix_caching=False, preemption="swap", swap_blocks=swap_blocks
    )
    async with Engine.open(settings) as engine:
        sequences = await tell_all(engine, stories())
        stats = engine.stats
    assert stats.swapped_in_blocks == stats.swapped_out_blocks > 0
    swapped = sum(Phase.SWAPPED in sequence.stamps_s for sequence in sequences)
    preempted = sum(sequence.num_preemptions > 0 for sequence in sequences)
    assert (swapped == preempted) == (swap_blocks == 40)


async def test_slots_are_given_back() -> None:
    """Far more sequences than slots come and go, some cancelled mid-way."""
    async with Engine.open(config(max_sequences=3, num_blocks=200)) as engine:
        doomed = [engine.submit(story.prompt, GREEDY) for story in stories()]
        task = asyncio.create_task(tell_all(engine, stories() * 2))
        async for _ in engine.tokens(doomed[1]):
            if len(doomed[1].output_ids) == 5:
                break
        for sequence in doomed:
            engine.cancel(sequence)
        await task


def sequence_of(story: Story, id: int = 0, first_block: int = 0, **params: Any) -> Sequence:
    settings = {"max_tokens": 96, "temperature": 0.0} | params
    sequence = Sequence(id, story.prompt, SamplingParams(**settings))
    sequence.block_table = list(range(first_block, first_block + 16))
    return sequence


def commit(output: StepOutput, *sequences: Sequence) -> None:
    """What a worker does after a step."""
    for sequence in sequences:
        if sequence.id in output.tokens:
            sequence.num_computed_tokens = sequence.num_tokens
            sequence.output_ids.append(output.tokens[sequence.id])


async def test_layers_may_be_computed_over_several_steps() -> None:
    """A prefill cut by layers, beside another's decodes, gives the same tokens as in one go."""
    executor = TorchExecutor(SOURCE, CAPACITY, threads=1)
    old, new = sequence_of(stories()[1]), sequence_of(stories()[5], 1, 16)
    whole = PrefillWork(old, 0, old.num_tokens, EVERY_LAYER)
    commit(await executor.execute(Step(prefill=(whole,))), old)
    for layers in (range(2), range(2, 3), range(3, 5)):
        work = PrefillWork(new, 0, new.num_tokens, layers)
        output = await executor.execute(Step(prefill=(work,), decode=(DecodeWork(old),)))
        assert (new.id in output.tokens) == (layers.stop == 5)
        commit(output, old, new)
    commit(await executor.execute(Step(decode=(DecodeWork(old), DecodeWork(new)))), old, new)
    executor.close()
    assert old.output_ids == stories()[1].output[:5]
    assert new.output_ids == stories()[5].output[:2]


async def test_a_chunk_that_does_not_end_the_prompt_samples_nothing() -> None:
    """Only the last known token's position is sampled."""
    executor = TorchExecutor(SOURCE, CAPACITY, threads=1)
    sequence = sequence_of(stories()[5])
    output = await executor.execute(Step(prefill=(PrefillWork(sequence, 0, 108, EVERY_LAYER),)))
    assert output.tokens == {}
    output = await executor.execute(Step(prefill=(PrefillWork(sequence, 108, 1, EVERY_LAYER),)))
    assert output.tokens == {0: stories()[5].output[0]}
    executor.close()


async def test_the_event_loop_goes_on_while_the_model_computes() -> None:
    """A step that waits for the loop to do something ends: it does not run on the loop's thread."""

    class Waiting(TorchExecutor):
        def _run(self, step: Step) -> StepOutput:
            assert moved_on.wait(timeout=60)
            return super()._run(step)

    moved_on = threading.Event()
    executor = Waiting(SOURCE, CAPACITY, threads=1)
    sequence = sequence_of(stories()[0])
    step = Step(prefill=(PrefillWork(sequence, 0, 1, EVERY_LAYER),))
    task = asyncio.create_task(executor.execute(step))
    await asyncio.sleep(0)
    moved_on.set()
    assert (await task).tokens == {0: stories()[0].output[0]}
    executor.close()


async def test_seeded_answers_do_not_depend_on_company_or_preemption() -> None:
    """The same seed gives the same text alone, in a crowd and when preempted; another, another."""
    story = stories()[2]

    def warm(seed: int | None) -> SamplingParams:
        return SamplingParams(max_tokens=80, seed=seed, top_p=0.95, ignore_eos=True)

    async with Engine.open(config()) as engine:
        alone = await answered(engine, story.prompt, warm(5))
    async with Engine.open(config(num_blocks=18, prefix_caching=False)) as engine:
        seeds = (5, 6, 5, None, None)
        crowd = await asyncio.gather(*(answered(engine, story.prompt, warm(s)) for s in seeds))
    assert any(sequence.num_preemptions for sequence in crowd)
    assert crowd[0].output_ids == crowd[2].output_ids == alone.output_ids
    others = {tuple(sequence.output_ids) for sequence in crowd}
    assert len(others) == 4


async def test_stop_tokens_wait_for_min_tokens() -> None:
    """A stop token is not drawn before `min_tokens`, so the answer goes on without it."""
    story = stories()[1]
    stop = story.output[3]
    stopping = SamplingParams(max_tokens=30, temperature=0.0, stop_token_ids=(stop,))
    patient = SamplingParams(max_tokens=30, min_tokens=12, temperature=0.0, stop_token_ids=(stop,))
    async with Engine.open(config()) as engine:
        short = await answered(engine, story.prompt, stopping)
        long = await answered(engine, story.prompt, patient)
    assert (short.output_ids, short.finish_reason) == (story.output[:4], "stop")
    assert stop not in long.output_ids[:12]
    assert len(long.output_ids) > 12


@pytest.mark.parametrize("folder_or_preset", [str(FOLDER), "tiny"])
async def test_kv_can_leave_and_go_on_in_another_worker(folder_or_preset: str) -> None:
    """Whole and partly filled blocks, written elsewhere under other numbers, mid-answer."""
    source = ModelSource(name=folder_or_preset)
    layers = range(source.shape().num_layers)
    first, second = (TorchExecutor(source, CAPACITY, threads=1) for _ in range(2))
    stayed, moved = sequence_of(stories()[5]), sequence_of(stories()[5], 1, 16)
    works = tuple(PrefillWork(one, 0, one.num_tokens, layers) for one in (stayed, moved))
    commit(await first.execute(Step(prefill=works)), stayed, moved)
    both = Step(decode=(DecodeWork(stayed), DecodeWork(moved)))
    commit(await first.execute(both), stayed, moved)
    assert moved.num_computed_tokens % 16  # the last block is filled in part
    content = await first.read_blocks(moved.block_table[:7])
    first.release(moved)
    moved.block_table = list(range(40, 56))
    await second.write_blocks(moved.block_table[:7], content)
    for _ in range(8):
        commit(await first.execute(Step(decode=(DecodeWork(stayed),))), stayed)
        commit(await second.execute(Step(decode=(DecodeWork(moved),))), moved)
    first.close()
    second.close()
    assert moved.output_ids == stayed.output_ids
    if folder_or_preset != "tiny":
        assert moved.output_ids == stories()[5].output[:10]


async def test_eight_bits_answer_like_the_whole_numbers() -> None:
    """Through the engine: the story is the golden one for a good while."""
    story = stories()[1]
    async with Engine.open(config(executor=Torch(threads=1, dtype="int8"))) as engine:
        sequence = await answered(engine, story.prompt)
    assert len(sequence.output_ids) == 96
    assert sequence.output_ids[:16] == story.output[:16]


async def test_a_failed_step_spoils_no_later_one() -> None:
    """Too many sequences for the slots is an error of that step; released, the next one runs."""
    executor = TorchExecutor(SOURCE, CAPACITY, threads=1)
    crowd = [sequence_of(stories()[0], i) for i in range(9)]
    works = tuple(PrefillWork(sequence, 0, 1, EVERY_LAYER) for sequence in crowd)
    with pytest.raises(AssertionError, match="9 sequences for 8 KV slots"):
        await executor.execute(Step(prefill=works))
    for sequence in crowd:
        executor.release(sequence)
    output = await executor.execute(Step(prefill=works[:1]))
    assert output.tokens == {0: stories()[0].output[0]}
    executor.close()


async def test_what_cannot_be_done_is_said() -> None:
    """A missing device is a configuration error."""
    with pytest.raises(ConfigError, match="device 'cuda:99'"):
        TorchExecutor(SOURCE, CAPACITY, device="cuda:99")
    with pytest.raises(ConfigError, match="int8 is for CPUs"):
        TorchExecutor(SOURCE, CAPACITY, device="meta", dtype="int8")
    executor = TorchExecutor(SOURCE, CAPACITY, threads=1)
    assert (await executor.execute(Step())).tokens == {}
    executor.close()


def test_what_does_not_fit_into_memory_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """KV for more sequences than there are addresses; weights larger than the machine."""
    huge = msgspec.structs.replace(CAPACITY, max_sequences=2**50)
    with pytest.raises(ConfigError, match=r"no memory.*KV of 1125899906842624 sequences"):
        TorchExecutor(SOURCE, huge)
    monkeypatch.setattr(torch_executor, "_memory_bytes", lambda: 500_000)
    with pytest.raises(ConfigError, match=r"no memory.*weights alone"):
        TorchExecutor(SOURCE, CAPACITY)


def test_numbers_are_as_small_as_the_device_likes() -> None:
    """bfloat16 is slower than float32 on most CPUs, and what CUDA is made for; what is given goes
    before.
    """
    assert Torch().number_type == "float32"
    assert Torch(device="cuda:1").number_type == "bfloat16"
    assert Torch(device="cuda", dtype="float32").number_type == "float32"


def test_a_missing_torch_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client alone is installed without it."""
    monkeypatch.delitem(sys.modules, "reference_engine.executors.torch_executor")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ConfigError, match=r"'torch'.*pip install \"benchsuite\[engine\]\""):
        Torch().build(SOURCE, CAPACITY)


def test_threads_leave_a_core_to_the_others() -> None:
    """At least one, and not all where there are several."""
    assert default_threads() >= 1


class Ascii(FileTokenizer):
    """Without the tokens of bytes that only other characters have."""

    def token_bytes(self, token_id: int) -> bytes:
        piece = super().token_bytes(token_id)
        return piece if piece.isascii() else b""


async def test_a_guide_without_a_way_on_ends_its_own_answer_alone() -> None:
    """A row that no token may follow has no likeliest and no draw; others are in the same step."""
    tokenizer = Ascii(FOLDER / "tokenizer.json")
    guide = Grammars(tokenizer).guide(schema_grammar({"const": "a\u00e9"}))
    params = SamplingParams(
        max_tokens=20, min_tokens=9, temperature=0.7, stop_token_ids=tokenizer.eos_ids
    )
    async with Engine.open(config()) as engine:
        stuck = engine.submit([1, 2], params, guide)
        (other,) = await tell_all(engine, stories()[:1])
    assert (stuck.finish_reason, stuck.is_guide_lost) == ("error", True)
    assert stuck.error == "no token of the vocabulary can go on from here"
    assert other.finish_reason == "length"


async def test_a_guide_holds_real_weights_to_its_grammar() -> None:
    """Beside an answer without one, which stays the golden one."""
    told = stories()[0]
    tokenizer = FileTokenizer(FOLDER / "tokenizer.json")
    schema = {"type": "object", "properties": {"n": {"enum": [1, 22]}}, "required": ["n"]}
    schema |= {"additionalProperties": False}
    guide = Grammars(tokenizer).guide(call_grammar({"count": schema}), start=3)
    params = SamplingParams(max_tokens=200, temperature=0.7, seed=1)
    async with Engine.open(config()) as engine:
        guided = engine.submit(told.prompt, params, guide)
        _, plain = await asyncio.gather(collect(engine, guided), answered(engine, told.prompt))
    assert plain.output_ids == told.output
    assert guided.finish_reason == "stop"
    text = b"".join(map(tokenizer.token_bytes, guided.output_ids[3:])).decode()
    call = json.loads(text)
    assert (call["name"], call["arguments"]["n"] in (1, 22)) == ("count", True)


async def collect(engine: Engine, sequence: Sequence) -> list[int]:
    return [token async for token in engine.tokens(sequence)]


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
async def test_logprobs_through_the_api(path: str) -> None:
    """One entry a token, greedy the likeliest, whole and streamed alike; text offsets fit."""
    is_chat = path.endswith("chat/completions")
    prompt = {"messages": [{"role": "user", "content": "Once"}]} if is_chat else {"prompt": "Once"}
    wanted = {"logprobs": True, "top_logprobs": 2} if is_chat else {"logprobs": 2}
    body = {**prompt, **wanted, "max_tokens": 8, "temperature": 0}
    async with open_api(config()) as api:
        reply = await api.handle("POST", path, json.dumps(body).encode())
        stream = await api.handle("POST", path, json.dumps(body | {"stream": True}).encode())
        assert isinstance(stream.body, EventStream)
        data = b"".join([event async for event in stream.body]).decode()
    assert isinstance(reply.body, bytes)
    (choice,) = json.loads(reply.body)["choices"]
    events = [json.loads(one.removeprefix("data: ")) for one in data.split("\n\n")[:-2]]
    parts = [event["choices"][0]["logprobs"] for event in events]
    if is_chat:
        told = choice["logprobs"]["content"]
        assert [one for part in parts if part for one in part["content"]] == told
        assert all(one["top_logprobs"][0]["logprob"] == one["logprob"] for one in told)
        assert "".join(one["token"] for one in told) == choice["message"]["content"]
        assert len(told) == 8
    else:
        told = choice["logprobs"]
        for key in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
            assert [one for part in parts if part for one in part[key]] == told[key]
        text = choice["text"]
        for token, offset in zip(told["tokens"], told["text_offset"], strict=True):
            assert text[offset : offset + len(token)] == token
        assert max(told["token_logprobs"]) <= 0


async def test_embeddings_are_means_of_hidden_states() -> None:
    """The same however the prompt is cut and whatever the prefix cache holds, alone or in a batch;
    of length 1; and as base64, which the official client asks for."""
    texts = ["Once upon a time there was a little dog", "The end"]
    told = []
    for policy in (ChunkedPrefill(), ChunkedPrefill(token_budget=3)):
        async with open_api(config(policy=policy)) as api:

            async def embed(given: object, api: Api = api, **more: str) -> Any:
                body = json.dumps({"input": given, **more}).encode()
                reply = await api.handle("POST", "/v1/embeddings", body)
                assert isinstance(reply.body, bytes)
                return json.loads(reply.body)

            both = await embed(texts)
            alone = [(await embed(text))["data"][0]["embedding"] for text in texts]
            told += [[one["embedding"] for one in both["data"]], alone]
            packed = (await embed(texts[0], encoding_format="base64"))["data"][0]["embedding"]
            numbers = np.frombuffer(base64.b64decode(packed), "<f4")
            assert both["usage"]["prompt_tokens"] == both["usage"]["total_tokens"] > 10
    np.testing.assert_allclose(np.array(told), np.array([told[0]] * 4), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(told[0], axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(numbers, told[0][0], atol=1e-5)
    assert not np.allclose(told[0][0], told[0][1], atol=0.01)
