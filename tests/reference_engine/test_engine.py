"""The engine on virtual time: every token asked for arrives, whatever is cancelled or preempted."""

import asyncio
import random
from statistics import fmean

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reference_engine.config import EngineConfig
from reference_engine.engine import Engine, PromptTooLongError, QueueFullError
from reference_engine.executors import Roofline
from reference_engine.media import MERGED, Media, Placed
from reference_engine.policies import (
    ChunkedPrefill,
    Colocated,
    Deadline,
    Disaggregated,
    EncodePrefillDecode,
    LayeredPrefill,
    Policy,
)
from reference_engine.sequence import GuideError, Phase, SamplingParams, Sequence
from reference_engine.specs import EngineError
from tests.reference_engine.simulation import (
    answer,
    checked_engine,
    checked_engines,
    run_virtually,
    small,
)

ONE_WORKER: list[Policy] = [
    Colocated(),
    ChunkedPrefill(token_budget=16),
    LayeredPrefill(step_tokens=4),
    Deadline(step_tokens=4, ttft_slo_s_by_priority={"0": 0.05, "1": 0.01}),
]
MANY_WORKERS: list[Policy] = [
    ChunkedPrefill(token_budget=16, replicas=3),
    Disaggregated(),
    Disaggregated(prefill_workers=2, decode_workers=3, prefill_tokens=16),
    EncodePrefillDecode(encode_workers=2, prefill_workers=2),
]
POLICIES = pytest.mark.parametrize("policy", ONE_WORKER)
ALL_POLICIES = pytest.mark.parametrize("policy", ONE_WORKER + MANY_WORKERS, ids=repr)


@ALL_POLICIES
def test_tokens_out_are_tokens_asked(policy: Policy) -> None:
    """Each answer has the length asked for, and the counters agree."""

    async def main() -> None:
        async with checked_engines(small(policy=policy)) as (engine, _):
            answers = await asyncio.gather(
                *(answer(engine, [i] * 10, SamplingParams(max_tokens=i)) for i in range(1, 30))
            )
            assert [len(one) for one in answers] == list(range(1, 30))
            assert engine.stats.generation_tokens == sum(range(1, 30))
            assert engine.stats.prompt_tokens == 290
            assert engine.stats.finished["length"] == 29
            gaps = sum(engine.stats.inter_token_latency_s.counts)
            assert gaps == engine.stats.generation_tokens - 29

    run_virtually(main)


def test_every_policy_gives_the_same_tokens() -> None:
    """Scheduling and preemption decide when, never what."""

    async def answers(config: EngineConfig) -> tuple[list[list[int]], int]:
        async with checked_engines(config) as (engine, _):
            tasks = [
                answer(engine, [i] * 20, SamplingParams(max_tokens=30, seed=i)) for i in range(12)
            ]
            return list(await asyncio.gather(*tasks)), engine.stats.preemptions

    expected, _ = run_virtually(lambda: answers(small(policy=Colocated(), num_blocks=500)))
    preemptions = 0
    for policy in (ChunkedPrefill(token_budget=7), *ONE_WORKER, *MANY_WORKERS):
        for num_blocks in (13, 20, 500):
            config = small(policy=policy, num_blocks=num_blocks, max_model_len=50)
            got, times = run_virtually(lambda config=config: answers(config))  # type: ignore[misc]
            assert got == expected
            preemptions += times
    assert preemptions > 0


def image(number: int) -> Media:
    """One of two tokens; equal numbers have equal content."""
    return Media("image", bytes([number]), np.full((2 * MERGED, 588), number, np.float32))


REQUESTS = st.lists(
    st.tuples(
        st.integers(0, 40),  # arrives at, in steps of 5 ms
        st.integers(1, 30),  # prompt tokens
        st.integers(1, 20),  # output tokens
        st.integers(0, 2),  # which of three prompts, so that prefixes are shared; its priority
        st.none() | st.integers(0, 30),  # cancelled after, in steps of 5 ms
        st.lists(st.integers(0, 2), max_size=2),  # which of three images, of two tokens each
    ),
    max_size=14,
)


