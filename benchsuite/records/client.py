"""What sending cost a worker's own process: pauses, CPU, clocks; `spool/N.end.json`.

Written when a worker ends, folded into `facts.json` after the run. A worker that was killed left
none.
"""

from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

SUFFIX: Final = ".end.json"


class Pauses(Struct, frozen=True, kw_only=True):
    """Times during which a process did not look at its sockets."""

    num: int = 0
    longest_s: float = 0.0
    total_s: float = 0.0


class Client(Struct, frozen=True, kw_only=True):
    """One worker, from the run's zero to its last answer. Seconds.

    Machine-wide numbers are of the same span: `machine_s` is CPU time of all processes, ours
    among them; `stolen_s` what the hypervisor gave to others. None: this platform does not tell.
    """

    worker: int
    wall_s: float
    cpu_s: float  # of all threads of this process
    stalls: Pauses | None  # of the event loop; each longer than `stall_s`
    stall_s: float
    gc: Pauses
    clock_error_s: float  # between the stamps' clock and the loop's: half a pair's width
    clock_steps: int = 0  # jumps of the wall clock; stamps around one were not used
    machine_s: float | None = None
    stolen_s: float | None = None


def write(client: Client, spool: Path) -> None:
    """Beside the worker's records."""
    try:
        (spool / f"{client.worker}{SUFFIX}").write_bytes(msgspec.json.encode(client))
    except OSError:
        # The disk is full. The records are there; without this they only lack a footnote.
        return


def read(spool: Path) -> tuple[Client, ...]:
    """Those of all workers that ended."""
    paths = sorted(spool.glob(f"*{SUFFIX}"))
    found = [msgspec.json.decode(path.read_bytes(), type=Client) for path in paths]
    return tuple(sorted(found, key=lambda client: client.worker))
