"""One worker: plan, execute, commit; again. Owns an executor and the blocks that it computes in.

Only `_prepare` (before a step), `commit` (after it) and `_remove` change sequences and blocks.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from reference_engine.arrivals import Arrivals, insert
from reference_engine.blocks import BlockPool, HeldBlocks, blocks_needed
from reference_engine.decode_runs import DecodeRuns
from reference_engine.emit_log import EmitLog
from reference_engine.executors.base import StepExecutor
from reference_engine.policies.base import Role, SchedulingPolicy, WorkerView
from reference_engine.policies.swapping import plan
from reference_engine.reading import Reading
from reference_engine.sequence import Phase, Sequence
from reference_engine.specs import Capacity
from reference_engine.stats import Stats
from reference_engine.step import EncodeWork, Step, StepOutput
from reference_engine.swap import SwapSpace

_LOG: Final = logging.getLogger(__name__)
_QUEUED: Final = (Phase.WAITING, Phase.ENCODING)


class Worker:
    """Runs the sequences it is given until closed."""

    def __init__(
        self,
        role: Role,
        policy: SchedulingPolicy,
        executor: StepExecutor,
        capacity: Capacity,
        *,
        num_layers: int,
        stats: Stats,
        prefix_caching: bool = True,
        prefix_cache_blocks: int | None = None,
        prefix_cache_ttl_s: float | None = None,
        swap_blocks: int = 0,
        emit_log: EmitLog | None = None,
        encoder_cache_tokens: int = 0,
        send_on: Callable[["Worker", Sequence, Any], None] | None = None,
    ) -> None:
        """`send_on(worker, sequence, kv)` finds the next worker of one whose phase here is over,
        and lets others know of one that failed; needed unless the role is ANY.
        """
        self.role = role
        self.executor = executor
        self.capacity = capacity
        self.pool = BlockPool(
            capacity.num_blocks,
            capacity.block_size,
            caching=prefix_caching,
            max_idle_blocks=prefix_cache_blocks,
            idle_s=prefix_cache_ttl_s,
        )
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self.arrivals = Arrivals(self)
        self.swap = SwapSpace(self, self.arrivals, swap_blocks, stats)
        self.lent: set[HeldBlocks] = set()  # of sequences that another worker is fetching
        self._send_on = send_on
        self._prefilled: list[Sequence] = []  # in the last step, and to go on elsewhere
        self._prefill_tokens = 0.0  # through all layers
        self._prefill_s = 0.0
        self._policy = policy
        self.reading = Reading(encoder_cache_tokens, stats)
        self._left: list[Sequence] = []  # gone from the queue; a step may still read their media
        self._num_layers = num_layers
        self._stats = stats
        self._emit_log = emit_log
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        foresight = executor.foresight if emit_log is None else None
        self.runs = DecodeRuns(foresight, self.pool, stats, self._wake)

    def add(self, sequence: Sequence) -> None:
        """Queue a new sequence, behind all that are as urgent."""
        insert(self.waiting, sequence)
        self._wake.set()

    def read(self, work: EncodeWork) -> None:
        """Queue a medium of a sequence that waits here or at another worker."""
        self.reading.add(work)
        self._wake.set()

    def take_in(self, sequence: Sequence) -> None:
        """Queue one whose media were encoded elsewhere; it may have ended on its way."""
        if sequence.finish_reason is None:
            sequence.enter(Phase.WAITING, self._loop.time())
            self.add(sequence)
        else:
            self._stats.count_finished(sequence)
            self._left.append(sequence)
            self._wake.set()

    def drop(self, sequence: Sequence) -> None:
        """Forget an ended sequence, if it is here: out of the queue now, out of the batch at
        the next step boundary, since its blocks may be in use until then.
        """
        is_queued, is_read = sequence in self.waiting, self.reading.drop(sequence)
        if is_queued:
            self.waiting.remove(sequence)
        if is_queued or self.swap.drop(sequence):
            self._stats.count_finished(sequence)
            self._left.append(sequence)
        elif is_read and sequence not in self.running:  # it waits at another worker
            self._left.append(sequence)
        self.arrivals.drop(sequence)
        self._wake.set()

    def wake(self) -> None:
        """Something has changed: let the policy look again."""
        self._wake.set()

    def sequences(self) -> tuple[Sequence, ...]:
        """All that are here, or on their way to here."""
        return (*self.waiting, *self.running, *self.swap.queue, *self.arrivals.sequences())

    def view(self) -> WorkerView:
        """What the policy sees: the live containers, to be looked at only."""
        self.runs.catch_up()
        return WorkerView(
            role=self.role,
            waiting=self.waiting,
            media=self.reading.queue,
            has_read=self.reading.has,
            running=self.running,
            arriving=self.arrivals.queue,
            free_blocks=self.pool.free_blocks,
            block_size=self.pool.block_size,
            max_sequences=self.capacity.max_sequences,
            num_layers=self._num_layers,
            now_s=self._loop.time(),
            prefill_tokens_per_s=(
                self._prefill_tokens / self._prefill_s if self._prefill_s else None
            ),
            lookup=self.pool.lookup,
            sole_blocks=self.pool.sole_blocks,
            swapped=self.swap.queue,
            free_swap_blocks=self.swap.free_blocks,
        )

    async def run(self) -> None:
        """Plan, execute, commit, until cancelled. Sleeps when there is nothing to run."""
        try:
            await self._run()
        finally:
            self.arrivals.close()

    async def _run(self) -> None:
        while True:
            self.pool.expire(self._loop.time())
            self._remove_finished()
            step = plan(self._policy, self.view())
            if step.is_empty:
                self._wake.clear()
                await self._wake.wait()
                continue
            step = self._prepare(step)
            for sequence in step.swap_out:
                if sequence.finish_reason is None:
                    await self.swap.put(sequence)
            if step.prefill or step.decode or step.encode:
                await self._carry_out(step)
                while self._goes_on(step):
                    step = self._prepare(step)
                    if not await self.runs.ride(step):
                        await self._carry_out(step)
            read = self.reading.end()
            if self.role is not Role.ANY:
                await self._send_on_all(read)

    def _goes_on(self, step: Step) -> bool:
        """Whether a policy must plan the same again (`SchedulingPolicy.plan`): all that are here
        decode, none has ended, nothing waits, and there are blocks for all. Plans cost as much as
        the rest of a step."""
        if len(step.decode) < len(self.running):
            return False
        if step.prefill or step.encode or step.preempt or step.receive or step.swap_in:
            return False
        if self.waiting or self.arrivals.queue or self.swap.queue or self._left:
            return False
        size, needed = self.pool.block_size, 0
        for sequence in [work.sequence for work in step.decode]:
            if sequence.finish_reason is not None:
                return False
            needed += sequence.num_computed_tokens == len(sequence.block_table) * size
        self.pool.expire(self._loop.time())
        return needed <= self.pool.free_blocks

    async def _carry_out(self, step: Step) -> None:
        """A failure is the end of the step's sequences, not of the worker."""
        begun_s = self._loop.time()
        try:
            output = await self.executor.execute(step)
        except Exception as error:  # noqa: BLE001 - whatever a device may throw, told to its clients
            _LOG.exception("a step failed; its sequences end with an error")
            self._fail(step, f"{type(error).__name__}: {error}")
        else:
            if step.prefill:
                self._prefill_s += self._loop.time() - begun_s
                self._prefill_tokens += (
                    sum([w.length * len(w.layers) for w in step.prefill]) / self._num_layers
                )
            self.commit(step, output)

    def _prepare(self, step: Step) -> Step:
        """Give the step's sequences the blocks that it will fill; what need not be encoded again
        is left out of it.
        """
        for sequence in step.preempt:
            self._preempt(sequence)
        admitted = [work for work in step.prefill if work.sequence.phase in _QUEUED]
        for work in admitted:  # all hits are held before anything is evicted for new blocks
            found = self.pool.reuse(work.sequence)
            assert found == work.start, "a policy skipped tokens that are not in the prefix cache"
        for sequence in step.receive:
            self.arrivals.receive(sequence)
        for sequence in step.swap_in:
            self.swap.bring_back(sequence)
        for work in admitted:
            self._admit(work.sequence, work.start)
        block_size = self.pool.block_size
        for sequence in [work.sequence for work in step.decode]:
            if sequence.num_computed_tokens == len(sequence.block_table) * block_size:
                self.pool.extend(sequence, sequence.num_computed_tokens + 1)
        if self.executor.looks_ahead:
            self._reserve_ahead(step)
        if not step.encode:
            return step
        return step._replace(encode=self.reading.begin(step.encode, self._loop.time()))

    def _reserve_ahead(self, step: Step) -> None:
        """A block for the token after the next, where that needs one and nobody will miss it."""
        block_size = self.pool.block_size
        for sequence in [work.sequence for work in step.decode]:
            tokens = min(sequence.num_computed_tokens + 2, sequence.max_kv_tokens)
            lacks = tokens > len(sequence.block_table) * block_size
            if lacks and self.pool.free_blocks > len(self.running):
                self.pool.extend(sequence, tokens)

    def _admit(self, sequence: Sequence, num_cached_tokens: int) -> None:
        self.waiting.remove(sequence)
        self.running.append(sequence)
        self.pool.extend(sequence, sequence.num_tokens)
        sequence.num_computed_tokens = num_cached_tokens
        if Phase.PREFILLING not in sequence.stamps_s:
            sequence.num_cached_tokens = num_cached_tokens
            self._stats.count_admission(sequence)
        sequence.enter(Phase.PREFILLING, self._loop.time())

    def _preempt(self, sequence: Sequence) -> None:
        """Back to its place in the queue, or of one that can; its tokens are computed again."""
        self.give_up(sequence)
        sequence.num_computed_tokens = 0
        sequence.num_layers_done = 0
        sequence.num_preemptions += 1
        sequence.enter(Phase.WAITING, self._loop.time())
        self._stats.preemptions += 1
        if self.role is Role.DECODE:
            self._pass_on(sequence)
        else:
            insert(self.waiting, sequence)

    def give_up(self, sequence: Sequence) -> None:
        """Out of the batch, and everything that it holds with it."""
        self.running.remove(sequence)
        self.pool.free(sequence)
        self.executor.release(sequence)

    def _pass_on(self, sequence: Sequence, kv: Any = None) -> None:
        assert self._send_on is not None, f"a {self.role} worker is not alone"
        self._send_on(self, sequence, kv)

    async def _send_on_all(self, read: Iterable[Sequence]) -> None:
        """Those whose phase here is over: prefilled, or `read` by a worker that does no more. Their
        KV is read before the next step overwrites it; their blocks stay until it has arrived, so a
        slow receiver holds up the sender.
        """
        prefilled, self._prefilled = self._prefilled, []
        for sequence in prefilled:
            if sequence.finish_reason is None:
                held = blocks_needed(sequence.num_computed_tokens, self.pool.block_size)
                kv = await self.executor.read_blocks(sequence.block_table[:held])
                self.executor.release(sequence)
                if sequence.finish_reason is None:
                    self._pass_on(sequence, kv)
        if self.role is Role.ENCODE:
            for sequence in read:
                if sequence.finish_reason is None:
                    sequence.enter(Phase.TRANSFERRING, self._loop.time())
                    self._pass_on(sequence)

    def lend(self, sequence: Sequence) -> HeldBlocks:
        """Out of the batch; its blocks stay here until `take_back`."""
        self.running.remove(sequence)
        self.reading.let_go(sequence)
        held = HeldBlocks(sequence)
        self.lent.add(held)
        return held

    def take_back(self, held: HeldBlocks) -> None:
        """What was lent has been copied."""
        self.lent.remove(held)
        self.pool.free(held)
        self._wake.set()

    def commit(self, step: Step, output: StepOutput) -> None:
        """Take the results into sequences and blocks; pass over those cancelled meanwhile."""
        now_s = self._loop.time()
        for sequence in step.computed if output.logprobs else ():
            if sequence.id in output.logprobs and sequence.finish_reason is None:
                sequence.logprobs.append(output.logprobs[sequence.id])
        for work in step.prefill if output.embeddings else ():
            work.sequence.embedding = output.embeddings.get(work.sequence.id, [])
        if self._emit_log is not None:
            self._emit_log.emitted(output.receivers(step), now_s)
        num_tokens = len(step.decode)
        for work in step.prefill:
            num_tokens += work.length
            if work.sequence.finish_reason is not None:
                continue
            if work.layers.stop < self._num_layers:
                work.sequence.num_layers_done = work.layers.stop
            else:
                work.sequence.num_computed_tokens = work.start + work.length
                work.sequence.num_layers_done = 0
                self.pool.publish(work.sequence)
                if work.sequence.id in output.tokens:
                    self._end_prefill(work.sequence, output.tokens[work.sequence.id], now_s)
        self._commit_decodes(step, output.tokens, now_s)
        self._stats.step_tokens.observe(num_tokens)

    def _end_prefill(self, sequence: Sequence, token: int, now_s: float) -> None:
        if sequence.output_ids:  # it was preempted: this is a later token, and the gap is long
            self._stats.inter_token_latency_s.observe(now_s - sequence.last_token_s)
        else:
            self._stats.count_first_token(sequence, now_s)
        self._stats.generation_tokens += 1
        if self.role is not Role.PREFILL:
            sequence.enter(Phase.DECODING, now_s)
            sequence.append(token, now_s)
            return
        sequence.stamps_s.setdefault(Phase.DECODING, now_s)
        sequence.append(token, now_s)
        if sequence.finish_reason is None:
            sequence.enter(Phase.TRANSFERRING, now_s)
            self._prefilled.append(sequence)

    def _commit_decodes(self, step: Step, tokens: dict[int, int], now_s: float) -> None:
        """The hot loop: once for each output token."""
        block_size = self.pool.block_size
        gaps_s: dict[float, int] = {}  # few: those of one batch had their last token together
        for sequence in [work.sequence for work in step.decode]:
            if sequence.finish_reason is None:
                sequence.num_computed_tokens += 1
                if sequence.num_computed_tokens % block_size == 0:
                    self.pool.publish(sequence)
                gap_s = now_s - sequence.last_token_s
                gaps_s[gap_s] = gaps_s.get(gap_s, 0) + 1
                sequence.append(tokens[sequence.id], now_s)
        for gap_s, count in gaps_s.items():
            self._stats.inter_token_latency_s.observe(gap_s, count)
            self._stats.generation_tokens += count

    def _fail(self, step: Step, error: str) -> None:
        now_s = self._loop.time()
        for sequence in (*step.computed, *self.reading.lose(step.encode)):
            if sequence.finish_reason is None:
                sequence.finish("error", now_s, error)
                if self.role is Role.ENCODE:
                    self._pass_on(sequence)
                else:
                    self.drop(sequence)

    def _remove_finished(self) -> None:
        """Free what finished sequences hold. Between steps only: a step may still fill it."""
        finished = [s for s in self.running if s.finish_reason is not None]
        if self.arrivals.under_way:
            finished = [s for s in finished if s not in self.arrivals.under_way]
        for sequence in (*finished, *self._left):
            self.reading.let_go(sequence)
        self._left.clear()
        for key in self.reading.evict():
            self.executor.forget(key)
        if finished:
            gone = set(finished)
            self.running = [s for s in self.running if s not in gone]
            for sequence in finished:
                self.pool.free(sequence)
                self.executor.release(sequence)
                self._stats.count_finished(sequence)
