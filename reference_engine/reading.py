"""The images and sound that a worker reads: what is still to be read, and whose outputs it holds.

Knows no tensors. A sequence's media may be read by several workers, each with a share of its own.
"""

from bisect import insort
from collections.abc import Iterable
from typing import Final

from reference_engine.encoder_cache import EncoderCache
from reference_engine.media import Media
from reference_engine.sequence import Phase, Sequence
from reference_engine.stats import Stats
from reference_engine.step import EncodeWork


def _rank(work: EncodeWork) -> tuple[int, int, int]:
    return (work.sequence.params.priority, work.sequence.id, work.number)


class Reading:
    """Of one worker. A work is in `queue` until the step that reads it has ended."""

    def __init__(self, capacity_tokens: int, stats: Stats) -> None:
        self.queue: Final[list[EncodeWork]] = []  # most urgent first, then oldest
        self._in_step: list[EncodeWork] = []
        self._being_read: set[bytes] = set()  # keys of outputs that the step makes
        self._cache = EncoderCache(capacity_tokens)
        self.held: Final[dict[Sequence, list[bytes]]] = {}  # keys of outputs
        self._stats = stats

    def add(self, work: EncodeWork) -> None:
        insort(self.queue, work, key=_rank)

    def has(self, key: bytes) -> bool:
        """Whether its output is here; one that is being read is in `queue` until it is."""
        return key in self._cache and key not in self._being_read

    def hold(self, sequence: Sequence, media: Media) -> bool:
        """Keep the output until `let_go`; whether it was there, else it is to be made now."""
        self.held.setdefault(sequence, []).append(media.key)
        return self._cache.hold(media.key, media.num_tokens)

    def begin(self, works: Iterable[EncodeWork], now_s: float) -> tuple[EncodeWork, ...]:
        """Of a step's works those whose outputs are not there yet; they are there at its end."""
        missing = []
        for work in works:
            if work.sequence.phase is Phase.WAITING:
                work.sequence.enter(Phase.ENCODING, now_s)
            self._stats.encoder_queries += work.media.num_tokens
            if self.hold(work.sequence, work.media):
                self._stats.encoder_hits += work.media.num_tokens
            else:
                missing.append(work)
                self._being_read.add(work.media.key)
            self._in_step.append(work)
        return tuple(missing)

    def end(self) -> list[Sequence]:
        """The step is over; those of its sequences that have nothing left to be read anywhere."""
        if not self._in_step:
            return []
        works, self._in_step = self._in_step, []
        self._being_read.clear()
        for work in works:
            self.queue.remove(work)
            work.sequence.num_encoded += 1
        sequences = dict.fromkeys(work.sequence for work in works)
        return [one for one in sequences if not one.needs_encoder]

    def lose(self, works: Iterable[EncodeWork]) -> list[Sequence]:
        """They failed; all sequences of the step that wait for their outputs."""
        keys = {work.media.key for work in works}
        for key in keys:
            self.lose_output(key)
        return [work.sequence for work in self._in_step if work.media.key in keys]

    def lose_output(self, key: bytes) -> None:
        self._cache.lose(key)

    def drop(self, sequence: Sequence) -> bool:
        """Read no more for it; whether outputs are held, which a step may still use."""
        for work in [one for one in self.queue if one.sequence is sequence]:
            if work not in self._in_step:
                self.queue.remove(work)
        return sequence in self.held

    def let_go(self, sequence: Sequence) -> None:
        """It uses what was read no more, or not here."""
        for key in self.held.pop(sequence, ()):
            self._cache.release(key)
        sequence.num_encoded = 0

    def evict(self) -> list[bytes]:
        """Keys of outputs that must go for the rest to fit."""
        return self._cache.evict()
