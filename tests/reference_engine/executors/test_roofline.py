"""The roofline executor: sleeps the cost, gives repeatable tokens."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from reference_engine.executors import Roofline
from reference_engine.executors.costs import step_cost
from reference_engine.executors.roofline import RooflineExecutor
from reference_engine.model_source import PRESETS, ModelSource
from reference_engine.sequence import Phase, SamplingParams, Sequence
from reference_engine.specs import DEVICES, Capacity, DeviceSpec
from reference_engine.step import DecodeWork, PrefillWork, Step
from tests.reference_engine.simulation import run_virtually

TINY = PRESETS["tiny"]


def sequence(id: int = 0, seed: int | None = None) -> Sequence:
    return Sequence(id, [1] * 20, SamplingParams(max_tokens=50, seed=seed))


def prefill(one: Sequence, length: int) -> Step:
    return Step(prefill=(PrefillWork(one, 0, length, range(TINY.num_layers)),))


def test_a_step_takes_its_cost_and_the_overhead() -> None:
    """Virtual time advances by max(FLOPs/peak, bytes/bandwidth) + overhead, exactly."""
    step = prefill(sequence(), 20)

    async def main() -> float:
        await RooflineExecutor(TINY, DEVICES["l4"], overhead_s=0.25).execute(step)
        return asyncio.get_running_loop().time()

    assert run_virtually(main) == step_cost(step, TINY).time_s(DEVICES["l4"]) + 0.25


def test_prefills_have_an_overhead_of_their_own() -> None:
    """With decodes beside it the longer of the two; without the key there is one for all."""
    both = prefill(sequence(), 20)._replace(decode=(DecodeWork(sequence(1)),))
    alone, decode = both._replace(decode=()), both._replace(prefill=())

    def overhead_s(step: Step, **keys: float) -> float:
        executor = RooflineExecutor(TINY, DEVICES["l4"], **keys)
        return executor.step_time_s(step) - step_cost(step, TINY).time_s(DEVICES["l4"])

    for longer, ends in [(3.0, (3.0, 3.0, 1.0)), (0.5, (0.5, 1.0, 1.0))]:
        found = [
            overhead_s(step, overhead_s=1.0, prefill_overhead_s=longer)
            for step in (alone, both, decode)
        ]
        assert found == pytest.approx(ends)
    assert [overhead_s(step, overhead_s=1.0) for step in (alone, both)] == pytest.approx([1, 1])


def test_efficiencies_scale_their_own_bound() -> None:
    """Half the bandwidth doubles a decode's time; half the peak leaves it alone."""
    one = sequence()
    one.output_ids, one.num_computed_tokens, one.phase = [1], 20, Phase.DECODING
    step = Step(decode=(DecodeWork(one),))
    source, capacity = (
        ModelSource(name="tiny"),
        Capacity(num_blocks=1, block_size=1, max_sequences=1, max_model_len=1),
    )

    def time_s(**efficiency: float) -> float:
        executor = Roofline(device="l4", overhead_s=0.0, **efficiency).build(source, capacity)
        assert isinstance(executor, RooflineExecutor)
        return executor.step_time_s(step)

    assert time_s(bandwidth_efficiency=0.5) == 2 * time_s()
    assert time_s(flops_efficiency=0.5) == time_s()


def test_tokens_come_where_a_position_is_sampled() -> None:
    """A prefill that stops short gives none."""
    executor = RooflineExecutor(TINY, DEVICES["cpu"])
    assert len(run_virtually(lambda: executor.execute(prefill(sequence(), 20))).tokens) == 1
    assert not run_virtually(lambda: executor.execute(prefill(sequence(), 19))).tokens


def tokens(executor: RooflineExecutor, one: Sequence, count: int) -> list[int]:
    async def main() -> None:
        for _ in range(count):
            output = await executor.execute(prefill(one, one.num_tokens))
            one.output_ids.append(output.tokens[one.id])

    run_virtually(main)
    return one.output_ids


def test_tokens_are_a_function_of_seed_and_position() -> None:
    """Same seed, same tokens, whatever the id; else every sequence has its own. All in vocabulary,
    and spread over it.
    """
    executor = RooflineExecutor(TINY, DEVICES["cpu"])
    seeded = tokens(executor, sequence(0, seed=7), 50)
    assert seeded == tokens(executor, sequence(5, seed=7), 50)
    assert seeded != tokens(executor, sequence(0, seed=8), 50)
    assert tokens(executor, sequence(0), 50) != tokens(executor, sequence(1), 50)
    assert all(0 <= token < TINY.vocab_size for token in seeded)
    assert len(set(seeded)) > 45


def test_hand_over_takes_bytes_over_the_link() -> None:
    """KV costs time in proportion to its blocks, media to their tokens; one after another."""
    device = DeviceSpec(peak_flops_per_s=1, bytes_per_s=1, memory_bytes=1)
    executor = RooflineExecutor(TINY, device, block_size=4, link_bytes_per_s=1e6)
    block_s = 4 * TINY.kv_bytes_per_token / 1e6
    media_s = 7 * TINY.hidden_size * TINY.dtype_bytes / 1e6

    async def main() -> tuple[float, float, float]:
        loop = asyncio.get_running_loop()

        async def ends_s(transfer: Coroutine[Any, Any, None]) -> float:
            await transfer
            return loop.time()

        first, second = await asyncio.gather(
            ends_s(executor.write_blocks([5, 1, 3], None)),
            ends_s(executor.write_blocks([2, 4], None)),
        )
        await executor.write_media(b"", 7, None)
        return first, second, loop.time()

    expected = (3 * block_s, 5 * block_s, 5 * block_s + media_s)
    assert run_virtually(main) == pytest.approx(expected)


def test_swapping_takes_bytes_over_the_hosts_link() -> None:
    """Each way for itself; those that come back together come one after another."""
    device = DeviceSpec(peak_flops_per_s=1, bytes_per_s=1, memory_bytes=1, host_bytes_per_s=1e6)
    executor = RooflineExecutor(TINY, device, block_size=4)
    block_s = 4 * TINY.kv_bytes_per_token / 1e6

    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        await executor.swap_out([5, 1, 3])
        out_s = loop.time()
        await asyncio.gather(executor.swap_in([2], None), executor.swap_in([1, 4], None))
        return out_s, loop.time()

    assert run_virtually(main) == pytest.approx((3 * block_s, 6 * block_s))
