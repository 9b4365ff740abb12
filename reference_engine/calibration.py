"""Fit the roofline's free numbers to steps of the torch executor, and see how far it is off.

A step's predicted time is max(FLOPs / (f peak), bytes / (g bandwidth)) + a + b sequences, with one
a for steps that prefill and one for those that only decode: on a GPU the former take a pass of
their own beside the decodes'. Given which side of the max each step is on, 1/f, 1/g, both a
and b are linear: relative errors are squared and minimised, sides are told anew, until they stay.
"""

import asyncio
import time
from collections.abc import Sequence as Seq
from statistics import fmean
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from reference_engine.blocks import BlockPool, blocks_needed
from reference_engine.config import EngineConfig
from reference_engine.engine import Engine
from reference_engine.executors import Roofline
from reference_engine.executors.base import StepExecutor
from reference_engine.executors.costs import step_cost
from reference_engine.executors.roofline import step_overhead_s
from reference_engine.sequence import Phase, SamplingParams, Sequence
from reference_engine.specs import ModelShape
from reference_engine.step import DecodeWork, PrefillWork, Step
from reference_engine.virtual_time import VirtualTimeLoop

_REPEATS: Final = 5
_RUNS: Final = 2 + _REPEATS  # the first two warm up
_ROUNDS: Final = 30


class Kind(NamedTuple):
    """One step to be timed: a prompt of `prefill` tokens beside `batch` decodes at `context`."""

    prefill: int
    batch: int
    context: int

    @property
    def num_sequences(self) -> int:
        return self.batch + (self.prefill > 0)


class Timed(NamedTuple):
    """A step, what it costs, and how long it took."""

    kind: Kind
    flops: float
    bytes: float
    measured_s: float  # the shortest of several: the one that neighbours disturbed least


class Replayed(NamedTuple):
    """What a client would have seen of a small workload."""

    ttft_s: float  # mean
    tpot_s: float  # mean
    tokens_per_s: float


def grid(config: EngineConfig) -> list[Kind]:
    """Prefills, decodes and mixed steps within what `config` holds."""
    capacity = config.capacity()
    longest = capacity.max_model_len - 1
    prefills = [n for n in (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192) if n <= longest]
    contexts = [c for c in (64, 512, 2048) if c + _RUNS <= longest]
    batches = [b for b in (1, 2, 4, 8, 16, 32, 64, 128, 256) if b < capacity.max_sequences]
    kinds = [Kind(n, 0, 0) for n in prefills]
    kinds += [Kind(0, batch, context) for context in contexts for batch in batches]
    kinds += [Kind(n, batches[-1], contexts[0]) for n in prefills[1:5:2]]
    room = capacity.num_blocks

    def blocks(kind: Kind) -> int:
        each = blocks_needed(kind.context + 2 + _RUNS, capacity.block_size)
        return kind.batch * each + blocks_needed(kind.prefill, capacity.block_size)

    return [kind for kind in kinds if blocks(kind) <= room]


async def measure(config: EngineConfig, kinds: Seq[Kind]) -> list[Timed]:
    """Time each kind of step on the executor of `config`. Raises ConfigError."""
    shape, capacity = config.source.shape(), config.capacity()
    executor = config.executor.build(config.source, capacity)
    try:
        timed = []
        for number, kind in enumerate(kinds):
            pool = BlockPool(capacity.num_blocks, capacity.block_size, caching=False)
            timed.append(await _time(executor, kind, shape, pool, 1000 * number))
        return timed
    finally:
        executor.close()


async def _time(
    executor: StepExecutor, kind: Kind, shape: ModelShape, pool: BlockPool, first_id: int
) -> Timed:
    """A prefill is run again and again: it writes the same KV to the same places. Decodes go on
    from run to run, as an executor that looks ahead expects of them.
    """
    ids = np.random.default_rng(0).integers(1, shape.vocab_size, kind.prefill + kind.context + 1)
    params = SamplingParams(max_tokens=2 * _RUNS, temperature=0.0, ignore_eos=True)
    sequences = []
    for number in range(kind.batch):
        one = Sequence(first_id + number, ids[: kind.context + 1].tolist(), params)
        one.phase, one.num_computed_tokens = Phase.DECODING, kind.context
        sequences.append(one)
    decode = tuple(map(DecodeWork, sequences))
    prefill: tuple[PrefillWork, ...] = ()
    if kind.prefill:
        one = Sequence(first_id + kind.batch, ids[: kind.prefill].tolist(), params)
        sequences.append(one)
        prefill = (PrefillWork(one, 0, kind.prefill, range(shape.num_layers)),)
    for one in sequences:
        pool.extend(one, one.num_tokens + (1 + _RUNS) * (one.phase is Phase.DECODING))
    step = Step(prefill=prefill, decode=decode)
    cost = step_cost(step, shape)
    times_s = []
    for _ in range(_RUNS):
        begun_s = time.perf_counter()
        output = await executor.execute(step)
        times_s.append(time.perf_counter() - begun_s)
        for one in [work.sequence for work in decode]:
            one.num_computed_tokens += 1
            one.output_ids.append(output.tokens[one.id])
    for one in sequences:
        executor.release(one)
    return Timed(kind, cost.flops, cost.bytes, min(times_s[2:]))


