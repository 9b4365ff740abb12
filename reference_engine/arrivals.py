"""What comes to a worker from others: prefilled sequences with their KV, encoded ones with the
outputs of the encoder. Copies run beside the worker's steps.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from collections.abc import Sequence as Seq
from typing import Any, Protocol

from reference_engine.blocks import BlockPool, HeldBlocks, blocks_needed
from reference_engine.executors.base import StepExecutor
from reference_engine.reading import Reading
from reference_engine.sequence import Phase, Sequence


class Host(Protocol):
    """What of a worker its arrivals touch, there and where they come from. See `Worker`."""

    executor: StepExecutor
    pool: BlockPool
    reading: Reading
    running: list[Sequence]

    def wake(self) -> None: ...
    def give_up(self, sequence: Sequence) -> None: ...
    def take_in(self, sequence: Sequence) -> None: ...
    def lend(self, sequence: Sequence) -> HeldBlocks: ...
    def take_back(self, held: HeldBlocks) -> None: ...


class Arrivals:
    """Of one worker. A sequence is in `queue` (it still holds blocks where it was prefilled), then
    `under_way` (in the batch here, its blocks not yet filled); or in `reading` (its media come).
    """

    def __init__(self, worker: Host) -> None:
        self.queue: deque[Sequence] = deque()
        self.under_way: set[Sequence] = set()
        self.reading: set[Sequence] = set()
        self._worker = worker
        self._sources: dict[Sequence, tuple[Host, Any]] = {}  # of the queue: from where, its KV
        self._tasks: set[asyncio.Task[None]] = set()
        self._media_link = asyncio.Lock()
        self._loop = asyncio.get_running_loop()

    def sequences(self) -> tuple[Sequence, ...]:
        """Those that are in no worker's batch or queue meanwhile."""
        return tuple(self.reading)

    def expect(self, sequence: Sequence, source: Host, kv: Any) -> None:
        """It is prefilled; the policy says when it is received."""
        insert(self.queue, sequence)
        self._sources[sequence] = (source, kv)
        self._worker.wake()

    def drop(self, sequence: Sequence) -> None:
        """It ended where it was prefilled, and is counted there."""
        if self._sources.pop(sequence, None) is not None:
            self.queue.remove(sequence)

    def receive(self, sequence: Sequence) -> None:
        """Into the batch; its KV comes from where it was prefilled."""
        source, kv = self._sources.pop(sequence)
        self.queue.remove(sequence)
        held = source.lend(sequence)

        def done() -> None:
            source.take_back(held)

        self.fill(sequence, self._worker.executor.write_blocks, kv, done)

    def fill(
        self,
        sequence: Sequence,
        write: Callable[[Seq[int], Any], Coroutine[Any, Any, None]],
        kv: Any,
        done: Callable[[], None],
    ) -> None:
        """Into the batch, with blocks that `write` puts `kv` in beside the worker's steps; then it
        decodes. `done` is called in any case.
        """
        self._worker.pool.extend(sequence, sequence.num_tokens)
        self._worker.running.append(sequence)
        self.under_way.add(sequence)

        async def fetch() -> None:
            try:
                filled = blocks_needed(sequence.num_computed_tokens, self._worker.pool.block_size)
                await write(sequence.block_table[:filled], kv)
            except Exception as error:  # noqa: BLE001 - whatever a device may throw, told to its client
                self.fail(sequence, error)
            finally:
                done()
                self.under_way.remove(sequence)
            if sequence.finish_reason is None:
                sequence.enter(Phase.DECODING, self._loop.time())
                self._worker.pool.publish(sequence)
            self._worker.wake()

        self._start(fetch())

    def read(self, sequence: Sequence, sources: Seq[Host]) -> None:
        """Its media are encoded, each at its own of `sources`; it is queued when the outputs are
        here. One after another: who finds an output that is still coming waits behind it.
        """
        self.reading.add(sequence)

        async def fetch() -> None:
            num_held = 0
            async with self._media_link:
                for (_, media), source in zip(sequence.media, sources, strict=True):
                    num_held += 1
                    if self._worker.reading.hold(sequence, media):
                        continue
                    content = source.executor.read_media(media.key)
                    try:
                        await self._worker.executor.write_media(
                            media.key, media.num_tokens, content
                        )
                    except Exception as error:  # noqa: BLE001 - as above
                        self._worker.reading.lose_output(media.key)
                        self.fail(sequence, error)
                        break
            for source in set(sources):
                source.reading.let_go(sequence)
            self.reading.remove(sequence)
            sequence.num_encoded = num_held
            self._worker.take_in(sequence)

        self._start(fetch())

    def close(self) -> None:
        """Nothing is fetched any more."""
        for task in self._tasks:
            task.cancel()

    def fail(self, sequence: Sequence, error: Exception) -> None:
        """Its copy failed: it ends, and nobody else."""
        if sequence.finish_reason is None:
            sequence.finish("error", self._loop.time(), f"{type(error).__name__}: {error}")

    def _start(self, fetch: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(fetch)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def insert(waiting: deque[Sequence], sequence: Sequence) -> None:
    """By priority, then by age. From the end: newcomers mostly belong there."""
    rank = (sequence.params.priority, sequence.id)
    place = len(waiting)
    while place and rank < (waiting[place - 1].params.priority, waiting[place - 1].id):
        place -= 1
    waiting.insert(place, sequence)
