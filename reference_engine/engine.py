"""Engine: prompts in, streams of token ids out. Owns the workers and says who gets which sequence.

Knows nothing of text or HTTP.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Final

from reference_engine.blocks import blocks_needed
from reference_engine.config import EngineConfig
from reference_engine.emit_log import EmitLog
from reference_engine.executors.base import StepExecutor
from reference_engine.media import Placed
from reference_engine.policies.base import WorkerView
from reference_engine.sequence import FinishReason, Guide, Phase, SamplingParams, Sequence
from reference_engine.specs import EngineError
from reference_engine.stats import Gauges, Stats
from reference_engine.step import EncodeWork
from reference_engine.waking import Waker
from reference_engine.worker import Worker

_LOG: Final = logging.getLogger(__name__)


class PromptTooLongError(EngineError):
    """The prompt, or prompt and answer together, can never fit."""


class QueueFullError(EngineError):
    """As many sequences wait as may; `retry_s` is about when one of them will not."""

    def __init__(self, num_waiting: int, retry_s: float) -> None:
        super().__init__(f"{num_waiting} requests are waiting already; try again later")
        self.retry_s = retry_s


class Engine:
    """Made by `async with Engine.open(config) as engine`; lives on the loop that opened it."""

    def __init__(
        self,
        config: EngineConfig,
        executors: tuple[StepExecutor, ...],
        emit_log: EmitLog | None = None,
    ) -> None:
        """One executor for each of the policy's workers."""
        self._emit_log = emit_log
        self.config = config
        self.stats = Stats()
        self.capacity = config.capacity()
        self.shape = config.source.shape()
        swap_blocks = config.swap_space(self.capacity)
        self.workers = tuple(
            Worker(
                role,
                config.policy,
                executor,
                self.capacity,
                num_layers=self.shape.num_layers,
                stats=self.stats,
                prefix_caching=config.prefix_caching,
                prefix_cache_blocks=config.prefix_cache_blocks,
                prefix_cache_ttl_s=config.prefix_cache_ttl_s,
                swap_blocks=swap_blocks,
                emit_log=emit_log,
                encoder_cache_tokens=config.encoder_cache_tokens,
                send_on=self._send_on,
            )
            for role, executor in zip(config.policy.workers(), executors, strict=True)
        )
        self._has_logits = all(executor.has_logits for executor in executors)
        self._loop = asyncio.get_running_loop()
        self._waker = Waker(self._loop)
        self._ids = count()
        self._closed: str | None = None  # why nothing is taken any more

    @classmethod
    @asynccontextmanager
    async def open(
        cls, config: EngineConfig, emit_log: EmitLog | None = None
    ) -> AsyncIterator["Engine"]:
        """Load the model and run until the block is left. Raises ConfigError."""
        capacity = config.capacity()
        executors = tuple(
            config.executor.build(config.source, capacity, number)
            for number in range(len(config.policy.workers()))
        )
        try:
            engine = cls(config, executors, emit_log)
            tasks = [asyncio.create_task(worker.run()) for worker in engine.workers]
            for task in tasks:
                task.add_done_callback(engine._on_worker_end)
            try:
                yield engine
            finally:
                engine._close("the engine is closed", "cancelled")
                for task in tasks:
                    task.cancel()
                ends = await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            for executor in executors:
                executor.close()
        for end in ends:
            if isinstance(end, Exception):
                raise end

    def submit(
        self,
        prompt_ids: list[int],
        params: SamplingParams,
        guide: Guide | None = None,
        name: str | None = None,
        media: tuple[Placed, ...] = (),
    ) -> Sequence:
        """Queue a prompt; read its answer with `tokens`. `guide` says what may be in it, `name` is
        how a log calls it; `media` stand where the prompt has their tokens.

        Raises PromptTooLongError if it can never fit, QueueFullError if too many wait, EngineError
        if it cannot be run.
        """
        if self._closed is not None:
            raise EngineError(self._closed)
        sequence = Sequence(
            next(self._ids),
            prompt_ids,
            params,
            now_s=self._loop.time(),
            max_model_len=self.capacity.max_model_len,
            guide=guide,
            media=media,
        )
        sequence.name = name
        sequence.wake = self._waker.wake
        self._refuse_misfit(sequence)
        self._refuse_crowd()
        if self._emit_log is not None:
            sequence.on_phase = self._emit_log.phase
            self._emit_log.phase(sequence, sequence.phase, sequence.arrived_s)
        self._queue(sequence)
        return sequence

    def _queue(self, sequence: Sequence) -> None:
        """To the worker whose turn it is, and its media to those that read them."""
        if sequence.needs_encoder:
            sequence.readers = self._readers(sequence)
            for number, reader in enumerate(sequence.readers):
                self.workers[reader].read(EncodeWork(sequence, number))
            self.workers[sequence.readers[0]].add(sequence)
        else:
            self.workers[self._next(sequence)].add(sequence)

    def _readers(self, sequence: Sequence) -> tuple[int, ...]:
        """Of each of its media the worker; it waits with the first."""
        readers: tuple[int, ...] = ()
        if len(self.workers) > 1:
            readers = self.config.policy.readers(sequence, self._views())
        return readers or (self._next(sequence),) * len(sequence.media)

    def _next(self, sequence: Sequence) -> int:
        if len(self.workers) == 1:
            return 0
        return self.config.policy.route(sequence, self._views())

    def _views(self) -> tuple[WorkerView, ...]:
        return tuple(worker.view() for worker in self.workers)

    def _send_on(self, source: Worker, sequence: Sequence, kv: Any) -> None:
        """Its phase at `source` is over: hand it over with what was made of it there. One that
        failed there is forgotten everywhere.
        """
        if sequence.finish_reason is not None:
            for worker in self.workers:
                worker.drop(sequence)
        elif sequence.block_table:
            self.workers[self._next(sequence)].arrivals.expect(sequence, source, kv)
        elif sequence.phase is Phase.TRANSFERRING:
            readers = [self.workers[reader] for reader in sequence.readers]
            readers[0].waiting.remove(sequence)
            self.workers[self._next(sequence)].arrivals.read(sequence, readers)
        else:
            self._queue(sequence)

    async def tokens(self, sequence: Sequence) -> AsyncIterator[int]:
        """Ids as they are sampled; afterwards `finish_reason` is set. For one reader.

        A reader that leaves early (break and aclose, or its task cancelled) cancels the sequence.
        """
        self._catch_up(is_watched=True)
        outputs = sequence.output_ids
        position = 0
        try:
            while True:
                while position < len(outputs):
                    yield outputs[position]
                    position += 1
                if sequence.finish_reason is not None:
                    return
                sequence.waiter = self._loop.create_future()
                await sequence.waiter
        finally:
            self.cancel(sequence)

    def cancel(self, sequence: Sequence) -> None:
        """End it now; its blocks are free at the next step boundary. No effect once finished."""
        self._end(sequence, "cancelled")

    def stop(self, sequence: Sequence) -> None:
        """As `cancel`, for an answer whose text is complete: it is counted as stopped."""
        self._end(sequence, "stop")

    def fail(self, sequence: Sequence, error: str) -> None:
        """As `cancel`, for one that is given up: `error` says why."""
        self._end(sequence, "error", error)

    def _end(self, sequence: Sequence, reason: FinishReason, error: str | None = None) -> None:
        if sequence.finish_reason is None:
            self._catch_up()
            sequence.finish(reason, self._loop.time(), error)
            for worker in self.workers:
                worker.drop(sequence)

    def _catch_up(self, *, is_watched: bool = False) -> None:
        for worker in self.workers:
            worker.runs.catch_up(is_watched=is_watched)

    def refuse(self, why: str) -> None:
        """Take no new sequences; those that are here go on."""
        self._closed = self._closed or why

    def abort(self, why: str) -> None:
        """Take no new sequences and fail all that are here."""
        self.refuse(why)
        for worker in self.workers:
            for sequence in worker.sequences():
                self.fail(sequence, why)

    def metrics(self) -> str:
        """The text of /metrics."""
        self._catch_up()
        workers = self.workers
        gauges = Gauges(
            running=sum(len(worker.running) for worker in workers),
            waiting=sum(len(worker.waiting) for worker in workers),
            kv_usage=sum(worker.pool.usage for worker in workers) / len(workers),
            swapped=sum(len(worker.swap.queue) for worker in workers),
            swap_usage=sum(worker.swap.usage for worker in workers) / len(workers),
        )
        return self.stats.text(gauges, self.config.served_name)

    @property
    def is_healthy(self) -> bool:
        """Whether new sequences are taken."""
        return self._closed is None

    def _refuse_misfit(self, sequence: Sequence) -> None:
        """A sequence that is let in can always run to its end, if need be alone."""
        limit, prompt = self.capacity.max_model_len, sequence.num_prompt_tokens
        if not prompt:
            raise EngineError("the prompt is empty")
        if prompt + 1 > limit:
            raise PromptTooLongError(
                f"the prompt has {prompt} tokens; with one output token that is more than this "
                f"model's {limit}"
            )
        if blocks_needed(sequence.max_kv_tokens, self.capacity.block_size) > (
            self.capacity.num_blocks
        ):
            raise PromptTooLongError(
                f"{prompt} prompt tokens and {sequence.token_limit} output tokens do not fit the "
                f"KV cache of {self.capacity.num_blocks * self.capacity.block_size} tokens"
            )
        if sequence.params.logprobs is not None and not self._has_logits:
            raise EngineError("log-probabilities need an executor that computes: torch")
        if sequence.params.embed and not self._has_logits:
            raise EngineError("embeddings need an executor that computes: torch")
        if min(sequence.prompt_ids) < 0 or max(sequence.prompt_ids) >= self.shape.vocab_size:
            raise EngineError(f"token ids must lie between 0 and {self.shape.vocab_size - 1}")

    def _refuse_crowd(self) -> None:
        """Admission control: nobody is let in whom neither batch nor queue has a place for."""
        if self.config.max_queue is None:
            return
        waiting = sum(len(worker.waiting) for worker in self.workers)
        most = self.capacity.max_sequences
        seats = sum(max(0, most - len(worker.running)) for worker in self.workers)
        if waiting >= self.config.max_queue + seats:
            queued = self.stats.queue_time_s
            mean_s = queued.sum / max(1, sum(queued.counts))
            raise QueueFullError(waiting, mean_s)

    def _on_worker_end(self, task: asyncio.Task[None]) -> None:
        """A worker ends only when closed; anything else is a broken invariant, told to all."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _LOG.critical("a worker died", exc_info=error)
            self._close(f"a worker died: {error!r}", "error")

    def _close(self, why: str, reason: FinishReason) -> None:
        self._closed = self._closed or why
        now_s = self._loop.time()
        self._catch_up()
        for worker in self.workers:
            for sequence in worker.sequences():
                if sequence.finish_reason is None:
                    sequence.finish(reason, now_s, why if reason == "error" else None)
