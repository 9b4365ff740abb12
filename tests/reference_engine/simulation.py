"""Engines on virtual time, with a pool that is checked before every step."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from reference_engine.config import EngineConfig
from reference_engine.engine import Engine
from reference_engine.executors import Roofline
from reference_engine.executors.roofline import RooflineExecutor
from reference_engine.sequence import SamplingParams
from reference_engine.specs import DeviceSpec
from reference_engine.step import Step, StepOutput
from reference_engine.virtual_time import VirtualTimeLoop
from reference_engine.worker import Worker

Result = TypeVar("Result")

SLOW = DeviceSpec(peak_flops_per_s=1e9, bytes_per_s=1e9, memory_bytes=1e9, host_bytes_per_s=1e7)


def run_virtually(main: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Run `main()` on a fresh virtual-time loop."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main())


class CheckedExecutor(RooflineExecutor):
    """A roofline that keeps its steps and holds the engine to its promises before each."""

    engine: Engine
    worker: Worker
    fails_at: frozenset[int] = frozenset()

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(
            config.source.shape(),
            SLOW,
            overhead_s=0.001,
            block_size=config.block_size,
            link_bytes_per_s=1e7,
        )
        self.steps: list[Step] = []
        self.released: list[int] = []
        self.broken: AssertionError | None = None
        self.seated: set[int] = set()  # ids it would hold memory for

    async def execute(self, step: Step) -> StepOutput:
        try:
            self._check(step)
        except AssertionError as error:  # the engine would take it for a failed device
            self.broken = self.broken or error
        self.steps.append(step)
        if len(self.steps) in self.fails_at:
            raise RuntimeError("planted")
        return await super().execute(step)

    def _check(self, step: Step) -> None:
        check_pools(self.engine)
        worker = self.worker
        assert len(worker.running) <= worker.capacity.max_sequences
        for work in step.prefill:
            held = len(work.sequence.block_table) * worker.pool.block_size
            assert work.start + work.length <= held
            assert work.start == work.sequence.num_computed_tokens
            assert work.layers.start == work.sequence.num_layers_done < work.layers.stop
        for decode in step.decode:
            held = len(decode.sequence.block_table) * worker.pool.block_size
            assert decode.sequence.num_computed_tokens == decode.sequence.num_tokens - 1 < held
        self.seated |= {work.sequence.id for work in (*step.prefill, *step.decode)}
        assert self.seated <= {one.id for one in worker.running}
        for one in worker.waiting:
            assert (one.block_table, one.num_computed_tokens) == ([], 0)
        queue = [(one.params.priority, one.id) for one in worker.waiting]
        assert queue == sorted(queue)  # preempted ones keep their place
        swapped = [(one.params.priority, one.id) for one in worker.swap.queue]
        assert swapped == sorted(swapped)
        assert not any(one.block_table for one in worker.swap.queue)

    def release(self, sequence: Any) -> None:
        self.released.append(sequence.id)
        self.seated.discard(sequence.id)


def check_pools(engine: Engine) -> None:
    """No block of any worker is lost or held twice."""
    for worker in engine.workers:
        worker.pool.check([*worker.running, *worker.lent])
        worker.swap.check()


@asynccontextmanager
async def checked_engine(config: EngineConfig) -> AsyncIterator[tuple[Engine, CheckedExecutor]]:
    """An open engine over a CheckedExecutor, of a policy with one worker."""
    async with checked_engines(config) as (engine, (executor,)):
        yield engine, executor


@asynccontextmanager
async def checked_engines(
    config: EngineConfig,
) -> AsyncIterator[tuple[Engine, tuple[CheckedExecutor, ...]]]:
    """An open engine, a CheckedExecutor to each worker; the pools must be empty and whole in the
    end.
    """
    executors = tuple(CheckedExecutor(config) for _ in config.policy.workers())
    engine = Engine(config, executors)
    for executor, worker in zip(executors, engine.workers, strict=True):
        executor.engine, executor.worker = engine, worker
    tasks = [asyncio.create_task(worker.run()) for worker in engine.workers]
    try:
        yield engine, executors
    finally:
        for executor in executors:
            if executor.broken is not None:
                raise executor.broken
    await asyncio.sleep(60)  # whatever was cancelled last is let go at a step boundary
    for task in tasks:
        assert not task.done(), task
        task.cancel()
    check_pools(engine)
    for executor, worker in zip(executors, engine.workers, strict=True):
        assert not worker.sequences()
        assert not worker.lent
        assert not worker.reading.queue
        assert not worker.reading.held
        assert not executor.seated
        assert worker.pool.free_blocks == worker.pool.num_blocks
        assert worker.swap.free_blocks == worker.swap.num_blocks


async def answer(engine: Engine, prompt_ids: list[int], params: SamplingParams) -> list[int]:
    """All ids of one answer."""
    return [token async for token in engine.tokens(engine.submit(prompt_ids, params))]


def small(**changes: Any) -> EngineConfig:
    """A tiny model on a roofline, 4 tokens to a block."""
    defaults: dict[str, Any] = {
        "executor": Roofline(device=SLOW),
        "block_size": 4,
        "num_blocks": 64,
        "max_sequences": 8,
        "max_model_len": 128,
    }
    return EngineConfig(**defaults | changes)
