"""Watches its own process while it sends: stalls of the event loop, garbage collection, CPU.

Costs nothing per token: the loop's selector reads the clock twice a poll, the collector calls back
when it collects, and the rest is read at the beginning and at the end.
"""

import gc
import os
import time
from pathlib import Path
from typing import Final, NamedTuple

from benchsuite.endpoints.base import Connection
from benchsuite.endpoints.wire_loop import STALL_S, WireLoop
from benchsuite.records.client import Client, Pauses

_STAT: Final = Path("/proc/stat")


class Machine(NamedTuple):
    """CPU seconds since boot, over all cores."""

    busy_s: float
    stolen_s: float


class Watch:
    """From its making to `end`."""

    def __init__(self, worker: int, loop: object) -> None:
        self._worker = worker
        self._loop = loop if isinstance(loop, WireLoop) else None
        self._num, self._longest_s, self._total_s, self._since_s = 0, 0.0, 0.0, 0.0
        if self._loop is not None:
            self._loop.forget_stalls()
        gc.callbacks.append(self._collecting)
        self._machine = machine(_read_stat())
        self._cpu_s, self._started_s = time.process_time(), time.monotonic()

    def end(self, connection: Connection) -> Client:
        """What there was to see; watches no longer."""
        wall_s = time.monotonic() - self._started_s
        cpu_s = time.process_time() - self._cpu_s
        gc.callbacks.remove(self._collecting)
        before, now = self._machine, machine(_read_stat())
        stalls = self._loop.stalls() if self._loop is not None else None
        return Client(
            worker=self._worker,
            wall_s=wall_s,
            cpu_s=cpu_s,
            stalls=None if stalls is None else Pauses(**stalls._asdict()),
            stall_s=STALL_S,
            gc=Pauses(num=self._num, longest_s=self._longest_s, total_s=self._total_s),
            clock_error_s=connection.clock_error().error_s,
            clock_steps=connection.clock_error().num_steps,
            machine_s=now.busy_s - before.busy_s if now and before else None,
            stolen_s=now.stolen_s - before.stolen_s if now and before else None,
        )

    def _collecting(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._since_s = time.perf_counter()
            return
        took_s = time.perf_counter() - self._since_s
        self._num += 1
        self._total_s += took_s
        self._longest_s = max(self._longest_s, took_s)


def _read_stat() -> str:
    try:
        return _STAT.read_text()
    except OSError:
        return ""


def machine(stat: str) -> Machine | None:
    """The first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal ...

    None where it is no such file. See proc(5); guest time is in user time already.
    """
    words = stat.split("\n", 1)[0].split()
    if len(words) < 9 or words[0] != "cpu":
        return None
    ticks = [int(word) for word in words[1:9]]
    per_s = os.sysconf("SC_CLK_TCK")
    idle = ticks[3] + ticks[4]
    return Machine((sum(ticks[:7]) - idle) / per_s, ticks[7] / per_s)