def fit(timed: Seq[Timed], device: Roofline) -> Roofline:
    """`device` with the efficiencies and overheads that explain `timed` best.

    What no step tells of stays as it was: an efficiency on whose side none is, an overhead of steps
    that there are none of. An efficiency above 1, where the device is better than its numbers, is
    given as 1.
    """
    at_peak = np.array([one.flops for one in timed]) / device.device_spec.peak_flops_per_s
    at_bandwidth = np.array([one.bytes for one in timed]) / device.device_spec.bytes_per_s
    num_sequences = np.array([one.kind.num_sequences for one in timed], float)
    measured = np.array([one.measured_s for one in timed])
    inverse = np.array([2.0, 2.0])  # of the efficiencies; where to begin
    prefills = np.array([one.kind.prefill > 0 for one in timed])
    mixed = prefills & np.array([one.kind.batch > 0 for one in timed])
    overheads = np.zeros(3)  # of a step that decodes, of one that prefills, of a sequence
    for _ in range(_ROUNDS):
        by_flops = at_peak * inverse[0] >= at_bandwidth * inverse[1]
        by_prefill = prefills & (~mixed | bool(overheads[1] >= overheads[0]))
        columns = np.column_stack(
            [
                np.where(by_flops, at_peak, 0.0),
                np.where(by_flops, 0.0, at_bandwidth),
                np.where(by_prefill, 0.0, 1.0),
                np.where(by_prefill, 1.0, 0.0),
                num_sequences,
            ]
        )
        found = _least_squares(columns / measured[:, None], np.ones_like(measured))
        is_known = np.array([by_flops.any(), (~by_flops).any()])
        before = inverse.copy()
        inverse = np.where(is_known & (found[:2] > 0), np.maximum(found[:2], 1.0), inverse)
        overheads = found[2:]
        if np.allclose(before, inverse, rtol=1e-9):
            break
    return msgspec.structs.replace(
        device,
        flops_efficiency=float(1 / inverse[0]),
        bandwidth_efficiency=float(1 / inverse[1]),
        overhead_s=float(overheads[0]) if (~prefills).any() else device.overhead_s,
        prefill_overhead_s=float(overheads[1]) if prefills.any() else device.prefill_overhead_s,
        overhead_per_sequence_s=float(overheads[2]),
    )


def _least_squares(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Minimise |a x - b| with x >= 0: of all sets of columns the best whose solution is >= 0."""
    best, best_error = np.zeros(a.shape[1]), float(b @ b)
    for chosen in range(1, 2 ** a.shape[1]):
        columns = [column for column in range(a.shape[1]) if chosen >> column & 1]
        found = np.linalg.lstsq(a[:, columns], b, rcond=None)[0]
        error = float(((a[:, columns] @ found - b) ** 2).sum())
        if (found >= 0).all() and error < best_error:
            best, best_error = np.zeros(a.shape[1]), error
            best[columns] = found
    return best


def predicted_s(one: Timed, roofline: Roofline) -> float:
    """How long the roofline says that the step takes."""
    device = roofline.reached
    seconds = max(one.flops / device.peak_flops_per_s, one.bytes / device.bytes_per_s)
    overhead_s = roofline.overhead_s
    if one.kind.prefill:
        overhead_s = step_overhead_s(
            overhead_s, roofline.prefill_overhead_s, decodes=one.kind.batch > 0
        )
    return seconds + overhead_s + roofline.overhead_per_sequence_s * one.kind.num_sequences


class Asked(NamedTuple):
    """One request of the replay."""

    at_s: float
    prompt_ids: list[int]
    output_tokens: int


def workload(config: EngineConfig, request_s: float, num_requests: int = 24) -> list[Asked]:
    """Requests that overlap by about four, when each takes `request_s` alone."""
    rng = np.random.default_rng(1)
    longest = min(1024, config.capacity().max_model_len // 2)
    at_s = np.cumsum(rng.exponential(request_s / 4, num_requests))
    vocabulary = config.source.shape().vocab_size
    return [
        Asked(
            float(start_s),
            rng.integers(1, vocabulary, rng.integers(longest // 8, longest)).tolist(),
            int(rng.integers(16, 65)),
        )
        for start_s in at_s
    ]


async def replay(config: EngineConfig, asked: Seq[Asked]) -> Replayed:
    """Send `asked` to an engine of its own, on this loop's clock."""
    loop = asyncio.get_running_loop()
    async with Engine.open(config) as engine:
        begun_s = loop.time()

        async def one(request: Asked) -> Sequence:
            await asyncio.sleep(begun_s + request.at_s - loop.time())
            params = SamplingParams(
                max_tokens=request.output_tokens, temperature=0.0, ignore_eos=True
            )
            sequence = engine.submit(request.prompt_ids, params)
            async for _ in engine.tokens(sequence):
                pass
            return sequence

        done = await asyncio.gather(*map(one, asked))
    first_s = [one.stamps_s[Phase.DECODING] for one in done]
    return Replayed(
        fmean(first - one.arrived_s for first, one in zip(first_s, done, strict=True)),
        fmean(
            (one.last_token_s - first) / (len(one.output_ids) - 1)
            for first, one in zip(first_s, done, strict=True)
        ),
        sum(len(one.output_ids) for one in done)
        / (max(one.last_token_s for one in done) - done[0].arrived_s),
    )


def replay_virtually(config: EngineConfig, asked: Seq[Asked]) -> Replayed:
    """The same on virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(replay(config, asked))


def alone_s(config: EngineConfig) -> float:
    """How long the roofline of `config` takes for one request of the workload's middle length."""
    length = min(1024, config.capacity().max_model_len // 2) // 2
    found = replay_virtually(config, [Asked(0.0, [1] * length, 40)])
    return found.ttft_s + 39 * found.tpot_s
