"""What a workload is: an ordered source of sessions, the same for the same seed everywhere."""

from collections.abc import Iterator
from typing import Protocol

from benchsuite.request import Session
from benchsuite.workloads.tokenizer import Tokenizer


class WorkloadSource(Protocol):
    """Says what is asked; knows nothing of when it is sent, nor to whom."""

    @property
    def is_endless(self) -> bool:
        """Whether something else has to end the run: a number of requests, or a duration."""
        ...

    def sessions(self, tokenizer: Tokenizer, seed: int) -> Iterator[Session]:
        """Sessions in order, possibly without end; lengths are drawn here, texts when rendered.

        Session ids count from 0; request ids count from 0 and go up over sessions and turns.
        Where sessions have a `start_s`, all have, and it never falls.
        """
        ...

    def notes(self) -> tuple[str, ...]:
        """What a result must say about this workload: rows skipped, lengths clipped ..."""
        ...
