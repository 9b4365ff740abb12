"""Decodes taken in together leave what decodes one by one leave."""

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_engine.config import Policy
from reference_engine.engine import Engine
from reference_engine.executors.roofline import RooflineExecutor
from reference_engine.model_source import PRESETS
from reference_engine.policies import ChunkedPrefill, Colocated, Disaggregated
from reference_engine.sequence import SamplingParams, Sequence
from reference_engine.specs import DEVICES, ModelShape
from reference_engine.step import DecodeWork, Step
from tests.reference_engine.simulation import CheckedExecutor, checked_engines, run_virtually, small

REQUESTS = st.lists(
    st.tuples(
        st.integers(0, 60),  # sent after, in milliseconds
        st.integers(1, 20),  # prompt tokens
        st.integers(1, 30),  # output tokens
        st.integers(0, 2),  # which of three prompts
        st.booleans(),  # whether some token may end it
        st.none() | st.integers(0, 80),  # cancelled after, in milliseconds
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=40, deadline=None)
@given(
    requests=REQUESTS,
    policy=st.sampled_from(
        [
            Colocated(),
            ChunkedPrefill(token_budget=7),
            ChunkedPrefill(replicas=3),
            Disaggregated(prefill_workers=1, decode_workers=2),
        ]
    ),
    num_blocks=st.integers(13, 60),
)
def test_answers_times_and_counts_are_those_of_single_steps(
    requests: list[tuple[int, int, int, int, bool, int | None]], policy: Policy, num_blocks: int
) -> None:
    """Under any traffic, short of blocks, with answers that stop early or are cancelled; looked at
    in the midst."""
    config = small(policy=policy, num_blocks=num_blocks, max_model_len=52)

    async def one(engine: Engine, request: tuple[int, int, int, int, bool, int | None]) -> Any:
        at_ms, prompt, outputs, which, may_stop, patience_ms = request
        await asyncio.sleep(at_ms * 1e-3 + 1.7e-4)
        stops = tuple(range(0, 8192, 16)) if may_stop else ()
        params = SamplingParams(max_tokens=outputs, min_tokens=2, stop_token_ids=stops, seed=which)
        sequence = engine.submit([which] * prompt, params)
        sequence.output_s = []
        sequence.end_waiter = asyncio.get_running_loop().create_future()
        await asyncio.wait([sequence.end_waiter], timeout=patience_ms and patience_ms * 1e-3)
        engine.cancel(sequence)
        return sequence.output_ids, sequence.output_s, sequence.stamps_s, sequence.finish_reason

    async def main() -> Any:
        async with checked_engines(config) as (engine, executors):
            tasks = [asyncio.create_task(one(engine, request)) for request in requests]
            seen = []
            for _ in range(4):
                await asyncio.sleep(0.0213)
                seen.append(engine.metrics())
            told = [await task for task in tasks]
        return seen, told, sum(len(executor.steps) for executor in executors)

    *together, few = run_virtually(main)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CheckedExecutor, "foresight", None)
        *alone, many = run_virtually(main)
    assert together == alone
    assert few <= many


def test_decodes_are_taken_in_together() -> None:
    """Of 200 tokens that nobody looks at one by one, few are steps of their own."""

    async def main() -> int:
        async with checked_engines(small(max_model_len=256)) as (engine, (executor,)):
            sequence = engine.submit([1], SamplingParams(max_tokens=200))
            sequence.end_waiter = asyncio.get_running_loop().create_future()
            await sequence.end_waiter
            assert len(sequence.output_ids) == 200
            return len(executor.steps)

    assert run_virtually(main) < 10


def test_who_begins_to_read_is_told_of_each_token() -> None:
    """Though decodes that were foreseen are under way."""

    async def main() -> list[float]:
        async with checked_engines(small(max_model_len=256)) as (engine, _):
            loop = asyncio.get_running_loop()
            sequence = engine.submit([1], SamplingParams(max_tokens=200))
            sequence.end_waiter = loop.create_future()
            sequence.output_s = []
            await asyncio.sleep(0.05)
            sequence.end_waiter.cancel()
            begun_s = loop.time()
            told_s = [loop.time() async for _ in engine.tokens(sequence)]
            times_s = sequence.output_s
        assert 1 < told_s.count(begun_s) < 150
        assert told_s == [max(begun_s, at_s) for at_s in times_s]
        return told_s

    assert len(run_virtually(main)) == 200


@given(
    computed=st.lists(st.integers(1, 9_000), min_size=1, max_size=5),
    name=st.sampled_from(["llama-3-8b", "qwen3-30b-a3b", "windows"]),
    per_sequence_s=st.sampled_from([0.0, 1e-5]),
)
def test_times_are_those_of_each_step_to_the_last_bit(
    computed: list[int], name: str, per_sequence_s: float
) -> None:
    """Dense, mixture-of-experts and with windows that some sequences grow out of."""
    shape = _windowed() if name == "windows" else PRESETS[name]
    executor = RooflineExecutor(
        shape, DEVICES["h200"], 2e-4, overhead_per_sequence_s=per_sequence_s
    )
    step = Step(decode=tuple(DecodeWork(_decoding(tokens)) for tokens in computed))
    found = executor.decode_times_s(step, 20).tolist()
    expected = []
    for _ in range(20):
        expected.append(executor.step_time_s(step))
        for work in step.decode:
            work.sequence.num_computed_tokens += 1
    assert found == expected


@given(st.integers(-(2**70), 2**70) | st.none(), st.integers(1, 2**20), st.integers(1, 40))
def test_tokens_are_those_of_each_step(seed: int | None, prompt: int, num_tokens: int) -> None:
    executor = RooflineExecutor(PRESETS["llama-3-8b"], DEVICES["h200"], seed=3)
    sequence = Sequence(5, [0], SamplingParams(max_tokens=99, seed=seed))
    sequence.num_prompt_tokens = prompt
    found = executor.next_tokens(sequence, num_tokens)
    for token in found:
        assert executor._token(sequence) == token
        sequence.output_ids.append(token)


def _decoding(computed: int) -> Sequence:
    sequence = Sequence(0, [0], SamplingParams(max_tokens=10))
    sequence.num_computed_tokens = computed
    return sequence


def _windowed() -> ModelShape:
    shape = PRESETS["llama-3-8b"]
    windows = (128, 0) * (shape.num_layers // 2)
    return msgspec.structs.replace(shape, windows=windows)
