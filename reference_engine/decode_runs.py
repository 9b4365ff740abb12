"""Decodes of one batch that nothing disturbs, taken in many at a time.

Where tokens and the times of steps are known beforehand, and whoever reads an answer waits for its
end, nobody can tell whether a step was taken in when it was over or when somebody next looked.
"""

import asyncio
from bisect import bisect_right
from collections import defaultdict
from itertools import pairwise
from typing import Final

import numpy as np

from reference_engine.blocks import BlockPool
from reference_engine.executors.base import Foresight
from reference_engine.sequence import Sequence
from reference_engine.stats import Stats
from reference_engine.step import Step
from reference_engine.virtual_time import VirtualTimeLoop

_MOST_STEPS: Final = 256  # foreseen together; what interrupts them makes the rest useless
_FEWEST_STEPS: Final = 3  # fewer are carried out one by one as fast


class DecodeRuns:
    """Of one worker, one after the other. A worker that is woken goes on with the end of the step
    that is under way."""

    def __init__(
        self, foresight: Foresight | None, pool: BlockPool, stats: Stats, woken: asyncio.Event
    ) -> None:
        """Without `foresight` there are none."""
        self._foresight, self._pool, self._stats = foresight, pool, stats
        self._woken = woken
        self._loop = asyncio.get_running_loop()
        self._run: _Run | None = None

    async def ride(self, step: Step) -> bool:
        """Carry out `step`, which is prepared and all that its worker does, and those after it;
        False, at once, where they have to be carried out one by one."""
        foresight = self._foresight
        if foresight is None or self._pool.forgets:
            return False
        run = _foresee(step, foresight, self._pool, self._stats, self._loop.time())
        if run is None:
            return False
        self._run = run
        try:
            while not run.is_over:
                self._woken.clear()
                await self._wait_until(run.end_s)
                self.catch_up()
                if not run.is_over:
                    run.cut()
        finally:
            self._run = None
        return True

    def catch_up(self, *, is_watched: bool = False) -> None:
        """Take in what is over: to be called before sequences, blocks or counts are looked at or
        changed from outside. `is_watched`: somebody will look at each step from now on."""
        if self._run is not None:
            self._run.take_in(self._loop.time())
            if is_watched:
                self._woken.set()

    async def _wait_until(self, end_s: float) -> None:
        if isinstance(self._loop, VirtualTimeLoop) and self._loop.skip_to(end_s):
            return
        timer = self._loop.call_at(end_s, self._woken.set)
        await self._woken.wait()
        timer.cancel()


class _Run:
    """Step after step of the same decodes, until shortly before the first sequence ends. Between
    `take_in`s, sequences, blocks and counts are those of an earlier time."""

    def __init__(
        self,
        sequences: list[Sequence],
        ends_s: list[float],
        foresight: Foresight,
        pool: BlockPool,
        stats: Stats,
    ) -> None:
        """`ends_s[k]`: when step k is over, [steps]. The blocks that step 0 fills are there."""
        self._sequences, self._ends_s = sequences, ends_s
        self._foresight, self._pool, self._stats = foresight, pool, stats
        self._num_taken = 0

    @property
    def end_s(self) -> float:
        """When its last step is over."""
        return self._ends_s[-1]

    @property
    def is_over(self) -> bool:
        """Whether all steps were taken in."""
        return self._num_taken == len(self._ends_s)

    def cut(self) -> None:
        """End with the step that is under way."""
        del self._ends_s[self._num_taken + 1 :]

    def take_in(self, now_s: float) -> None:
        """Make sequences, blocks and counts what they are at `now_s`, as `Worker.commit` would
        have after each step, and `Worker._prepare` before each."""
        first = self._num_taken
        stop = bisect_right(self._ends_s, now_s, lo=first)
        if stop == first:
            return
        ends_s = self._ends_s[first:stop]
        there = [sequence for sequence in self._sequences if sequence.finish_reason is None]
        self._count(there, ends_s)
        computed = [sequence.num_computed_tokens for sequence in there]
        for sequence in there:
            sequence.append_all(self._foresight.next_tokens(sequence, len(ends_s)), ends_s)
        self._turn_blocks(there, len(ends_s), goes_on=stop < len(self._ends_s))
        for sequence, before in zip(there, computed, strict=True):
            sequence.num_computed_tokens = before + len(ends_s)
        self._num_taken = stop

    def _count(self, there: list[Sequence], ends_s: list[float]) -> None:
        gaps_s: dict[float, int] = {}
        for sequence in there:
            gap_s = ends_s[0] - sequence.last_token_s
            gaps_s[gap_s] = gaps_s.get(gap_s, 0) + 1
        for gap_s, count in gaps_s.items():
            self._stats.inter_token_latency_s.observe(gap_s, count)
        for before_s, after_s in pairwise(ends_s) if there else ():
            self._stats.inter_token_latency_s.observe(after_s - before_s, len(there))
        self._stats.generation_tokens += len(there) * len(ends_s)
        self._stats.step_tokens.observe(len(self._sequences), len(ends_s))

    def _turn_blocks(self, there: list[Sequence], num_steps: int, *, goes_on: bool) -> None:
        """Publish blocks where they are full, and open the next, in the order of the steps."""
        size = self._pool.block_size
        full: defaultdict[int, list[tuple[Sequence, int]]] = defaultdict(list)  # after so many
        for sequence in there:
            computed = sequence.num_computed_tokens
            for step in range(size - computed % size, num_steps + 1, size):
                full[step].append((sequence, computed + step))
        for step in sorted(full):
            for sequence, computed in full[step]:
                sequence.num_computed_tokens = computed
                self._pool.publish(sequence)
            if step < num_steps or goes_on:
                for sequence, computed in full[step]:
                    self._pool.extend(sequence, computed + 1)


def _foresee(
    step: Step, foresight: Foresight, pool: BlockPool, stats: Stats, now_s: float
) -> _Run | None:
    """None where somebody reads along, or for few steps."""
    sequences = [work.sequence for work in step.decode]
    if not all(map(_is_read_at_its_end, sequences)):
        return None
    num_steps = min(_MOST_STEPS, pool.block_size * (pool.free_blocks // len(sequences)))
    for sequence in sequences:
        num_steps = min(num_steps, sequence.token_limit - len(sequence.output_ids) - 1)
    for sequence in sequences if num_steps >= _FEWEST_STEPS else ():
        if sequence.stop_ids:
            num_steps = _steps_before_stop(sequence, foresight, num_steps)
    if num_steps < _FEWEST_STEPS:
        return None
    times_s = foresight.decode_times_s(step, num_steps)
    ends_s = np.cumsum(np.concatenate([[now_s], times_s]))[1:].tolist()  # adds one after the other
    return _Run(sequences, ends_s, foresight, pool, stats)


def _is_read_at_its_end(sequence: Sequence) -> bool:
    waiter = sequence.end_waiter
    is_gathered = waiter is not None and not waiter.done() and sequence.waiter is None
    return is_gathered and sequence.guide is None


def _steps_before_stop(sequence: Sequence, foresight: Foresight, num_steps: int) -> int:
    first = len(sequence.output_ids) + 1
    for number, token in enumerate(foresight.next_tokens(sequence, num_steps)):
        if token in sequence.stop_ids and first + number >= sequence.params.min_tokens:
            return number
    return num_steps
