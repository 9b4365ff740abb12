"""What stands for a machine of a cluster: a worker and the ends of its pipe, in an actor's process.

A plain class, which knows nothing of who places it and asks it from afar.
"""

import multiprocessing
import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

import msgspec

import benchsuite
from benchsuite.endpoints.base import Endpoint
from benchsuite.errors import BenchsuiteError
from benchsuite.loadgen.sending import SPOOL_NAME
from benchsuite.loadgen.worker import cells, work
from benchsuite.scenario import Scenario

PIECE_BYTES: Final = 8_000_000  # of a file, at a time


class About(msgspec.Struct):
    version: str
    folder: Path
    missing: tuple[str, ...]  # of the files asked for


class NodeActor:
    """A worker and the ends of its pipe, in an actor's process."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder or Path(tempfile.mkdtemp(prefix="benchsuite-node-"))
        (self._folder / SPOOL_NAME).mkdir(exist_ok=True)
        self._ours, self._theirs = multiprocessing.Pipe()
        self._counts: list[int] = []
        self._number = 0

    def about(self, files: tuple[str, ...]) -> About:
        missing = tuple(path for path in files if not Path(path).exists())
        return About(benchsuite.__version__, self._folder, missing)

    def clock(self) -> float:
        """The one that a run's times are of."""
        return time.monotonic()

    def work(
        self, scenario: Scenario, endpoint: Endpoint, number: int, num_workers: int, digest: str
    ) -> None:
        self._number, self._counts = number, [0] * cells(num_workers)
        asked = (scenario, endpoint, self._folder, number, num_workers, self._theirs, self._counts)
        try:
            work(*asked, digest)
        finally:
            self._theirs.send(None)  # a thread still reads it, so closing it would tell nobody

    def heard(self) -> str | BenchsuiteError | None:
        """The next word; None when there will be none."""
        word: str | BenchsuiteError | None = self._ours.recv()
        return word

    def tell(self, word: str | float) -> None:
        self._ours.send(word)

    def counters(self) -> list[int]:
        width = cells(1)
        return self._counts[self._number * width : (self._number + 1) * width] or [0] * width

    def files(self) -> list[tuple[str, int]]:
        found = sorted((self._folder / SPOOL_NAME).iterdir())
        return [(path.name, path.stat().st_size) for path in found]

    def piece(self, name: str, start: int) -> bytes:
        with (self._folder / SPOOL_NAME / name).open("rb") as file:
            file.seek(start)
            return file.read(PIECE_BYTES)

    def leave(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