@settings(max_examples=150, deadline=None)
@given(
    requests=REQUESTS,
    policy=st.sampled_from(
        [ChunkedPrefill(token_budget=5), ChunkedPrefill(), *ONE_WORKER, *MANY_WORKERS]
    ),
    num_blocks=st.integers(13, 24),
    max_sequences=st.integers(1, 6),
    caching=st.booleans(),
    swap_blocks=st.none() | st.integers(1, 20),  # none: recompute
)
@example(  # a step that admits one by its prefix, and brings another back from host memory
    requests=[
        *[(0, 1, 1, 0, None, [])] * 7,
        (0, 5, 17, 2, None, []),
        (0, 5, 1, 2, None, []),
        (0, 12, 18, 0, None, []),
    ],
    policy=ChunkedPrefill(token_budget=5),
    num_blocks=13,
    max_sequences=2,
    caching=True,
    swap_blocks=5,
)
def test_no_deadlock_under_tiny_pools(
    requests: list[tuple[int, int, int, int, int | None, list[int]]],
    policy: Policy,
    num_blocks: int,
    max_sequences: int,
    caching: bool,
    swap_blocks: int | None,
) -> None:
    """With memory for little more than one sequence, cancellations and preemptions of both kinds,
    every answer ends, is whole unless cancelled, and pool and swap space are whole before every
    step.
    """
    config = small(
        policy=policy,
        num_blocks=num_blocks,
        max_sequences=max_sequences,
        max_model_len=52,
        prefix_caching=caching,
        encoder_cache_tokens=2,
        preemption="swap" if swap_blocks else "recompute",
        swap_blocks=swap_blocks,
    )

    async def one(
        engine: Engine, request: tuple[int, int, int, int, int | None, list[int]]
    ) -> None:
        at, prompt, outputs, which, patience, media = request
        await asyncio.sleep(at * 0.005)
        params = SamplingParams(max_tokens=outputs, seed=1, priority=which)
        placed = tuple(Placed(0, image(number)) for number in media[: prompt // 3])
        sequence = engine.submit([which] * prompt, params, media=placed)

        async def read() -> list[int]:
            return [token async for token in engine.tokens(sequence)]

        if patience is None:
            assert len(await read()) == outputs
            assert sequence.finish_reason == "length"
        else:
            try:
                async with asyncio.timeout(patience * 0.005):
                    await read()
            except TimeoutError:
                assert sequence.finish_reason == "cancelled"

    async def main() -> None:
        async with checked_engines(config) as (engine, _), asyncio.TaskGroup() as group:
            for request in requests:
                group.create_task(one(engine, request))

    run_virtually(main)


@pytest.mark.parametrize("spread", [True, False])
def test_an_image_is_encoded_once_by_all_encode_workers_together(spread: bool) -> None:
    """Asked about at once and later, alone and beside new ones; again when it had to go."""
    policy = EncodePrefillDecode(encode_workers=3, spread_media=spread)

    async def main() -> None:
        async with checked_engines(small(policy=policy, encoder_cache_tokens=6)) as (engine, them):

            async def look(*numbers: int) -> None:
                placed = tuple(Placed(0, image(number)) for number in numbers)
                sequence = engine.submit([1] * 9, SamplingParams(max_tokens=2), media=placed)
                assert [token async for token in engine.tokens(sequence)]

            def encoded() -> list[int]:
                works = [work for one in them for step in one.steps for work in step.encode]
                return sorted(work.media.key[0] for work in works)

            await asyncio.gather(*(look(0, 1) for _ in range(6)))
            assert encoded() == [0, 1]
            await look(2, 1)
            await look(0)
            assert encoded() == [0, 1, 2]
            for number in range(3, 9):
                await look(number)
            await look(0)
            assert encoded() == [0, 0, *range(1, 9)]
            assert engine.stats.encoder_queries == 2 * (6 * 2 + 2 + 1 + 6 + 1)
            assert engine.stats.encoder_hits == engine.stats.encoder_queries - 2 * len(encoded())

    run_virtually(main)


def test_equal_prefix_is_computed_once() -> None:
    """A second question about the same document prefills only its own end."""
    document = list(range(40))

    async def main() -> None:
        async with checked_engine(small()) as (engine, executor):
            await answer(engine, [*document, 1, 2], SamplingParams(max_tokens=2))
            second = engine.submit([*document, 3, 4], SamplingParams(max_tokens=2))
            assert len([token async for token in engine.tokens(second)]) == 2
            assert second.num_cached_tokens == 40
            assert executor.steps[2].prefill[0].start == 40
            assert (engine.stats.prefix_queries, engine.stats.prefix_hits) == (84, 40)

    run_virtually(main)


def test_an_answer_is_part_of_the_next_turns_prefix() -> None:
    """Blocks filled by decoding are found again by the prompt that quotes them."""

    async def main() -> None:
        async with checked_engine(small()) as (engine, _):
            prompt = list(range(10))
            reply = await answer(engine, prompt, SamplingParams(max_tokens=11))
            next_turn = engine.submit([*prompt, *reply, 5], SamplingParams(max_tokens=1))
            async for _token in engine.tokens(next_turn):
                pass
            assert next_turn.num_cached_tokens == 20  # the last reply token was never fed back

    run_virtually(main)


@POLICIES
def test_cancelled_while_running_and_while_waiting(policy: Policy) -> None:
    """Both end at once; the blocks are free at the next step boundary, the other goes on."""

    async def main() -> None:
        async with checked_engine(small(policy=policy, max_sequences=2)) as (engine, executor):
            params = SamplingParams(max_tokens=60)
            kept, running, waiting = (engine.submit([i] * 5, params) for i in range(3))
            await asyncio.sleep(0.3)
            assert (running.phase, waiting.phase) == (Phase.DECODING, Phase.WAITING)
            engine.cancel(running)
            engine.cancel(waiting)
            engine.cancel(waiting)
            assert running.finish_reason == waiting.finish_reason == "cancelled"
            assert running.block_table
            received = [token async for token in engine.tokens(running)]
            await asyncio.sleep(0.3)
            assert not running.block_table
            assert executor.released == [running.id]
            assert (running.output_ids, running.finish_reason) == (received, "cancelled")
            assert len([token async for token in engine.tokens(kept)]) == 60
            assert engine.stats.finished["cancelled"] == 2
            assert 'finished_reason="abort",model_name="tiny"} 2.0' in engine.metrics()

    run_virtually(main)


@POLICIES
def test_stopped_by_its_reader_is_no_abort(policy: Policy) -> None:
    """An answer that ends at a stop string is whole: it counts as stopped, with its times."""

    async def main() -> None:
        async with checked_engine(small(policy=policy)) as (engine, executor):
            sequence = engine.submit([1] * 5, SamplingParams(max_tokens=60))
            stream = engine.tokens(sequence)
            await anext(stream)
            engine.stop(sequence)
            engine.cancel(sequence)
            await asyncio.sleep(0.3)
            assert executor.released == [sequence.id]
            assert engine.stats.finished == {"stop": 1, "length": 0, "cancelled": 0, "error": 0}
            assert sum(engine.stats.e2e_latency_s.counts) == 1

    run_virtually(main)


def test_reader_that_leaves_cancels() -> None:
    """Closing the stream, or cancelling the task that reads it, ends the sequence."""

    async def main() -> None:
        async with checked_engine(small()) as (engine, _):
            first, second = (
                engine.submit([1] * 5, SamplingParams(max_tokens=60)) for _ in range(2)
            )
            stream = engine.tokens(first)
            await anext(stream)
            await stream.aclose()  # type: ignore[attr-defined]
            assert first.finish_reason == "cancelled"

            async def read() -> None:
                async for _token in engine.tokens(second):
                    pass

            task = asyncio.create_task(read())
            await asyncio.sleep(0.1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert second.finish_reason == "cancelled"

    run_virtually(main)


@pytest.mark.parametrize(
    ("prompt", "error", "words"),
    [
        ([], EngineError, "empty"),
        ([1] * 52, PromptTooLongError, "52 tokens.*52"),
        ([1] * 40, PromptTooLongError, "KV cache of 40 tokens"),
        ([1, 8192], EngineError, "0 and 8191"),
        ([-1], EngineError, "0 and 8191"),
    ],
)
def test_what_can_never_run_is_refused(
    prompt: list[int], error: type[EngineError], words: str
) -> None:
    """At submit, with words; what fits to the last block is let in and runs to its end."""

    async def main() -> None:
        config = small(num_blocks=10, max_model_len=52)
        async with checked_engine(config) as (engine, _):
            with pytest.raises(error, match=words):
                engine.submit(prompt, SamplingParams(max_tokens=12))
            assert len(await answer(engine, [1] * 29, SamplingParams(max_tokens=12))) == 12

    run_virtually(main)


def test_a_failed_step_ends_its_sequences_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The error is told to those concerned, logged and counted; the next ones run."""

    async def main() -> None:
        async with checked_engine(small(policy=Colocated())) as (engine, executor):
            executor.fails_at = frozenset({3})
            bystander = asyncio.create_task(answer(engine, [1] * 9, SamplingParams(max_tokens=20)))
            while len(executor.steps) < 2:  # past its prefill
                await asyncio.sleep(0.001)
            failed = engine.submit([2] * 9, SamplingParams(max_tokens=3))
            assert [token async for token in engine.tokens(failed)] == []
            assert (failed.finish_reason, failed.error) == ("error", "RuntimeError: planted")
            assert len(await bystander) == 20
            assert len(await answer(engine, [3], SamplingParams(max_tokens=3))) == 3
            assert engine.stats.finished["error"] == 1
            assert engine.is_healthy

    run_virtually(main)
    assert "planted" in caplog.text


def test_a_broken_invariant_is_told_to_all(caplog: pytest.LogCaptureFixture) -> None:
    """A worker that dies fails what it held; the engine takes nothing more and reports it."""

    async def main() -> None:
        async with Engine.open(small(executor=Roofline())) as engine:
            (worker,) = engine.workers
            worker.pool.reuse = lambda sequence: 4  # type: ignore[method-assign]
            sequence = engine.submit([1], SamplingParams(max_tokens=1))
            assert [token async for token in engine.tokens(sequence)] == []
            assert sequence.finish_reason == "error"
            assert not engine.is_healthy
            with pytest.raises(EngineError, match="a worker died"):
                engine.submit([1], SamplingParams(max_tokens=1))

    with pytest.raises(AssertionError, match="skipped tokens"):
        run_virtually(main)
    assert "a worker died" in caplog.text


def test_closing_ends_what_runs() -> None:
    """Readers left behind by a closed engine get an end, later submits a refusal."""

    async def main() -> Sequence:
        async with Engine.open(small()) as engine:
            sequence = engine.submit([1], SamplingParams(max_tokens=100))
            reader = asyncio.create_task(anext(aiter(engine.tokens(sequence))))
            await reader
        with pytest.raises(EngineError, match="closed"):
            engine.submit([1], SamplingParams(max_tokens=1))
        return sequence

    assert run_virtually(main).finish_reason == "cancelled"


def test_stamps_and_histograms_agree() -> None:
    """queue + prefill + decode = end to end, for each sequence and in the sums."""

    async def main() -> None:
        async with checked_engine(small(max_sequences=2)) as (engine, _):
            sequences = [engine.submit([i] * 9, SamplingParams(max_tokens=5)) for i in range(6)]
            for sequence in sequences:
                assert len([token async for token in engine.tokens(sequence)]) == 5
            stats = engine.stats
            parts = stats.queue_time_s.sum + stats.prefill_time_s.sum + stats.decode_time_s.sum
            assert parts == pytest.approx(stats.e2e_latency_s.sum)
            first_tokens_s = stats.queue_time_s.sum + stats.prefill_time_s.sum
            assert first_tokens_s == pytest.approx(stats.time_to_first_token_s.sum)
            assert sequences[-1].stamps_s["prefilling"] > sequences[0].stamps_s["finished"]

    run_virtually(main)


async def poisson_waits(rate_per_s: float, count: int) -> tuple[list[float], list[float], float]:
    """Arrivals, waits and the one service time of a server that takes one sequence at a time."""
    rng = random.Random(5)
    config = EngineConfig(executor=Roofline(device="cpu"), max_sequences=1, prefix_caching=False)
    async with Engine.open(config) as engine:
        sequences = []
        for _ in range(count):
            await asyncio.sleep(rng.expovariate(rate_per_s))
            sequences.append(engine.submit([1] * 50, SamplingParams(max_tokens=1)))
        await asyncio.sleep(100)
    stamps = [sequence.stamps_s for sequence in sequences]
    services_s = [one["finished"] - one["prefilling"] for one in stamps]
    assert max(services_s) - min(services_s) < 1e-9
    waits_s = [one["prefilling"] - one["waiting"] for one in stamps]
    return [one["waiting"] for one in stamps], waits_s, services_s[0]


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_queue_is_m_d_1(load: float) -> None:
    """One sequence at a time with service S and Poisson arrivals at load r waits r S / (2 (1 - r))
    on average (Pollaczek-Khinchine), and each exactly as Lindley's recursion says:
    wait' = max(0, wait + S - gap).
    """
    _, _, service_s = run_virtually(lambda: poisson_waits(1.0, 1))
    arrivals_s, waits_s, _ = run_virtually(lambda: poisson_waits(load / service_s, 8000))
    expected_s = 0.0
    for index, wait_s in enumerate(waits_s):
        if index:
            gap_s = arrivals_s[index] - arrivals_s[index - 1]
            expected_s = max(0.0, expected_s + service_s - gap_s)
        assert wait_s == pytest.approx(expected_s, abs=1e-7)
    formula_s = load * service_s / (2 * (1 - load))
    assert fmean(waits_s) == pytest.approx(formula_s, rel=0.06)


def test_a_simulation_repeats_bit_by_bit() -> None:
    """The same load gives the same times and tokens, to the last bit."""

    async def main() -> list[tuple[tuple[float, ...], list[int]]]:
        rng = random.Random(3)
        async with Engine.open(small(executor=Roofline(device="l4"), num_blocks=40)) as engine:
            sequences = []
            for _ in range(50):
                await asyncio.sleep(rng.expovariate(2000))
                prompt = [rng.randrange(8) for _ in range(rng.randrange(1, 60))]
                sequences.append(engine.submit(prompt, SamplingParams(max_tokens=20)))
            await asyncio.sleep(10)
            assert engine.stats.preemptions > 0
            return [(tuple(one.stamps_s.values()), one.output_ids) for one in sequences]

    assert run_virtually(main) == run_virtually(main)


@pytest.mark.parametrize("policy", ONE_WORKER[:3])  # `deadline` has an order of its own
def test_the_urgent_go_first(policy: Policy) -> None:
    """Lower numbers first, and among equals the oldest; the batch is not emptied for them."""

    async def main() -> None:
        async with checked_engine(small(policy=policy, max_sequences=1)) as (engine, _):
            ranks = [0, 5, 1, 5, -3, 1]
            sequences = [
                engine.submit([i] * 5, SamplingParams(max_tokens=3, priority=rank))
                for i, rank in enumerate(ranks)
            ]
            await asyncio.sleep(5)
            assert all(one.is_finished for one in sequences)
            begun = sorted(sequences, key=lambda one: one.stamps_s["prefilling"])
            assert [one.id for one in begun] == [4, 0, 2, 5, 1, 3]

    run_virtually(main)


def test_the_least_urgent_gives_way() -> None:
    """When blocks run out, not the youngest but the one that matters least is preempted."""

    async def main() -> None:
        async with checked_engine(small(num_blocks=12, max_model_len=48)) as (engine, _):
            ranks = [9, 0, 0]
            sequences = [
                engine.submit([i] * 5, SamplingParams(max_tokens=30, priority=rank))
                for i, rank in enumerate(ranks)
            ]
            await asyncio.sleep(60)
            assert all(len(one.output_ids) == 30 for one in sequences)
            assert sequences[0].num_preemptions > 0
            assert sequences[1].num_preemptions == 0

    run_virtually(main)


def test_a_full_queue_refuses() -> None:
    """As many as the batch seats and the queue holds are let in; afterwards there is room again."""

    async def main() -> None:
        async with checked_engine(small(max_sequences=2, max_queue=3)) as (engine, _):
            params = SamplingParams(max_tokens=9)
            taken = [engine.submit([i] * 5, params) for i in range(5)]
            with pytest.raises(QueueFullError, match="waiting already"):
                engine.submit([9] * 5, params)
            await asyncio.sleep(5)
            assert all(one.is_finished for one in taken)
            assert len(await answer(engine, [9] * 5, params)) == 9

    run_virtually(main)


class Lost:
    """A guide that knows the way for two tokens."""

    is_complete = False

    def __init__(self) -> None:
        self._left = 2

    def allowed(self) -> None:
        return None

    def advance(self, token: int) -> None:
        self._left -= 1
        if not self._left:
            raise GuideError("the grammar is too much")


def test_an_answer_whose_guide_is_lost_ends_alone() -> None:
    """With the guide's words; who is in the same batch goes on, and so does the worker."""

    async def main() -> None:
        async with checked_engine(small()) as (engine, _):
            params = SamplingParams(max_tokens=9)
            guided, free = engine.submit([1] * 5, params, Lost()), engine.submit([2] * 5, params)
            await asyncio.sleep(5)
            assert (guided.finish_reason, guided.error) == ("error", "the grammar is too much")
            assert (free.finish_reason, len(free.output_ids)) == ("length", 9)
            assert len(await answer(engine, [9] * 5, params)) == 9

    run_virtually(main)
