"""Facts: what a run knows besides its records and its scenario, as `facts.json` in its folder.

Written before the first byte is sent, so that a killed run can be recovered, and again at the end.
"""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

import msgspec
from msgspec import Struct

from benchsuite.errors import RunError
from benchsuite.metrics.system import UNTOLD, System
from benchsuite.records.client import Client
from benchsuite.records.node import Node
from benchsuite.results.curve import Curve
from benchsuite.results.environment import Environment

FILE_NAME: Final = "facts.json"
RUNNING: Final = (
    "the process ended, or its disk was full, before the run ended; what became of the requests "
    "in flight then is unknown"
)


class Facts(Struct, frozen=True, kw_only=True):
    """What cannot be derived from the records."""

    schema_version: str = "1.0"
    started_at: str  # UTC, ISO 8601
    command: str
    environment: Environment
    endpoint: str  # for people
    num_planned: int | None  # requests; None: only the duration bounded a closed loop
    planned_due_s: tuple[float, ...]  # first requests of sessions; empty in a closed loop
    issuing_end_s: float | None = None  # when a duration was to end it; None: requests ran out
    num_workers: int = 1  # processes that sent
    start_s: float | None = None  # the run's zero on this machine's monotonic clock
    nodes: tuple[Node, ...] = ()  # the machines that sent, where they were several
    clients: tuple[Client, ...] = ()  # of those processes that ended
    system: System = UNTOLD  # what the scenario's deployment named, as it was then
    selftest: Curve | None = None  # the last one of this machine before the run
    warnings: tuple[str, ...] = ()  # what the run's making had to say
    partial: str | None = RUNNING  # why the run is incomplete; None once it ended well

    @classmethod
    def now(cls) -> str:
        return datetime.now(UTC).isoformat(timespec="seconds")

    def save(self, folder: Path) -> None:
        draft = folder / f".{FILE_NAME}.tmp"
        draft.write_bytes(msgspec.json.encode(self))
        os.replace(draft, folder / FILE_NAME)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Raises RunError if there is none, or it is broken."""
        path = folder / FILE_NAME
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except OSError as error:
            raise RunError(
                f"{path}: cannot be read ({error.strerror}); is this a run folder?"
            ) from error
        except msgspec.DecodeError as error:
            raise RunError(f"{path}: not a run's facts: {error}") from error
